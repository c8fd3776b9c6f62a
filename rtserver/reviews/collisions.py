"""Collisions: open proposals of a project that touch the same requirement.

Two proposals that change what one requirement says collide, and so do two that bring requirements
of one name: whichever is archived second undoes the first, or is refused. Which requirements a
proposal touches follows from its text alone, and is kept beside it; from that its collisions are
worked out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from rtserver.model.field_types import ProposalId

MAX_TOUCHES = 1_000
MAX_COLLISIONS = 50
MAX_NAME_CHARS = 300
"""Of capability and requirement; who has longer ones is not told of collisions in them."""

Operation = Literal["added", "modified", "removed", "renamed"]


class CollisionJson(TypedDict):
    """A requirement that another open proposal touches too.

    Attributes:
        proposal_id: the other one.
        requirement: the name by which both touch it.
        here: what this proposal does to it: `added`, `modified`, `removed` or `renamed`.
        there: what the other one does.
    """

    proposal_id: ProposalId
    capability: str
    requirement: str
    here: Operation
    there: Operation


@dataclass(frozen=True, slots=True)
class Touch:
    """A requirement that a proposal touches.

    Attributes:
        operation: what the proposal does to it.
        is_new: whether the name is one that the proposal brings, and not one of today's specs.
    """

    capability: str
    requirement: str
    operation: Operation
    is_new: bool

    @property
    def key(self) -> str:
        """The same for two touches that collide. Neither part holds a line break."""
        kind = "new" if self.is_new else "old"
        return f"{kind}\n{self.capability}\n{self.requirement}"

    @classmethod
    def from_key(cls, key: str, operation: Operation) -> "Touch":
        """The touch that has this key."""
        kind, capability, requirement = key.split("\n")
        return cls(capability, requirement, operation, kind == "new")


@dataclass(frozen=True, slots=True)
class Collision:
    """See `CollisionJson`."""

    proposal_id: str
    capability: str
    requirement: str
    here: Operation
    there: Operation

    def to_json(self) -> CollisionJson:
        """The collision as clients see it."""
        return {
            "proposal_id": self.proposal_id,
            "capability": self.capability,
            "requirement": self.requirement,
            "here": self.here,
            "there": self.there,
        }


def kept_touches(touches: Iterable[Touch]) -> list[Touch]:
    """Each key once, as many as are kept."""
    kept = {
        touch.key: touch
        for touch in touches
        if "\n" not in touch.capability + touch.requirement
        and len(touch.capability) + len(touch.requirement) <= MAX_NAME_CHARS
    }
    return list(kept.values())[:MAX_TOUCHES]


def collisions_between(
    here: Iterable[Touch], others: Iterable[tuple[str, Sequence[Touch]]]
) -> tuple[Collision, ...]:
    """What collides with a proposal, in the order of the others' ids, then of the names.

    Args:
        here: what the proposal touches.
        others: by its id, what each other open proposal touches.
    """
    mine = {touch.key: touch for touch in here}
    found = [
        Collision(
            proposal_id,
            theirs.capability,
            theirs.requirement,
            mine[theirs.key].operation,
            theirs.operation,
        )
        for proposal_id, touches in others
        for theirs in touches
        if theirs.key in mine
    ]
    found.sort(key=lambda each: (each.proposal_id, each.capability, each.requirement))
    return tuple(found[:MAX_COLLISIONS])
