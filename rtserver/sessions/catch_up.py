"""Catching up: what came after a position is sent, then the session joins the live ones.

There is no queue of held events: a session that catches up is not live, and joins in the same step
in which it finds nothing left to read (see docs/architecture.md, "Resume").

A part is read, encoded and sent at a time, and the next one when the socket has taken it. All that
catch up on a worker share one budget for these parts, so that a hundred who come back at once, or
who do not read, take no more memory than it has.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from rtserver.delivery.feed import Feed, Subscriber
from rtserver.delivery.resume import Sight
from rtserver.delivery.wire_forms import chunks, join_events
from rtserver.lib.byte_budget import Lease
from rtserver.model.close_codes import CloseCode
from rtserver.model.events import StoredEvent
from rtserver.sessions.coalesce import TokenBacklog
from rtserver.sessions.services import SessionServices

REPLAY_STALL_S = 30.0
TURN_S = 60.0
"""How long to wait for a turn: for as long as those before may stall, and as long again."""
MAX_PART_BYTES = 128 * 1024


class Latecomer(Subscriber, Protocol):
    """A session, as its catching up sees it."""

    @property
    def services(self) -> SessionServices:
        """What all sessions share."""

    def is_closing(self) -> bool:
        """Whether the session has ended or is about to."""

    def is_held_back(self, seq: int) -> bool:
        """Whether to stop catching up where `seq` was the last that was sent."""

    def sight(self, feed: Feed) -> Sight:
        """What this client may see."""

    def joined(self) -> None:
        """The session is among the live ones from here on."""

    def close(self, code: CloseCode, reason: str | None = None) -> None:
        """Say why, then end the connection."""


class CatchUp:
    """Sends a session what it missed of a feed."""

    def __init__(self, session: Latecomer, feed: Feed) -> None:
        self._session = session
        self._feed = feed
        # What was held back of a reply leaves together with the next part.
        outbox_bytes = session.services.settings.outbox_bytes
        self._part_bytes = min(outbox_bytes // 4, MAX_PART_BYTES)
        self._backlog = TokenBacklog(self._part_bytes)
        self._passed_over = False

    async def run(self, from_seq: int) -> None:
        """Send what came after `from_seq`, then join the live ones without a seam.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        session, feed = self._session, self._feed
        seq = from_seq
        while not session.is_closing() and not session.is_held_back(seq):
            if seq >= feed.seq:
                self._send(self._backlog.flush())
                if session.is_closing():
                    return
                # No await since `seq` was compared: nothing can be delivered in between.
                feed.live.add(session)
                if self._passed_over:
                    feed.behind.add(session)
                session.joined()
                return
            async with self._turn() as lease:
                if lease is None:
                    return
                seq = await self._send_part(seq, lease)
                await self._taken()

    async def _send_part(self, seq: int, lease: Lease) -> int:
        """Send the next part after `seq`; where that ends.

        Nothing of it is held any more when this returns but what waits for the socket.
        """
        session, feed = self._session, self._feed
        events = feed.recent.after(seq, self._part_bytes)
        if events is None:
            upto = feed.seq
            services = session.services
            async with services.answering.required():
                events = await services.pages.after(
                    feed.project_id, seq, upto=upto, limit_bytes=self._part_bytes
                )
            if session.is_closing():
                return seq
            begin = events[0].seq if events else upto + 1
            if begin > seq + 1:
                self._send(self._backlog.flush())
                session.send_gap(requested=seq, lost=begin - seq - 1)
            if not events:
                return upto
        sees = session.sight(feed).of_event
        seen = [event for event in events if sees(event)]
        self._passed_over = len(seen) < len(events) and not (seen and seen[-1] is events[-1])
        lease.resize(self._send(self._backlog.add(seen)))
        return events[-1].seq

    async def send_all(self, events: list[StoredEvent]) -> bool:
        """Send these first, part by part; False where the session ended meanwhile."""
        for part in chunks(events, self._part_bytes):
            async with self._turn() as lease:
                if lease is None:
                    return False
                lease.resize(self._send(part))
                await self._taken()
        return not self._session.is_closing()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[Lease | None]:
        """Wait for room in the budget; None, and the session ends, where there was none in time."""
        budget = self._session.services.catch_up_budget
        try:
            lease = await budget.lease(self._part_bytes, TURN_S)
        except TimeoutError:
            self._session.close(
                CloseCode.INTERNAL_ERROR, "Too many are catching up; reconnect and resume"
            )
            yield None
            return
        with lease:
            yield lease

    def _send(self, events: list[StoredEvent]) -> int:
        """Send some; how many bytes they are as they are sent."""
        if not events:
            return 0
        data = join_events(self._session.encoding, events)
        self._session.outbox.send(data)
        return len(data)

    async def _taken(self) -> None:
        """Wait until the socket has taken what was sent; the session ends where it does not."""
        await asyncio.sleep(0)  # others have their turn, however quick the socket is
        try:
            async with asyncio.timeout(REPLAY_STALL_S):
                await self._session.outbox.drained()
        except TimeoutError:
            self._session.close(CloseCode.TOO_SLOW)
