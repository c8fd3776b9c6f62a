"""Makes what is in a proposal's folder a revision, whoever put it there."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from rtserver.lib.batching import Batcher
from rtserver.lib.threads import loop_does, see_through
from rtserver.model.audience import viewers_and
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventDraft, EventType
from rtserver.reviews.collisions import Touch
from rtserver.reviews.editing import REVISED, ProposalService, change_events, next_version
from rtserver.reviews.proposals import (
    MAX_ATTEMPTS,
    ContendedError,
    Proposal,
    ProposalStore,
    Record,
    present_collisions,
)
from rtserver.reviews.statuses import ProposalStatus
from rtserver.reviews.verdicts import RevisionRefJson
from rtserver.revisions.commits import revision_commit
from rtserver.revisions.committing import Committer
from rtserver.revisions.local_turns import LocalTurns
from rtserver.revisions.model import (
    Cause,
    Origin,
    Revision,
    RevisionStore,
    digest_of_files,
    next_revision,
)
from rtserver.revisions.requirements import touches_of
from rtserver.runs.files.read import FolderContents, WorkspaceError
from rtserver.runs.files.write import LOCK_TIMEOUT_S, ProposalWriter

RECORD_TIMEOUT_S = 15.0
SEEN = Origin(Cause.DISK)

_log = structlog.get_logger()


class RevisionRecorder:
    """Records the texts of proposals; see docs/reviewing.md.

    A text is recorded by the thread that has read or written it, while it holds the files' lock: so
    nobody writes between what is seen and what is recorded. There are few threads, and one that
    waits for the event loop must not wait for something that needs another thread.
    """

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
        self._turns = LocalTurns()
        # Who asks while one look is under way shares the next one with all who do.
        self._looks: Batcher[str, Proposal, None] = Batcher(self._look)

    async def look(self, proposal: Proposal) -> None:
        """See whether the text in the workspace is another one now, and make that a revision.

        Where there is no text, or it can't be read now, everything stays as it was.

        Raises:
            ContendedError: others keep changing the proposal.
            StoreUnavailableError: MongoDB does not answer.
        """
        if proposal.status is not ProposalStatus.ARCHIVED:
            await self._looks(proposal.proposal_id, proposal)

    async def _look(self, proposal_id: str, asked: Sequence[Proposal]) -> Sequence[None]:
        project_id = asked[0].project_id
        try:
            await self.recorded(
                proposal_id,
                SEEN,
                lambda record: self._writer.contents(project_id, proposal_id, record),
            )
        except WorkspaceError as error:
            _log.debug("text_not_seen", proposal_id=proposal_id, problem=str(error))
        return [None] * len(asked)

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

    def after_write(self, proposal_id: str, origin: Origin) -> Callable[[FolderContents], None]:
        """What a thread calls that has written files, while it holds their lock.

        Whatever goes wrong is logged: the files are written, and whoever looks next sees them.
        """
        make = self._maker(proposal_id, origin)

        def record(contents: FolderContents) -> None:
            try:
                make(contents)
            except Exception as error:  # noqa: BLE001 - see above
                _log.warning("revision_not_made", proposal_id=proposal_id, error=str(error))

        return record

    async def recorded(
        self,
        proposal_id: str,
        origin: Origin,
        work: Callable[[Callable[[FolderContents], None]], None],
    ) -> Revision | None:
        """Do something to files in a thread that hands over what is there while it holds the lock.

        Returns:
            The revision that was made; None where the text is that of the newest.

        Raises:
            CancelledError: whoever waits was cancelled; it was seen through nevertheless.
            WorkspaceError: others are at work on the files, or what `work` raises.
            ContendedError, StoreUnavailableError: it could not be recorded.
        """
        make = self._maker(proposal_id, origin)
        made: list[Revision | None] = []

        def record(contents: FolderContents) -> None:
            made.append(make(contents))

        try:
            async with self._turns.of(proposal_id, LOCK_TIMEOUT_S):
                cancelled = await see_through(asyncio.to_thread(work, record))
        except TimeoutError:
            raise WorkspaceError("busy", "Others are at work on this proposal's files") from None
        if cancelled:
            raise asyncio.CancelledError  # a run was, say, which only looked
        return made[0]

    def _maker(
        self, proposal_id: str, origin: Origin
    ) -> Callable[[FolderContents], Revision | None]:
        """`_record` for a thread that holds the files' lock."""
        loop = asyncio.get_running_loop()

        def make(contents: FolderContents) -> Revision | None:
            # Here, because the loop has other things to do than to go through 16 MiB.
            digest = digest_of_files(contents.files)
            try:
                known = self._is_known(proposal_id, contents, digest)
                if loop_does(loop, known, RECORD_TIMEOUT_S):
                    return None
                touches = touches_of(contents.files)
                recorded = self._record(proposal_id, contents, digest, touches, origin)
                return loop_does(loop, recorded, RECORD_TIMEOUT_S)
            except TimeoutError:
                raise StoreUnavailableError(
                    "The database does not answer; try again soon"
                ) from None

        return make

    async def _is_known(self, proposal_id: str, contents: FolderContents, digest: str) -> bool:
        """Whether there is nothing to be recorded."""
        return _has(await self._proposals.get(proposal_id), contents, digest)

    async def _record(
        self,
        proposal_id: str,
        contents: FolderContents,
        digest: str,
        touches: list[Touch],
        origin: Origin,
    ) -> Revision | None:
        """Make what is there a revision, unless it is the newest one already."""
        kept = False
        for _ in range(MAX_ATTEMPTS):
            proposal = await self._proposals.get(proposal_id)
            if proposal is None or _has(proposal, contents, digest):
                return None
            newest = proposal.revision
            if newest is not None and newest.digest == digest:
                if await self._note_touches(proposal, touches):
                    return None
                continue
            before = None if newest is None else await self._store.get(proposal_id, newest.number)
            if not kept:
                await self._store.keep(contents.files)
                kept = True
            revision = next_revision(proposal, before, contents, digest, origin)
            if await self._add(proposal, revision, touches):
                return revision
        raise ContendedError

    async def _add(self, proposal: Proposal, revision: Revision, touches: list[Touch]) -> bool:
        """Give a proposal its next revision; False where somebody else has changed it."""
        collisions = await present_collisions(self._proposals, proposal, touches)
        changed = next_version(
            replace(proposal, revision=revision.ref, collisions=collisions), proposal
        )
        if proposal.status is ProposalStatus.APPROVED:
            changed = replace(changed, status=ProposalStatus.IN_REVIEW)
        events = change_events(proposal, changed, revision.actor, cause=REVISED)
        told = EventDraft(
            proposal.project_id,
            EventType.REVISION_CREATED,
            audience=viewers_and(proposal.proposal_id, proposal.members),
            proposal_id=proposal.proposal_id,
        )
        if not await self._proposals.change(changed, events, Record(revision, told), touches):
            return False
        if changed.status is not proposal.status:
            self._editing.tell_reopened(changed, revision.actor or "")
        if self._committer is not None:
            await self._committer.offer(revision_commit(revision))
        return True

    async def _note_touches(self, proposal: Proposal, touches: list[Touch]) -> bool:
        """Keep what a text touches that was seen before that was asked; False to try again."""
        collisions = await present_collisions(self._proposals, proposal, touches)
        changed = replace(proposal, collisions=collisions, version=proposal.version + 1)
        told = change_events(proposal, changed, None)
        return await self._proposals.change(changed, told, touches=touches)


def _has(proposal: Proposal | None, contents: FolderContents, digest: str) -> bool:
    """Whether a proposal has a text already, with what it touches, or takes none."""
    if proposal is None or proposal.status is ProposalStatus.ARCHIVED:
        return True
    if proposal.revision is None:
        return not contents.files
    return proposal.revision.digest == digest and proposal.collisions is not None
