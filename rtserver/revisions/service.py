"""Makes revisions of a proposal's text, whichever way the text changes, and shows them."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from rtserver.lib.threads import see_through
from rtserver.model import texts
from rtserver.model.audience import viewers_and
from rtserver.model.errors import BusyError, ConflictError, InvalidError, StoreUnavailableError
from rtserver.model.events import EventDraft, EventType
from rtserver.model.identity import Identity
from rtserver.reviews.collisions import Touch
from rtserver.reviews.editing import REVISED, ProposalService, change_events, next_version
from rtserver.reviews.proposals import (
    MAX_ATTEMPTS,
    ContendedError,
    Proposal,
    ProposalStore,
    Record,
    present_collisions,
    visible_proposal,
)
from rtserver.reviews.statuses import ProposalStatus
from rtserver.reviews.verdicts import RevisionRefJson
from rtserver.revisions.commits import revision_commit
from rtserver.revisions.committing import Committer
from rtserver.revisions.model import (
    CURRENT,
    Cause,
    NoRevisionError,
    Origin,
    Revision,
    RevisionConflictError,
    RevisionFile,
    RevisionStore,
    digest_of_files,
    next_revision,
    revision_number,
)
from rtserver.revisions.requirements import touches_of
from rtserver.runs.files.folders import digest_of
from rtserver.runs.files.paths import UnsafePathError, path_parts
from rtserver.runs.files.read import FolderContents, WorkspaceError
from rtserver.runs.files.staging import NewFile
from rtserver.runs.files.write import ProposalWriter

MAX_NOTE_CHARS = 1_000
RECORD_TIMEOUT_S = 15.0

_log = structlog.get_logger()


class UnsafeFileError(InvalidError):
    """A file may not be written, or not there."""

    reason = "unsafe_path"


class FilesNotReachedError(ConflictError):
    """The workspace's files can't be read or written now; `details["why"]` for programs."""

    reason = "workspace"


class FilesBusyError(BusyError):
    """Another process is at work on the proposal's files."""


SEEN = Origin(Cause.DISK)


