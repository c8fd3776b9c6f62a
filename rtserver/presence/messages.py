"""Presence frames: who is present in a project, and what changed of it."""

import msgspec

from rtserver.model.field_types import ProposalId, UserId
from rtserver.sessions.server_frames import SessionFrame


class Person(msgspec.Struct, frozen=True):
    """Somebody who is present, once, however many connections they have.

    Attributes:
        user_id, name: as their token says.
        proposal_ids: what they look at; empty where that is the project as a whole.
    """

    user_id: UserId
    name: str
    proposal_ids: tuple[ProposalId, ...] = ()


class Presence(SessionFrame, tag="presence", omit_defaults=True):
    """Who is present: everyone (`present`), or what changed since the frame before.

    Attributes:
        count: how many people are present, listed or not.
        present: all who are listed; replaces what was known.
        joined: new on the list.
        moved: they look at something else now, or have another name.
        left: ids of those who are off the list.
    """

    count: int
    present: list[Person] | msgspec.UnsetType = msgspec.UNSET
    joined: list[Person] = msgspec.field(default_factory=list)
    moved: list[Person] = msgspec.field(default_factory=list)
    left: list[UserId] = msgspec.field(default_factory=list)
