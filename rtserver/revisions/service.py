"""Makes revisions of a proposal's text, whichever way the text changes, and shows them."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence

import structlog

from rtserver.lib.threads import loop_does
from rtserver.model import texts
from rtserver.model.errors import BusyError, ConflictError, InvalidError, StoreUnavailableError
from rtserver.model.identity import Identity
from rtserver.reviews.editing import ProposalService
from rtserver.reviews.proposals import (
    Proposal,
    ProposalStore,
    visible_proposal,
)
from rtserver.revisions.model import (
    CURRENT,
    Cause,
    NoRevisionError,
    Origin,
    Revision,
    RevisionConflictError,
    RevisionFile,
    RevisionStore,
    revision_number,
)
from rtserver.revisions.recording import RECORD_TIMEOUT_S, RevisionRecorder
from rtserver.runs.files.folders import digest_of
from rtserver.runs.files.paths import UnsafePathError, path_parts
from rtserver.runs.files.read import FolderContents, WorkspaceError
from rtserver.runs.files.staging import NewFile
from rtserver.runs.files.write import ProposalWriter

MAX_NOTE_CHARS = 1_000

_log = structlog.get_logger()


class UnsafeFileError(InvalidError):
    """A file may not be written, or not there."""

    reason = "unsafe_path"


class FilesTooLargeError(InvalidError):
    """A file is larger than one may be, or all of them together."""

    status = 413
    reason = "too_large"


class FilesNotReachedError(ConflictError):
    """The workspace's files can't be read or written now; `details["why"]` for programs."""

    reason = "workspace"


class FilesBusyError(BusyError):
    """Another process is at work on the proposal's files."""


