"""Archives what was approved: OpenSpec updates the specs by it, and the proposal is over."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from rtserver.model.errors import ConflictError
from rtserver.model.identity import Identity
from rtserver.model.moments import present_moment
from rtserver.reviews.editing import ProposalService
from rtserver.reviews.proposals import Proposal, ProposalChanges, ProposalStore, visible_proposal
from rtserver.reviews.statuses import ProposalStatus
from rtserver.revisions.commits import ArchivedFiles, archive_commit, archived_files
from rtserver.revisions.committing import Committer
from rtserver.revisions.openspec import Archived, OpenSpec, OpenSpecError
from rtserver.revisions.service import RevisionService
from rtserver.runs.files.paths import UnsafePathError
from rtserver.runs.files.read import WorkspaceError
from rtserver.runs.files.write import ProposalWriter

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
        revisions: RevisionService,
        writer: ProposalWriter,
        openspec: OpenSpec,
        workspaces: Path,
        *,
        committer: Committer | None = None,
    ) -> None:
        self._proposals = proposals
        self._editing = editing
        self._revisions = revisions
        self._writer = writer
        self._openspec = openspec
        self._workspaces = workspaces
        self._committer = committer

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
        await self._revisions.look(present)  # what was not approved puts it back to review
        approved = await visible_proposal(self._proposals, identity, proposal_id)
        await self._editing.check(identity, approved, changes, fits)
        if approved.status is not ProposalStatus.APPROVED:
            raise ConflictError(
                "The text has changed since it was approved, so the proposal is in review again",
                "stale_revision",
                newest=None if approved.revision is None else approved.revision.to_json(),
            )
        archived = await self._archive(approved, identity.user_id)
        return await self._editing.change(
            identity,
            proposal_id,
            changes,
            moved=None if archived is None else {"archive": archive_json(archived)},
        )

    async def _archive(self, proposal: Proposal, actor: str) -> Archived | None:
        """Have the change archived while nobody writes to it; None where it is already."""
        workspace = self._workspaces / proposal.project_id
        name = await asyncio.to_thread(_archived_as, workspace, proposal.proposal_id)
        if name is not None:  # a worker died right after it
            await self._commit(
                proposal, actor, await asyncio.to_thread(self._left, workspace, name)
            )
            return None
        loop = asyncio.get_running_loop()
        done: list[tuple[Archived, ArchivedFiles | None]] = []

        def archive() -> None:
            asked = self._openspec.archive(workspace, proposal.proposal_id)
            archived = asyncio.run_coroutine_threadsafe(asked, loop).result()
            done.append((archived, self._left(workspace, archived.archived_as)))

        try:
            await asyncio.to_thread(
                self._writer.locked, proposal.project_id, proposal.proposal_id, archive
            )
        except OpenSpecError as error:
            raise ArchiveRefusedError(str(error)) from error
        except WorkspaceError as error:
            raise ArchiveRefusedError(str(error)) from error
        archived, left = done[0]
        _log.info("change_archived", proposal_id=proposal.proposal_id, name=archived.archived_as)
        await self._commit(proposal, actor, left)
        return archived

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
