"""A feed: one project on one worker, with its position, its recent events and its subscribers."""

import asyncio
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from rtserver.delivery.horizon import KeptHorizon
from rtserver.delivery.send_buffer import Outbox
from rtserver.delivery.wire_forms import Encoding
from rtserver.model.events import StoredEvent
from rtserver.model.visibility import MemberTable, Viewer

LOOK_S = 0.005


class Subscriber(Protocol):
    """A live connection, as the fan-out sees it.

    Attributes:
        encoding: its wire form.
        viewer: decides what it gets.
        outbox: where its bytes go.
    """

    encoding: Encoding
    viewer: Viewer
    outbox: Outbox

    def send_gap(self, *, requested: int, lost: int) -> None:
        """Say that events after `requested` are gone, and how many."""


class LiveSubscribers:
    """The subscribers that get what comes next, in the order in which they joined."""

    __slots__ = ("_outboxes", "_subscribers")

    def __init__(self) -> None:
        self._subscribers: dict[Subscriber, None] = {}
        self._outboxes: dict[Encoding, tuple[Outbox, ...]] | None = None

    def add(self, subscriber: Subscriber) -> None:
        """Let one in. Its encoding and its outbox stay the same until it is discarded."""
        self._subscribers[subscriber] = None
        self._outboxes = None

    def discard(self, subscriber: Subscriber) -> None:
        """Take one out, if it is there."""
        self._subscribers.pop(subscriber, None)
        self._outboxes = None

    def outboxes(self) -> dict[Encoding, tuple[Outbox, ...]]:
        """All outboxes by wire form; kept, since who is there changes far less than events come."""
        found = self._outboxes
        if found is None:
            lists: dict[Encoding, list[Outbox]] = {}
            for subscriber in self._subscribers:
                lists.setdefault(subscriber.encoding, []).append(subscriber.outbox)
            found = {encoding: tuple(outboxes) for encoding, outboxes in lists.items()}
            self._outboxes = found
        return found

    def present(self) -> tuple[Subscriber, ...]:
        """Those of this moment."""
        return tuple(self._subscribers)

    def __contains__(self, subscriber: object) -> bool:
        return subscriber in self._subscribers

    def __iter__(self) -> Iterator[Subscriber]:
        """Over those of this moment: any may go while one is handed something.

        A send that overflows closes its session, which leaves the feed in the same step.
        """
        return iter(self.present())

    def __len__(self) -> int:
        return len(self._subscribers)


class Recent:
    """The newest events of a project, bounded in bytes, without a hole."""

    __slots__ = ("_bytes", "_events", "_limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._events: deque[StoredEvent] = deque()
        self._bytes = 0

    def extend(self, events: list[StoredEvent]) -> None:
        """Add what follows. Where something is missing in between, what was there is dropped."""
        if not events:
            return
        if self._events and events[0].seq != self._events[-1].seq + 1:
            self.clear()
        self._events.extend(events)
        self._bytes += sum([len(event.payload) for event in events])
        while self._bytes > self._limit_bytes and self._events:
            self._bytes -= len(self._events.popleft().payload)

    def clear(self) -> None:
        """Forget everything: what follows does not join on."""
        self._events.clear()
        self._bytes = 0

    def after(self, seq: int, limit_bytes: int) -> list[StoredEvent] | None:
        """The events after `seq`, as many as fit; None where the first of them is not here.

        So a list that is given out is never empty, and each answer gets the caller further.
        """
        if not self.reaches(seq):
            return None
        found: list[StoredEvent] = []
        for event in islice(self._events, seq + 1 - self._events[0].seq, None):
            limit_bytes -= len(event.payload)
            if limit_bytes < 0 and found:
                break
            found.append(event)
        return found

    def between(self, after: int, upto: int) -> Iterator[StoredEvent] | None:
        """The events with `after < seq <= upto`; None where the first of them is not here."""
        if not self.reaches(after):
            return None
        first = self._events[0].seq
        return islice(self._events, after + 1 - first, upto + 1 - first)

    def reaches(self, seq: int) -> bool:
        """Whether the event after `seq` is here."""
        return bool(self._events) and self._events[0].seq - 1 <= seq < self._events[-1].seq


class Feed:
    """One project on this worker.

    Attributes:
        project_id: which.
        seq: the last number that was handed to the live subscribers.
        target: the last number that the tail has shown; larger than `seq` while a hole is filled.
        ready: done when `seq` is known.
        live: the subscribers that get what comes next; others are still catching up.
        behind: live subscribers that were passed over since they last learned the position.
        holders: sessions that hold the feed open, live or not.
        members: author and reviewers of the project's proposals.
        horizon: where its events begin in the buffer.
        idle_since_s: loop time since when nobody holds it; None while somebody does.
    """

    __slots__ = (
        "behind",
        "filling",
        "holders",
        "horizon",
        "idle_since_s",
        "live",
        "members",
        "project_id",
        "ready",
        "recent",
        "seq",
        "target",
    )

    def __init__(self, project_id: str, recent_bytes: int) -> None:
        self.project_id = project_id
        self.seq = 0
        self.target = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.live = LiveSubscribers()
        self.behind: set[Subscriber] = set()
        self.holders = 0
        self.horizon = KeptHorizon()
        self.recent = Recent(recent_bytes)
        self.members = MemberTable()
        self.filling: asyncio.Task[None] | None = None
        self.idle_since_s: float | None = None

    async def reached(self, seq: int, timeout_s: float) -> bool:
        """Wait until this worker has come as far as a number; False where it did not in time."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self.seq < seq:
            if loop.time() > deadline_s:
                return False
            await asyncio.sleep(LOOK_S)
        return True

    def leave(self, subscriber: Subscriber) -> None:
        """Hand nothing more to a subscriber, if it was live."""
        self.live.discard(subscriber)
        self.behind.discard(subscriber)
