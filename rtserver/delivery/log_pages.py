"""Pages of a log that those who catch up share: who resumes from nearby reads the same one.

After a worker's restart, or when a network comes back, dozens resume at nearly the same place.
Each reading for itself would hold the same text in memory that many times.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from rtserver.eventlog.api import EventLog
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import StoredEvent

PAGE_BYTES = 512 * 1024
PAGE_EVENTS = 2_000
LEAST_BYTES = 64 * 1024
"""A page counts as so many at least, so that there are never more than can be looked through."""
EVENT_OVERHEAD_BYTES = 300
"""What an event takes in memory besides its payload."""
KEEP_S = 5.0
"""How long a page is kept that nobody asks for: others may come a little later."""

_Log = tuple[str, str]
"""Epoch and project."""


@dataclass(slots=True, eq=False)
class _Page:
    """Events that follow each other."""

    log: _Log
    events: list[StoredEvent]
    size_bytes: int
    used_s: float

    def reaches(self, log: _Log, seq: int) -> bool:
        """Whether the event after `seq` is in it."""
        return log == self.log and self.events[0].seq - 1 <= seq < self.events[-1].seq

    def part(self, seq: int, upto: int, limit_bytes: int) -> list[StoredEvent]:
        """The events after `seq` up to `upto`, as many as fit, the first in any case."""
        first = self.events[0].seq
        start = end = max(0, seq + 1 - first)
        stop = min(len(self.events), upto + 1 - first)
        size_bytes = 0
        while end < stop:
            size_bytes += len(self.events[end].payload)
            if size_bytes > limit_bytes and end > start:
                break
            end += 1
        return self.events[start:end]


@dataclass(slots=True, eq=False)
class _Reading:
    """A page that is being read."""

    log: _Log
    after: int
    done: asyncio.Event = field(default_factory=asyncio.Event)
    error: StoreUnavailableError | None = None


def _loop_now_s() -> float:
    return asyncio.get_running_loop().time()


class LogPages:
    """Reads pages, each once for all who want it at the time, and keeps them for a moment.

    Attributes:
        kept_bytes: what the pages take that are kept.
    """

    def __init__(
        self, log: EventLog, limit_bytes: int, now_s: Callable[[], float] = _loop_now_s
    ) -> None:
        """Make it.

        Args:
            log: what is read.
            limit_bytes: of the pages that are kept; the newest is in any case.
            now_s: a clock.
        """
        self._log = log
        self._limit_bytes = limit_bytes
        self._now_s = now_s
        self._pages: list[_Page] = []  # in the order of their last use
        self._readings: list[_Reading] = []
        self.kept_bytes = 0

    async def after(
        self, project_id: str, seq: int, *, upto: int, limit_bytes: int
    ) -> list[StoredEvent]:
        """The next events with `seq < number <= upto`, as many as fit, the first in any case.

        Where that is not the one after `seq`, those between are overwritten; where there is none,
        all are.

        Args:
            project_id: whose events.
            seq: events behind this number.
            upto: and not behind this one.
            limit_bytes: of their payloads.

        Raises:
            StoreUnavailableError: the log could not be read.
        """
        log = (self._log.epoch, project_id)
        while (page := self._find(log, seq)) is None:
            reading = self._reading_near(log, seq)
            if reading is None:
                page = await self._read(log, seq, upto)
                break
            await reading.done.wait()
            if reading.error is not None:
                raise StoreUnavailableError(str(reading.error)) from reading.error
        return [] if page is None else page.part(seq, upto, limit_bytes)

    def _find(self, log: _Log, seq: int) -> _Page | None:
        for index, page in enumerate(self._pages):
            if page.reaches(log, seq):
                page.used_s = self._now_s()
                self._pages.append(self._pages.pop(index))
                return page
        return None

    def _reading_near(self, log: _Log, seq: int) -> _Reading | None:
        """A page that is being read and may have what comes after `seq`."""
        for reading in self._readings:
            if log == reading.log and reading.after <= seq < reading.after + PAGE_EVENTS:
                return reading
        return None

    async def _read(self, log: _Log, seq: int, upto: int) -> _Page | None:
        reading = _Reading(log, seq)
        self._readings.append(reading)
        try:
            packs = await self._log.read(
                log[1], after=seq, upto=upto, limit=PAGE_EVENTS, limit_bytes=PAGE_BYTES
            )
            # From the first pack's begin: there the pages of those who resume nearby meet.
            events = [event for pack in packs for event in pack.events(upto=upto)]
            return self._keep(log, events) if events else None
        except StoreUnavailableError as error:
            reading.error = error
            raise
        finally:
            self._readings.remove(reading)
            reading.done.set()

    def _keep(self, log: _Log, events: list[StoredEvent]) -> _Page:
        size_bytes = sum([len(event.payload) + EVENT_OVERHEAD_BYTES for event in events])
        page = _Page(log, events, max(LEAST_BYTES, size_bytes), self._now_s())
        self._pages.append(page)
        self.kept_bytes += page.size_bytes
        while self.kept_bytes > self._limit_bytes and len(self._pages) > 1:
            self._drop_oldest()
        return page

    def _drop_oldest(self) -> None:
        self.kept_bytes -= self._pages.pop(0).size_bytes

    def sweep(self) -> None:
        """Let go of the pages that nobody has asked for lately."""
        horizon_s = self._now_s() - KEEP_S
        while self._pages and self._pages[0].used_s < horizon_s:
            self._drop_oldest()
