"""Statuses of a proposal, and which lead on to which. See docs/collaboration.md."""

import enum
from collections.abc import Mapping

from rtserver.model.errors import ConflictError


class ProposalStatus(enum.StrEnum):
    """How far a proposal is."""

    DRAFT = "draft"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    REJECTED = "rejected"
    ARCHIVED = "archived"

    @property
    def is_open(self) -> bool:
        """Whether what the proposal says may still come into the specs."""
        return self not in (ProposalStatus.REJECTED, ProposalStatus.ARCHIVED)


MOVES: Mapping[ProposalStatus, tuple[ProposalStatus, ...]] = {
    ProposalStatus.DRAFT: (ProposalStatus.IN_REVIEW, ProposalStatus.ARCHIVED),
    ProposalStatus.IN_REVIEW: (
        ProposalStatus.DRAFT,
        ProposalStatus.APPROVED,
        ProposalStatus.REJECTED,
        ProposalStatus.ARCHIVED,
    ),
    ProposalStatus.APPROVED: (ProposalStatus.IN_REVIEW, ProposalStatus.ARCHIVED),
    ProposalStatus.REJECTED: (
        ProposalStatus.DRAFT,
        ProposalStatus.IN_REVIEW,
        ProposalStatus.ARCHIVED,
    ),
    ProposalStatus.ARCHIVED: (),
}
"""From each status to those that may follow it."""


class WrongMoveError(ConflictError):
    """The status does not lead to the one asked for; `details` names those that it leads to."""

    reason = "wrong_move"

    def __init__(self, present: ProposalStatus, wanted: ProposalStatus) -> None:
        allowed = [status.value for status in MOVES[present]]
        words = ", ".join(allowed) if allowed else "nothing: it is final"
        super().__init__(
            f"A proposal that is {present.value} cannot become {wanted.value}; "
            f"it can become {words}",
            current=present.value,
            allowed=allowed,
        )


def check_move(present: ProposalStatus, wanted: ProposalStatus) -> None:
    """See that a status may follow another.

    Raises:
        WrongMoveError: it may not. Staying where it is is no move, and always allowed.
    """
    if wanted is not present and wanted not in MOVES[present]:
        raise WrongMoveError(present, wanted)