class RevisionService:
    """Every change of a proposal's files becomes a revision here; see docs/reviewing.md."""

    def __init__(
        self,
        store: RevisionStore,
        proposals: ProposalStore,
        editing: ProposalService,
        writer: ProposalWriter,
        *,
        committer: Committer | None = None,
    ) -> None:
        """Make it; `committer` is offered each revision, while its files are locked."""
        self._store = store
        self._proposals = proposals
        self._editing = editing
        self._writer = writer
        self._committer = committer

    # Looking

    async def of_proposal(
        self, identity: Identity, proposal_id: str, *, before: int | None, limit: int
    ) -> tuple[list[Revision], bool]:
        """Revisions, newest first, and whether there are more.

        Raises:
            NotFoundError: there is no such proposal that this user may see.
            StoreUnavailableError: MongoDB does not answer.
        """
        proposal = await visible_proposal(self._proposals, identity, proposal_id)
        if before is None:
            await self.look(proposal)
        return await self._store.of_proposal(proposal_id, before=before, limit=limit)

    async def get(self, identity: Identity, proposal_id: str, number: str) -> Revision:
        """A revision by its number, or the newest by `current`.

        Raises:
            NotFoundError: there is no such proposal that this user may see, or no such revision.
            StoreUnavailableError: MongoDB does not answer.
        """
        if number == CURRENT:
            return await self._newest(await self._looked_at(identity, proposal_id))
        await visible_proposal(self._proposals, identity, proposal_id)
        return await self._revision(proposal_id, revision_number(number))

    async def _looked_at(self, identity: Identity, proposal_id: str) -> Proposal:
        """A proposal whose newest revision is the text that is in the workspace."""
        await self.look(await visible_proposal(self._proposals, identity, proposal_id))
        return await visible_proposal(self._proposals, identity, proposal_id)

    async def _newest(self, proposal: Proposal) -> Revision:
        if proposal.revision is None:
            raise NoRevisionError(f"The proposal {proposal.proposal_id!r} has no text yet")
        return await self._revision(proposal.proposal_id, proposal.revision.number)

    async def _revision(self, proposal_id: str, number: int) -> Revision:
        found = await self._store.get(proposal_id, number)
        if found is None:
            raise NoRevisionError(f"The proposal {proposal_id!r} has no revision {number}")
        return found

    async def content(self, revision: Revision, path: str) -> tuple[RevisionFile, bytes]:
        """A file of a revision.

        Raises:
            NoRevisionError: it has no such file, or what it held was pruned.
            StoreUnavailableError: MongoDB does not answer.
        """
        file = revision.file(path)
        content = None if file is None else await self._store.content(file.sha256)
        if file is None or content is None:
            raise NoRevisionError(
                f"Revision {revision.number} has no file {path!r}"
                if file is None
                else "What this file held is not kept any more: the proposal is long archived"
            )
        return file, content

    async def contents(self, revision: Revision) -> dict[str, bytes]:
        """All files of a revision; those whose content was pruned are left out."""
        found = {file.path: await self._store.content(file.sha256) for file in revision.files}
        return {path: content for path, content in found.items() if content is not None}

    async def texts(
        self, before: Revision, after: Revision
    ) -> dict[str, tuple[bytes | None, bytes | None]]:
        """By path, what differs between two revisions: contents before and after, None for none."""
        old = {file.path: file.sha256 for file in before.files}
        new = {file.path: file.sha256 for file in after.files}
        differing = sorted(
            path for path in old.keys() | new.keys() if old.get(path) != new.get(path)
        )
        return {
            path: (await self._content(old.get(path)), await self._content(new.get(path)))
            for path in differing
        }

    async def _content(self, sha256: str | None) -> bytes | None:
        return None if sha256 is None else await self._store.content(sha256)

    # Noting what is there

    async def look(self, proposal: Proposal, origin: Origin = SEEN) -> None:
        """See whether the text in the workspace is another one now, and make that a revision.

        Where there is no text, or it can't be read now, everything stays as it was.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        if proposal.status is ProposalStatus.ARCHIVED:
            return
        try:
            await self._recorded(
                proposal.proposal_id,
                origin,
                lambda record: self._writer.contents(
                    proposal.project_id, proposal.proposal_id, record
                ),
            )
        except WorkspaceError as error:
            _log.debug("text_not_seen", proposal_id=proposal.proposal_id, problem=str(error))

    async def text_of(self, proposal_id: str) -> RevisionRefJson | None:
        """The revision that the text in the workspace is now; None where there is none.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        proposal = await self._proposals.get(proposal_id)
        if proposal is not None:
            await self.look(proposal)
            proposal = await self._proposals.get(proposal_id)
        if proposal is None or proposal.revision is None:
            return None
        return proposal.revision.to_json()

    def recorder(self, proposal_id: str, origin: Origin) -> Callable[[FolderContents], None]:
        """What a thread calls that has written files, while it holds their lock.

        Whatever goes wrong is logged: the files are written, and the next look finds them.
        """
        make = self._maker(proposal_id, origin)

        def record(contents: FolderContents) -> None:
            try:
                make(contents)
            except Exception as error:  # noqa: BLE001 - see above
                _log.warning("revision_not_made", proposal_id=proposal_id, error=str(error))

        return record

    def _maker(
        self, proposal_id: str, origin: Origin
    ) -> Callable[[FolderContents], Revision | None]:
        """`_record` for a thread that holds the files' lock."""
        loop = asyncio.get_running_loop()

        def make(contents: FolderContents) -> Revision | None:
            # Here, because the loop has other things to do than to go through 16 MiB.
            digest = digest_of_files(contents.files)
            recording = asyncio.run_coroutine_threadsafe(
                self._record(proposal_id, contents, digest, origin), loop
            )
            try:
                return recording.result(RECORD_TIMEOUT_S)
            except TimeoutError:
                recording.cancel()
                raise StoreUnavailableError(
                    "The database does not answer; try again soon"
                ) from None

        return make

    async def _recorded(
        self,
        proposal_id: str,
        origin: Origin,
        work: Callable[[Callable[[FolderContents], None]], None],
    ) -> Revision | None:
        """Do something to files in a thread that hands over what is there while it holds the lock.

        So nobody writes between what is seen and what is recorded.

        Returns:
            The revision that was made; None where the text is that of the newest.

        Raises:
            CancelledError: the caller was cancelled. The work was finished nevertheless.
        """
        make = self._maker(proposal_id, origin)
        made: list[Revision | None] = []

        def record(contents: FolderContents) -> None:
            made.append(make(contents))

        if await see_through(asyncio.to_thread(work, record)):
            raise asyncio.CancelledError  # a run was, say, which only looked
        return made[0]

    async def _record(
        self, proposal_id: str, contents: FolderContents, digest: str, origin: Origin
    ) -> Revision | None:
        """Make what is there a revision, unless it is the newest one already."""
        kept, touches = False, list[Touch]()
        for _ in range(MAX_ATTEMPTS):
            proposal = await self._proposals.get(proposal_id)
            if proposal is None or proposal.status is ProposalStatus.ARCHIVED:
                return None
            newest = proposal.revision
            if newest is not None and newest.digest == digest:
                if proposal.collisions is None and not await self._note_touches(proposal, contents):
                    continue
                return None
            if newest is None and not contents.files:
                return None
            before = None if newest is None else await self._store.get(proposal_id, newest.number)
            if not kept:
                await self._store.keep(contents.files)
                kept = True
                touches = await asyncio.to_thread(touches_of, contents.files)
            revision = next_revision(proposal, before, contents, digest, origin)
            collisions = await present_collisions(self._proposals, proposal, touches)
            changed = next_version(
                replace(proposal, revision=revision.ref, collisions=collisions), proposal
            )
            if proposal.status is ProposalStatus.APPROVED:
                changed = replace(changed, status=ProposalStatus.IN_REVIEW)
            events = change_events(proposal, changed, origin.actor, cause=REVISED)
            told = EventDraft(
                proposal.project_id,
                EventType.REVISION_CREATED,
                audience=viewers_and(proposal_id, proposal.members),
                proposal_id=proposal_id,
            )
            if await self._proposals.change(changed, events, Record(revision, told), touches):
                if changed.status is not proposal.status:
                    self._editing.tell_reopened(changed, origin.actor or "")
                if self._committer is not None:
                    await self._committer.offer(revision_commit(revision))
                return revision
        raise ContendedError

    async def _note_touches(self, proposal: Proposal, contents: FolderContents) -> bool:
        """Keep what a text touches that was seen before that was asked; False to try again."""
        touches = await asyncio.to_thread(touches_of, contents.files)
        collisions = await present_collisions(self._proposals, proposal, touches)
        changed = replace(proposal, collisions=collisions, version=proposal.version + 1)
        told = change_events(proposal, changed, None)
        return await self._proposals.change(changed, told, touches=touches)

    # Writing

    async def write(
        self,
        identity: Identity,
        proposal_id: str,
        base: int,
        files: Mapping[str, str | None],
        note: str = "",
    ) -> tuple[Revision, bool]:
        """Change some of a proposal's files; all of it or nothing.

        Args:
            identity: who writes.
            proposal_id: whose files.
            base: the number of the revision that the changes were made on; 0: there was none.
            files: by path the whole text, or None where the file is to be removed.
            note: what the writer says of it.

        Returns:
            The revision that has them, and whether it was made now: where everything was so
            already it is the newest.

        Raises:
            NotFoundError: there is no such proposal that this user may see, or no such revision.
            ForbiddenError, ArchivedError, LockedError: the user may not, or not now.
            UnsafeFileError: a path may not be written.
            RevisionConflictError: one of the files was changed since that revision.
            FilesNotReachedError, FilesBusyError: the files can't be written now.
            StoreUnavailableError: MongoDB does not answer.
        """
        note = texts.prose("note", note, MAX_NOTE_CHARS) if note else ""
        wanted = _wanted(files)
        origin = Origin(Cause.UPLOAD, identity.user_id, note=note)
        return await self._change(identity, proposal_id, base, wanted, origin)

    async def restore(
        self, identity: Identity, proposal_id: str, number: int
    ) -> tuple[Revision, bool]:
        """Make a new revision with the contents of an earlier one; see `write` for what it returns.

        Raises:
            As `write`; NoRevisionError also where its contents were pruned.
        """
        await self._editing.check_text(identity, proposal_id)
        proposal = await self._looked_at(identity, proposal_id)
        earlier = await self._revision(proposal_id, number)
        wanted = {file.path: (await self.content(earlier, file.path))[1] for file in earlier.files}
        newest = await self._newest(proposal)
        gone = {file.path: None for file in newest.files if file.path not in wanted}
        origin = Origin(Cause.RESTORE, identity.user_id, restored_from=number)
        # What neither may be written nor differs is left alone.
        differing = {
            path: content
            for path, content in {**wanted, **gone}.items()
            if _sha256_of(newest, path) != _sha256_of(earlier, path)
        }
        if not differing:
            return newest, False
        return await self._change(identity, proposal_id, newest.number, differing, origin)

    async def _change(
        self,
        identity: Identity,
        proposal_id: str,
        base: int,
        wanted: Mapping[str, bytes | None],
        origin: Origin,
    ) -> tuple[Revision, bool]:
        await self._editing.check_text(identity, proposal_id)
        proposal = await self._looked_at(identity, proposal_id)
        newest = proposal.revision
        meant = None if base == 0 else await self._revision(proposal_id, base)
        there = None if newest is None else await self._revision(proposal_id, newest.number)
        stale = [path for path in wanted if _sha256_of(meant, path) != _sha256_of(there, path)]
        if stale:
            raise RevisionConflictError(stale, there)

        def plan(found: FolderContents) -> Sequence[NewFile]:
            conflicting = [
                path for path in wanted if _sha256_in(found, path) != _sha256_of(there, path)
            ]
            if conflicting:  # in the moment since we looked
                raise RevisionConflictError(conflicting, there)
            return [
                NewFile(path, _sha256_in(found, path), content)
                for path, content in wanted.items()
                if content is not None or path in found.files
            ]

        try:
            made = await self._recorded(
                proposal_id,
                origin,
                lambda record: self._writer.change(
                    proposal.project_id,
                    proposal_id,
                    secrets.token_hex(8),
                    plan,
                    record,
                    make_folder=there is None,
                ),
            )
        except WorkspaceError as error:
            raise _as_refusal(error, there) from error
        except UnsafePathError as error:
            raise UnsafeFileError(str(error)) from error
        if made is not None:
            return made, True
        return await self.get(identity, proposal_id, CURRENT), False


