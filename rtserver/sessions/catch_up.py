"""Catching up: what came after a position is sent, then the session joins the live ones.

There is no queue of held events: a session that catches up is not live, and joins in the same step
in which it finds nothing left to read (see docs/architecture.md, "Resume").
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from rtserver.delivery.feed import Feed, Subscriber
from rtserver.delivery.wire_forms import chunks, join_events
from rtserver.model.close_codes import CloseCode
from rtserver.model.events import StoredEvent
from rtserver.sessions.coalesce import TokenBacklog
from rtserver.sessions.services import SessionServices

READ_EVENTS = 500
REPLAY_STALL_S = 30.0
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

    def sight(self, feed: Feed) -> Callable[[StoredEvent], bool]:
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
        outbox_bytes = session.services.settings.outbox_bytes
        self._waiting_bytes = outbox_bytes // 2
        # What was held back of a reply leaves together with the next part.
        self._part_bytes = min(outbox_bytes // 4, MAX_PART_BYTES)

    async def run(self, from_seq: int) -> None:
        """Send what came after `from_seq`, then join the live ones without a seam.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        session, feed = self._session, self._feed
        sees = session.sight(feed)
        seq = from_seq
        passed_over = False
        backlog = TokenBacklog(self._part_bytes)
        while not session.is_closing() and not session.is_held_back(seq):
            if seq >= feed.seq:
                self._send(backlog.flush())
                if session.is_closing():
                    return
                # No await since `seq` was compared: nothing can be delivered in between.
                feed.live.add(session)
                if passed_over:
                    feed.behind.add(session)
                session.joined()
                return
            events = feed.recent.after(seq, READ_EVENTS)
            if events is None:
                events = await self._read(seq)
                if events and events[0].seq > seq + 1:
                    self._send(backlog.flush())
                    session.send_gap(requested=seq, lost=events[0].seq - seq - 1)
                elif not events:
                    self._send(backlog.flush())
                    session.send_gap(requested=seq, lost=feed.seq - seq)
                    seq = feed.seq
                    continue
            if session.is_closing():
                return
            for part in chunks(events, self._part_bytes):
                seen = [event for event in part if sees(event)]
                passed_over = len(seen) < len(part) and not (seen and seen[-1] is part[-1])
                seq = part[-1].seq
                if not await self._send_in_time(backlog.add(seen)):
                    return

    async def send_all(self, events: list[StoredEvent]) -> bool:
        """Send these first, part by part; False where the session ended meanwhile."""
        for part in chunks(events, self._part_bytes):
            if not await self._send_in_time(part):
                return False
        return True

    def _send(self, events: list[StoredEvent]) -> None:
        if events:
            self._session.outbox.send(join_events(self._session.encoding, events))

    async def _send_in_time(self, events: list[StoredEvent]) -> bool:
        """Send some, and wait while too much is on the way; False where the session ended."""
        self._send(events)
        outbox = self._session.outbox
        if outbox.pending_bytes <= self._waiting_bytes:
            return True
        try:
            async with asyncio.timeout(REPLAY_STALL_S):
                await outbox.drained(self._waiting_bytes)
        except TimeoutError:
            self._session.close(CloseCode.TOO_SLOW)
        return not self._session.is_closing()

    async def _read(self, after: int) -> list[StoredEvent]:
        upto = self._feed.seq
        services = self._session.services
        async with services.answering.required():
            packs = await services.log.read(
                self._feed.project_id, after=after, upto=upto, limit=READ_EVENTS
            )
        return [event for pack in packs for event in pack.events(after=after, upto=upto)]
