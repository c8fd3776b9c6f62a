"""Archives what was approved: OpenSpec updates the specs by it, and the proposal is over."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from rtserver.lib.threads import loop_does
from rtserver.model.errors import ConflictError
from rtserver.model.identity import Identity
from rtserver.model.moments import present_moment
from rtserver.reviews.editing import ProposalService
from rtserver.reviews.proposals import Proposal, ProposalChanges, ProposalStore, visible_proposal
from rtserver.reviews.statuses import ProposalStatus
from rtserver.revisions.commits import ArchivedFiles, archive_commit, archived_files
from rtserver.revisions.committing import Committer
from rtserver.revisions.local_turns import LocalTurns
from rtserver.revisions.model import digest_of_files
from rtserver.revisions.openspec import TIMEOUT_S, Archived, OpenSpec, OpenSpecError
from rtserver.revisions.recording import RevisionRecorder
from rtserver.runs.files.paths import UnsafePathError
from rtserver.runs.files.read import FolderContents, WorkspaceError
from rtserver.runs.files.write import ProposalWriter

TURN_TIMEOUT_S = 60.0
DATABASE_TIMEOUT_S = 15.0

_log = structlog.get_logger()


class ArchiveRefusedError(ConflictError):
    """OpenSpec did not archive the change; nothing was changed."""

    reason = "archive_refused"


class ArchivingService:
    """Changes proposals as `ProposalService` does, and archives those that were approved."""

    def __init__(
        self,
        proposals: ProposalStore,
        editing: ProposalService,
        recorder: RevisionRecorder,
        writer: ProposalWriter,
        openspec: OpenSpec,
        workspaces: Path,
        *,
        committer: Committer | None = None,
    ) -> None:
        self._proposals = proposals
        self._editing = editing
        self._recorder = recorder
        self._writer = writer
        self._openspec = openspec
        self._workspaces = workspaces
        self._committer = committer
        self._turns = LocalTurns()

    async def change(
        self,
        identity: Identity,
        proposal_id: str,
        changes: ProposalChanges,
        fits: Callable[[Proposal], bool] | None = None,
    ) -> Proposal:
        """See `ProposalService.change`.

        Raises:
            ArchiveRefusedError: an approved proposal was to be archived, and OpenSpec refused.
            As `ProposalService.change`.
        """
        present = await visible_proposal(self._proposals, identity, proposal_id)
        if (
            changes.status is not ProposalStatus.ARCHIVED
            or present.status is not ProposalStatus.APPROVED
            or present.revision is None
        ):
            return await self._editing.change(identity, proposal_id, changes, fits)
        await self._editing.check(identity, present, changes, fits)
        await self._recorder.look(present)  # what was not approved puts it back to review
        approved = await visible_proposal(self._proposals, identity, proposal_id)
        await self._editing.check(identity, approved, changes, fits)
        if approved.status is not ProposalStatus.APPROVED:
            raise _not_approved(approved)
        workspace = self._workspaces / approved.project_id
        name = await asyncio.to_thread(_archived_as, workspace, proposal_id)
        if name is None:
            changed, left = await self._archive(identity, approved, changes)
        else:  # a worker died right after it
            left = await asyncio.to_thread(self._left, workspace, name)
            changed = await self._editing.change(identity, proposal_id, changes)
        await self._commit(approved, identity.user_id, left)
        return changed

    async def _archive(
        self, identity: Identity, proposal: Proposal, changes: ProposalChanges
    ) -> tuple[Proposal, ArchivedFiles | None]:
        """Have the change archived while nobody writes to it, and the proposal with it."""
        workspace = self._workspaces / proposal.project_id
        loop = asyncio.get_running_loop()
        done: list[tuple[Proposal, ArchivedFiles | None]] = []

        def archive(contents: FolderContents) -> None:
            # Others may have written, or changed their minds, until this lock was taken.
            digest = digest_of_files(contents.files)
            loop_does(loop, self._check(proposal, digest), DATABASE_TIMEOUT_S)
            asked = self._openspec.archive(workspace, proposal.proposal_id)
            archived = loop_does(loop, asked, 2 * TIMEOUT_S)
            _log.info(
                "change_archived", proposal_id=proposal.proposal_id, name=archived.archived_as
            )
            left = self._left(workspace, archived.archived_as)
            # Still under the lock, for whoever waits for it may write where it is not archived.
            moved = {"archive": archive_json(archived)}
            change = self._editing.change(identity, proposal.proposal_id, changes, moved=moved)
            done.append((loop_does(loop, change, DATABASE_TIMEOUT_S), left))

        try:
            # One at a time of a project, since all of them go for the lock of its specs.
            async with self._turns.of(proposal.project_id, TURN_TIMEOUT_S):
                await asyncio.to_thread(
                    self._writer.locked, proposal.project_id, proposal.proposal_id, archive
                )
        except (OpenSpecError, WorkspaceError) as error:
            raise ArchiveRefusedError(str(error)) from error
        except TimeoutError:
            raise ArchiveRefusedError("It was not its turn in time; try again soon") from None
        return done[0]

    async def _check(self, approved: Proposal, digest: str) -> None:
        """See that a proposal is approved still, and that this is the digest of its text."""
        present = await self._proposals.get(approved.proposal_id)
        if (
            present is None
            or present.status is not ProposalStatus.APPROVED
            or present.revision is None
            or present.revision.digest != digest
        ):
            raise _not_approved(present or approved)

    def _left(self, workspace: Path, archived_as: str) -> ArchivedFiles | None:
        """What is to be committed of it, if anything is."""
        if self._committer is None:
            return None
        try:
            return archived_files(workspace, archived_as)
        except (OSError, UnsafePathError) as error:
            _log.warning("archive_not_committed", name=archived_as, problem=str(error))
            return None

    async def _commit(self, proposal: Proposal, actor: str, left: ArchivedFiles | None) -> None:
        if self._committer is not None and left is not None:
            pending = archive_commit(
                proposal.project_id, proposal.proposal_id, actor, present_moment(), left
            )
            await self._committer.offer(pending, left.contents)


def _not_approved(proposal: Proposal) -> ConflictError:
    return ConflictError(
        "The text has changed since it was approved, or the proposal is not approved any more",
        "stale_revision",
        newest=None if proposal.revision is None else proposal.revision.to_json(),
    )


def archive_json(archived: Archived) -> dict[str, object]:
    """What `status_changed` says of it."""
    return {"archived_as": archived.archived_as, "specs": archived.totals}


def _archived_as(workspace: Path, change: str) -> str | None:
    """The name under which a change is archived already; None where it is not."""
    changes = workspace / "openspec" / "changes"
    if (changes / change).exists():
        return None
    names = (found.name for found in (changes / "archive").glob(f"????-??-??-{change}"))
    return max(names, default=None)
