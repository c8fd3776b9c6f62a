"""Membership: each feed's members, kept in step with the log, whose order decides who sees.

An event for members carries those of the moment in which it was made, in the same update of the
proposal's document that orders it among the proposal's other events. What is kept here are the
members of now: loaded when a feed is opened, then moved on by the proposals' own events.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from rtserver.delivery.feed import Feed
from rtserver.model.events import EventType, StoredEvent
from rtserver.model.visibility import MemberTable

MEMBERSHIP_EVENTS = frozenset(
    type_.value
    for type_ in (
        EventType.PROPOSAL_CREATED,
        EventType.PROPOSAL_UPDATED,
        EventType.PROPOSAL_DELETED,
    )
)
"""The types of events that may change members. Services cannot publish them: they have no dot."""


class MemberSource(Protocol):
    """Where members are kept."""

    async def members(self, project_id: str) -> Iterable[tuple[str, int, frozenset[str]]]:
        """Id, version and members of each proposal of a project.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """


class NoMembers:
    """For a log that has no proposals."""

    async def members(self, project_id: str) -> Iterable[tuple[str, int, frozenset[str]]]:  # noqa: ARG002
        """None."""
        return ()


class Membership:
    """What the dispatcher asks before it hands a batch on."""

    def __init__(self, source: MemberSource) -> None:
        self._source = source

    async def table(self, project_id: str) -> MemberTable:
        """The members as they are now.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        table = MemberTable()
        await self._load(project_id, table)
        return table

    async def load(self, feed: Feed) -> None:
        """Load current members; the snapshot may be newer than the feed's position, never older.

        Where it is newer, later events bring nothing new, and meanwhile a user who was removed
        already sees less, never more.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        await self._load(feed.project_id, feed.members)

    async def _load(self, project_id: str, table: MemberTable) -> None:
        for proposal_id, version, members in await self._source.members(project_id):
            table.learn(proposal_id, version, members)

    @staticmethod
    def steps(feed: Feed, events: list[StoredEvent]) -> Iterator[list[StoredEvent]]:
        """Split a batch where members change; hand each part on before asking for the next.

        So who is removed in the middle of a batch gets what comes before that, and no more.
        """
        begin = 0
        for index, event in enumerate(events):
            if event.type in MEMBERSHIP_EVENTS:
                if index > begin:
                    yield events[begin:index]
                begin = index
                _learn(feed, event)
        yield events[begin:] if begin else events


def _learn(feed: Feed, event: StoredEvent) -> None:
    frame = event.frame()
    if event.type == EventType.PROPOSAL_DELETED:
        feed.members.learn(frame["proposal_id"], frame["version"], frozenset())
        return
    proposal = frame["proposal"]
    members = frozenset((proposal["author"], *proposal["reviewers"]))
    feed.members.learn(proposal["id"], proposal["version"], members)
