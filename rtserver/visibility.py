"""Who may see an event."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rtserver.events import Audience, AudienceKind


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks, and at what.

    Attributes:
        user_id: the token's subject.
        proposal_ids: what the connection is narrowed to; None where it views the whole project.
    """

    user_id: str
    proposal_ids: frozenset[str] | None = None

    def views(self, proposal_id: str | None) -> bool:
        """Whether the proposal is in view."""
        return self.proposal_ids is None or proposal_id in self.proposal_ids


Members = Callable[[str], frozenset[str]]
"""From a proposal id to its author and reviewers, as they are now."""


def visible(audience: Audience, viewer: Viewer, members: Members) -> bool:
    """Whether the viewer gets an event of this audience, by the state of now."""
    match audience.kind:
        case AudienceKind.PROJECT:
            return True
        case AudienceKind.PROPOSAL:
            return viewer.views(audience.proposal_id)
        case AudienceKind.MEMBERS:
            return viewer.user_id in members(audience.proposal_id or "")
        case AudienceKind.USERS:
            return viewer.user_id in audience.users
        case AudienceKind.WORKERS:
            return False


def no_members(_proposal_id: str) -> frozenset[str]:
    """For projects without proposals."""
    return frozenset()


def members_in(table: Mapping[str, frozenset[str]]) -> Members:
    """Look members up in a table."""
    return lambda proposal_id: table.get(proposal_id, frozenset())
