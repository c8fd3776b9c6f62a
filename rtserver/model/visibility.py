"""Visibility: who may see an event, and what a connection is narrowed to."""

from collections.abc import Callable
from dataclasses import dataclass

from rtserver.model import ids
from rtserver.model.audience import Audience, AudienceKind
from rtserver.model.errors import InvalidError

MAX_VIEWED = 100
MAX_FOCUSED = 10
"""Of one connection; the rest is not told."""


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


def view_of(proposal_ids: list[str]) -> frozenset[str] | None:
    """What a list of proposal ids narrows the view to; None (the whole project) where it is empty.

    Raises:
        InvalidError: an id is not one, or there are too many.
    """
    if len(proposal_ids) > MAX_VIEWED:
        raise InvalidError(f"At most {MAX_VIEWED} proposals can be viewed by name; leave them out")
    try:
        return frozenset(map(ids.proposal_id, proposal_ids)) or None
    except ids.BadIdentifier as error:
        raise InvalidError(str(error)) from None


def focus_of(focus: list[str] | None, viewed: frozenset[str] | None) -> frozenset[str]:
    """What presence says that a user looks at: the focus, or else what is viewed by name.

    Raises:
        InvalidError: an id is not one, or there are too many.
    """
    focused = viewed if focus is None else view_of(focus)
    if focused is None:
        return frozenset()
    return focused if len(focused) <= MAX_FOCUSED else frozenset(sorted(focused)[:MAX_FOCUSED])


Members = Callable[[str], frozenset[str]]
"""From a proposal id to its author and reviewers, as they are now."""


def visible(audience: Audience, viewer: Viewer, members: Members) -> bool:
    """Whether the viewer gets an event of this audience, by the state of now."""
    match audience.kind:
        case AudienceKind.PROJECT:
            return True
        case AudienceKind.PROPOSAL:
            return viewer.views(audience.proposal_id) or viewer.user_id in audience.users
        case AudienceKind.MEMBERS:
            # Both: one who was added later has no right to what was said before, and one who was
            # removed has none any more.
            return viewer.user_id in audience.users and viewer.user_id in members(
                audience.proposal_id or ""
            )
        case AudienceKind.USERS:
            return viewer.user_id in audience.users
        case AudienceKind.WORKERS:
            return False


class MemberTable:
    """The members of a project's proposals, each as of the newest version that was heard of."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, frozenset[str]]] = {}

    def learn(self, proposal_id: str, version: int, members: frozenset[str]) -> None:
        """Take a version over, unless a newer one is known already."""
        known = self._known.get(proposal_id)
        if known is None or version >= known[0]:
            self._known[proposal_id] = (version, members)

    def of(self, proposal_id: str) -> frozenset[str]:
        """Author and reviewers of a proposal; nobody where it is not known."""
        known = self._known.get(proposal_id)
        return _NOBODY if known is None else known[1]


_NOBODY: frozenset[str] = frozenset()
