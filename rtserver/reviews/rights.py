"""Who may do what to a proposal. The same as a table is in docs/collaboration.md.

Whoever may open the project may read its proposals, comment on them, have them validated and make
new ones known; that is asked with `Identity.may_open`, and no more of it here.
"""

from rtserver.model.errors import ConflictError, ForbiddenError
from rtserver.model.identity import Identity
from rtserver.reviews.proposals import NewProposal, Proposal, ProposalChanges
from rtserver.reviews.statuses import ProposalStatus


class ArchivedError(ConflictError):
    """The proposal is archived, so its text stays as it is."""

    reason = "archived"

    def __init__(self, proposal: Proposal) -> None:
        super().__init__(
            f"The proposal {proposal.proposal_id!r} is archived: its text is not changed any more"
        )


def _is_trusted(identity: Identity) -> bool:
    return identity.is_admin or identity.is_service


def _is_owner(identity: Identity, proposal: Proposal) -> bool:
    """Whether it is the author, or who made the proposal known."""
    return identity.user_id in (proposal.author, proposal.created_by)


def check_creation(identity: Identity, new: NewProposal) -> None:
    """See that a user may make this known: `approved` takes a review, or somebody who is trusted.

    Raises:
        ForbiddenError: the user may not.
    """
    if new.status is ProposalStatus.APPROVED and not _is_trusted(identity):
        raise ForbiddenError(
            "Only admins and services may make a proposal known as approved; make it known as "
            "in_review, and have it approved"
        )


def check_change(identity: Identity, proposal: Proposal, changes: ProposalChanges) -> None:
    """See that a user may change this: reviewers the status; author, maker and admins anything.

    Raises:
        ForbiddenError: the user may not.
    """
    if _is_trusted(identity) or _is_owner(identity, proposal):
        return
    if identity.user_id not in proposal.reviewers:
        raise ForbiddenError("Only the proposal's author, its reviewers and admins may change it")
    if (changes.title, changes.author, changes.reviewers) != (None, None, None):
        raise ForbiddenError("A reviewer may change the proposal's status, and nothing else of it")


def check_removal(identity: Identity, proposal: Proposal) -> None:
    """See that a user may remove the proposal: its author, who made it known, and admins.

    Raises:
        ForbiddenError: the user may not.
    """
    if not (identity.is_admin or _is_owner(identity, proposal)):
        raise ForbiddenError(
            "Only the proposal's author, who made it known and admins may remove it"
        )


def takes_part(identity: Identity, proposal: Proposal) -> bool:
    """Whether the user is the proposal's author, made it known, or is one of its reviewers."""
    return _is_owner(identity, proposal) or identity.user_id in proposal.reviewers


def check_text_change(identity: Identity, proposal: Proposal) -> None:
    """See that a user may change the proposal's text, or have it changed.

    Raises:
        ForbiddenError: the user may not.
        ArchivedError: nobody may any more.
    """
    if not (_is_trusted(identity) or takes_part(identity, proposal)):
        raise ForbiddenError(
            "Only the proposal's author, who made it known, its reviewers and admins may revise it"
        )
    if proposal.status is ProposalStatus.ARCHIVED:
        raise ArchivedError(proposal)