class RevisionService:
    """Every change of a proposal's files becomes a revision here; see docs/reviewing.md."""

    def __init__(
        self,
        store: RevisionStore,
        proposals: ProposalStore,
        editing: ProposalService,
        recorder: RevisionRecorder,
        writer: ProposalWriter,
    ) -> None:
        self._store = store
        self._proposals = proposals
        self._editing = editing
        self._recorder = recorder
        self._writer = writer

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
            await self._recorder.look(proposal)
        return await self._store.of_proposal(proposal_id, before=before, limit=limit)

    async def get(self, identity: Identity, proposal_id: str, number: str) -> Revision:
        """A revision by its number, or the newest by `current`.

        Raises:
            NotFoundError: there is no such proposal that this user may see, or no such revision.
            StoreUnavailableError: MongoDB does not answer.
        """
        if number == CURRENT:
            return await self._newest(await self.looked_at(identity, proposal_id))
        await visible_proposal(self._proposals, identity, proposal_id)
        return await self._revision(proposal_id, revision_number(number))

    async def looked_at(self, identity: Identity, proposal_id: str) -> Proposal:
        """A proposal whose newest revision is the text that is in the workspace.

        Raises:
            NotFoundError: there is no such proposal that this user may see.
            StoreUnavailableError: MongoDB does not answer.
        """
        await self._recorder.look(await visible_proposal(self._proposals, identity, proposal_id))
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
            FilesTooLargeError: a file is too large, or all of them together.
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
        proposal = await self.looked_at(identity, proposal_id)
        earlier = await self._revision(proposal_id, number)
        newest = await self._newest(proposal)
        wanted: dict[str, bytes | None] = {
            file.path: None for file in newest.files if earlier.file(file.path) is None
        }
        for file in earlier.files:
            _, wanted[file.path] = await self.content(earlier, file.path)
        # What neither may be written nor differs is left alone.
        differing = {
            path: content
            for path, content in wanted.items()
            if _sha256_of(newest, path) != _sha256_of(earlier, path)
        }

        def plan(found: FolderContents) -> Sequence[NewFile]:
            if found.files:
                return _new_files(found, differing, newest)
            # The folder went, or all that was in it: nobody's text is overwritten.
            return _new_files(found, wanted, None)

        origin = Origin(Cause.RESTORE, identity.user_id, restored_from=number)
        return await self._planned(identity, proposal, plan, origin, newest, make_folder=True)

    async def _change(
        self,
        identity: Identity,
        proposal_id: str,
        base: int,
        wanted: Mapping[str, bytes | None],
        origin: Origin,
    ) -> tuple[Revision, bool]:
        await self._editing.check_text(identity, proposal_id)
        proposal = await self.looked_at(identity, proposal_id)
        newest = proposal.revision
        meant = None if base == 0 else await self._revision(proposal_id, base)
        there = None if newest is None else await self._revision(proposal_id, newest.number)
        stale = [path for path in wanted if _sha256_of(meant, path) != _sha256_of(there, path)]
        if stale:
            raise RevisionConflictError(stale, there)

        def plan(found: FolderContents) -> Sequence[NewFile]:
            return _new_files(found, wanted, there)

        return await self._planned(
            identity, proposal, plan, origin, there, make_folder=there is None
        )

    async def _planned(
        self,
        identity: Identity,
        proposal: Proposal,
        plan: Callable[[FolderContents], Sequence[NewFile]],
        origin: Origin,
        newest: Revision | None,
        *,
        make_folder: bool,
    ) -> tuple[Revision, bool]:
        """Write what a plan says of what is there; see `write` for what it returns."""
        loop = asyncio.get_running_loop()

        def check() -> None:
            # Once more while nobody else writes: it may have been archived since.
            rights = self._editing.check_text(identity, proposal.proposal_id)
            loop_does(loop, rights, RECORD_TIMEOUT_S)

        try:
            made = await self._recorder.recorded(
                proposal.proposal_id,
                origin,
                lambda record: self._writer.change(
                    proposal.project_id,
                    proposal.proposal_id,
                    secrets.token_hex(8),
                    plan,
                    record,
                    check=check,
                    make_folder=make_folder,
                ),
            )
        except WorkspaceError as error:
            raise _as_refusal(error, newest) from error
        except UnsafePathError as error:
            raise UnsafeFileError(str(error)) from error
        except TimeoutError:
            raise StoreUnavailableError("The database does not answer; try again soon") from None
        if made is not None:
            return made, True
        await self._editing.check_text(identity, proposal.proposal_id)  # archived meanwhile
        return await self.get(identity, proposal.proposal_id, CURRENT), False


def _new_files(
    found: FolderContents, wanted: Mapping[str, bytes | None], there: Revision | None
) -> list[NewFile]:
    """What is to be written so that files are as wanted.

    Args:
        found: what is in the folder.
        wanted: by path; None where no file is to be.
        there: the revision that it should be.

    Raises:
        RevisionConflictError: it is another one, in the moment since somebody looked.
    """
    conflicting = [path for path in wanted if _sha256_in(found, path) != _sha256_of(there, path)]
    if conflicting:
        raise RevisionConflictError(conflicting, there)
    return [
        NewFile(path, _sha256_in(found, path), content)
        for path, content in wanted.items()
        if content is not None or path in found.files
    ]


def _as_refusal(error: WorkspaceError, newest: Revision | None) -> Exception:
    match error.reason:
        case "unsafe_path":
            return UnsafeFileError(str(error))
        case "conflict":
            return RevisionConflictError([error.path or str(error)], newest)
        case "too_large":
            return FilesTooLargeError(f"{error}; nothing was written")
        case "no_such_proposal":
            return FilesNotReachedError(
                f"{error}: put a revision back to have it again", why=error.reason
            )
        case "busy":
            return FilesBusyError(str(error), retry_after_s=2)
    return FilesNotReachedError(str(error), why=error.reason)


def _wanted(files: Mapping[str, str | None]) -> dict[str, bytes | None]:
    """The files that are to be written, by their plain paths.

    Raises:
        InvalidError: there are none, or two of one path.
        UnsafeFileError: a path is none.
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
