"""Takes verdicts on exactly the text that was read."""

from dataclasses import replace

from rtserver.model import texts
from rtserver.model.audience import viewers_and
from rtserver.model.errors import ForbiddenError
from rtserver.model.events import EventDraft, EventType
from rtserver.model.identity import Identity
from rtserver.model.moments import present_moment
from rtserver.reviews.editing import change_events, next_version
from rtserver.reviews.proposals import (
    MAX_ATTEMPTS,
    ContendedError,
    Proposal,
    ProposalStore,
    visible_proposal,
)
from rtserver.reviews.rights import ArchivedError
from rtserver.reviews.statuses import ProposalStatus
from rtserver.reviews.verdicts import MAX_REVIEW_CHARS, Review, Verdict, standing_after
from rtserver.revisions.model import StaleRevisionError
from rtserver.revisions.recording import RevisionRecorder


class ReviewService:
    """Verdicts of reviewers. Each is bound to a revision, and stands until the next one."""

    def __init__(self, proposals: ProposalStore, recorder: RevisionRecorder) -> None:
        self._proposals = proposals
        self._recorder = recorder

    async def submit(
        self, identity: Identity, proposal_id: str, verdict: Verdict, revision: int, text: str = ""
    ) -> tuple[Review, Proposal]:
        """Say what one thinks of a proposal's text.

        Args:
            identity: who says it.
            proposal_id: of which proposal.
            verdict: what.
            revision: the number of the revision that was read.
            text: why, for people.

        Returns:
            The verdict, and the proposal with all that stands now.

        Raises:
            NotFoundError: there is no such proposal that this user may see.
            ForbiddenError: the user is no reviewer; for a comment, no member at all.
            ArchivedError: the proposal is archived.
            StaleRevisionError: the text has changed since that revision.
            InvalidError: the text cannot be used.
            ConflictError: others keep changing the proposal.
            StoreUnavailableError: MongoDB does not answer.
        """
        if text:
            text = texts.prose("text", text, MAX_REVIEW_CHARS)
        present = await visible_proposal(self._proposals, identity, proposal_id)
        _check_rights(identity, present, verdict)
        await self._recorder.look(present)
        for _ in range(MAX_ATTEMPTS):
            present = await visible_proposal(self._proposals, identity, proposal_id)
            _check_rights(identity, present, verdict)
            if present.revision is None or present.revision.number != revision:
                raise StaleRevisionError(revision, present.revision)
            review = Review(
                reviewer=identity.user_id,
                reviewer_name=identity.name,
                verdict=verdict,
                revision=revision,
                digest=present.revision.digest,
                text=text,
                at=present_moment(),
            )
            standing = standing_after(present.reviews, review)
            changed = next_version(replace(present, reviews=standing), present)
            told = EventDraft(
                present.project_id,
                EventType.REVIEW_SUBMITTED,
                {
                    "review": review.to_json(changed.revision),
                    "approvals": changed.approvals,
                    "actor": identity.user_id,
                },
                audience=viewers_and(proposal_id, present.members),
                proposal_id=proposal_id,
            )
            events = change_events(present, changed, identity.user_id)
            if await self._proposals.change(changed, [*events, told]):
                return review, changed
        raise ContendedError


def _check_rights(identity: Identity, proposal: Proposal, verdict: Verdict) -> None:
    if proposal.status is ProposalStatus.ARCHIVED:
        raise ArchivedError(proposal)
    if identity.user_id in proposal.reviewers or identity.is_admin:
        return
    if verdict is not Verdict.COMMENT:
        raise ForbiddenError("Only the proposal's reviewers and admins decide on it")
    if identity.user_id not in (proposal.author, proposal.created_by) and not identity.is_service:
        raise ForbiddenError("Only the proposal's author, its reviewers and admins review it")