def _as_refusal(error: WorkspaceError, newest: Revision | None) -> Exception:
    match error.reason:
        case "unsafe_path":
            return UnsafeFileError(str(error))
        case "conflict":
            return RevisionConflictError([str(error)], newest)
        case "busy":
            return FilesBusyError(str(error), retry_after_s=2)
    return FilesNotReachedError(str(error), why=error.reason)


def _wanted(files: Mapping[str, str | None]) -> dict[str, bytes | None]:
    """The files that are to be written, by their plain paths.

    Raises:
        InvalidError: there are none, or two of one path.
        UnsafeFileError: a path cannot be a file's.
    """
    if not files:
        raise InvalidError("There are no files")
    wanted: dict[str, bytes | None] = {}
    for path, text in files.items():
        try:
            plain = "/".join(path_parts(path))
            content = None if text is None else text.encode()
        except UnsafePathError as error:
            raise UnsafeFileError(str(error)) from None
        except UnicodeEncodeError:
            raise InvalidError(f"{path[:100]!a} is not Unicode text") from None
        if plain in wanted:
            raise InvalidError(f"{plain} is there twice")
        wanted[plain] = content
    return wanted


def _sha256_of(revision: Revision | None, path: str) -> str | None:
    file = None if revision is None else revision.file(path)
    return None if file is None else file.sha256


def _sha256_in(contents: FolderContents, path: str) -> str | None:
    content = contents.files.get(path)
    return None if content is None else digest_of(content)
