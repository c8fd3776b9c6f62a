"""One who reads a run as a stream: its events from any place in it, and its next ones.

Readers share what sessions share: the newest events of the project's feed, and the pages of those
who catch up. So a run with many readers costs MongoDB no more than one with a single reader.
"""

import asyncio
from datetime import UTC, datetime

from rtserver.delivery.feed import Feed
from rtserver.delivery.log_pages import LogPages
from rtserver.eventlog.api import EventLog
from rtserver.lib.waiting import is_set_within
from rtserver.model.errors import InvalidError, RefusedError
from rtserver.model.events import EventType, StoredEvent
from rtserver.model.positions import Position
from rtserver.model.run import ACTIVE_STATES
from rtserver.runs.model import Run
from rtserver.runs.run_log import RUN_ENDS
from rtserver.runs.stream_offsets import Offset

STREAMED = RUN_ENDS | {
    type_.value
    for type_ in (
        EventType.VALIDATION_START,
        EventType.OUTPUT,
        EventType.ITERATION_START,
        EventType.TOKEN,
    )
}
"""The types of a stream's events. Not `run_queued`: what a stream begins with has to stay what it
is, and a run that waited is replayed from its start."""
PART_BYTES = 256 * 1024
"""Of events that are given at once; the first is in any case."""
BATCH_BYTES = 512 * 1024
LOOKED_AT_BYTES = 4 * 1024 * 1024
"""Of the project's log in one part: a run that is spread thin costs no more than any other."""
REACH_S = 5.0
LONG_OVER_S = 60.0
"""So long after a run's end its terminal event has been in the log, whatever held it up."""


class GoneError(RefusedError):
    """The log has overwritten what was asked for."""

    status = 410
    reason = "gone"

    def __init__(self, earliest: Offset) -> None:
        super().__init__(
            "The log no longer has what came after this offset; "
            "go on at earliest_offset, or look at the run itself",
            earliest_offset=str(earliest),
        )


class Part:
    """What comes next in a stream.

    Attributes:
        events: of the run, in order.
        after: where the part ends.
        is_up_to_date: whether this was all that there was.
        is_closed: whether the run has ended and all of it was given.
    """

    __slots__ = ("after", "events", "is_closed", "is_up_to_date")

    def __init__(self, events: list[StoredEvent], after: Offset, *, is_up_to_date: bool) -> None:
        self.events = events
        self.after = after
        self.is_closed = after.seq is None
        self.is_up_to_date = is_up_to_date or self.is_closed


class RunReader:
    """One who reads a run.

    Attributes:
        run: which; not older than `stood_at`.
        user_id: who reads.
        waits: whether it waits for what comes next.
        feed: the run's project, held open.
    """

    def __init__(
        self,
        log: EventLog,
        pages: LogPages,
        feed: Feed,
        run: Run,
        user_id: str,
        *,
        stood_at: int,
        waits: bool,
    ) -> None:
        """Make it.

        Args:
            log: of the events.
            pages: what those read who are further behind than the feed's newest events.
            feed: the run's project.
            run: as it was read when the feed was open. A run is ended in its document before its
                terminal event is in the log: so where it is under way here, its end comes after
                what the feed had then.
            user_id: who reads.
            stood_at: where the feed stood then.
            waits: whether it is to wait.
        """
        self.run = run
        self.user_id = user_id
        self.waits = waits
        self.feed = feed
        self._log = log
        self._pages = pages
        self._epoch = log.epoch
        self._stood_at = self._target = stood_at
        self._woken = asyncio.Event()
        self._ended = False
        self._text = f'"run_id":"{run.run_id}"'.encode()

    @property
    def tail(self) -> Offset:
        """The end of the stream, as it was when this was opened."""
        is_over = self.run.state not in ACTIVE_STATES
        return Offset(self._epoch, None if is_over else self._stood_at)

    async def begin(self, offset: Offset | None) -> Offset:
        """Where to read on from.

        Args:
            offset: the client's; None is the beginning.

        Raises:
            GoneError: it is of an earlier life of the log.
            InvalidError: this stream has not given it.
        """
        if offset is None:
            begun = self.run.replay_from
            position = Position.parse(begun) if begun else Position(self._epoch, 0)
            offset = Offset(position.epoch, position.seq)
        if offset.seq is None and self.run.state not in ACTIVE_STATES:
            return offset  # all of it was given, whatever became of the log
        if offset.epoch != self._epoch:
            raise await self._gone()
        if offset.seq is not None:
            if offset.seq <= self.feed.seq:
                return offset
            # Another worker may have been ahead of this one when it was given.
            head = await self._log.head(self.run.project_id)
            if offset.seq <= head and await self.feed.reached(offset.seq, REACH_S):
                return offset
        raise InvalidError("This stream has not come as far as this offset")

    async def read(self, offset: Offset) -> Part:
        """What comes next, perhaps nothing.

        Raises:
            GoneError: some of it is overwritten.
            StoreUnavailableError: the log could not be read.
        """
        if offset.seq is None:
            return Part([], offset, is_up_to_date=True)
        if self._log.epoch != self._epoch:
            raise await self._gone()
        await self.feed.reached(self._target, REACH_S)  # it is told of them, and then has them
        seq, upto = offset.seq, self.feed.seq
        found: list[StoredEvent] = []
        found_bytes = looked_at_bytes = 0
        while seq < upto and looked_at_bytes < LOOKED_AT_BYTES:
            for event in await self._batch(seq, upto):
                looked_at_bytes += len(event.payload)
                if self._is_of_run(event):
                    found_bytes += len(event.payload)
                    if found and found_bytes > PART_BYTES:
                        return Part(found, Offset(self._epoch, seq), is_up_to_date=False)
                    found.append(event)
                    if event.type in RUN_ENDS:
                        return Part(found, Offset(self._epoch, None), is_up_to_date=True)
                seq = event.seq
            await asyncio.sleep(0)  # pages that are in memory are had without waiting
        is_up_to_date = seq >= self.feed.seq
        is_behind_end = is_up_to_date and not found and self._is_long_over()
        after = Offset(self._epoch, None if is_behind_end else seq)
        return Part(found, after, is_up_to_date=is_up_to_date)

    async def next(self, offset: Offset, timeout_s: float) -> Part:
        """The next part with something in it, or what there is when the time is over.

        Sooner, and perhaps with nothing, where the reader was ended.

        Raises:
            GoneError, StoreUnavailableError: as for `read`.
        """
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            self._woken.clear()
            part = await self.read(offset)
            if self._ended or part.events or not part.is_up_to_date or part.is_closed:
                return part
            wait_s = deadline_s - asyncio.get_running_loop().time()
            if wait_s <= 0:
                return part
            offset = part.after
            await is_set_within(self._woken, wait_s)

    def wake(self, seq: int = 0) -> None:
        """Let it look again, as far as this number at least."""
        self._target = max(self._target, seq)
        self._woken.set()

    @property
    def is_ended(self) -> bool:
        """Whether it is to wait no more."""
        return self._ended

    def end(self) -> None:
        """Let it wait no more."""
        self._ended = True
        self._woken.set()

    async def _batch(self, seq: int, upto: int) -> list[StoredEvent]:
        """Events of the project that follow, one at least."""
        batch = self.feed.recent.after(seq, BATCH_BYTES)
        if batch is None:
            batch = await self._pages.after(
                self.run.project_id, seq, upto=upto, limit_bytes=BATCH_BYTES
            )
            if not batch or batch[0].seq != seq + 1 or batch[0].epoch != self._epoch:
                raise await self._gone()
        return batch

    def _is_of_run(self, event: StoredEvent) -> bool:
        # A text within a text has its quotes escaped, so this is the key, and not what was printed.
        return (
            event.type in STREAMED
            and event.proposal_id == self.run.proposal_id
            and self._text in event.payload
        )

    def _is_long_over(self) -> bool:
        """Whether the terminal event is in the log by now, or was, and got overwritten."""
        ended_at = self.run.ended_at
        return ended_at is not None and (datetime.now(UTC) - ended_at).total_seconds() > LONG_OVER_S

    async def _gone(self) -> GoneError:
        oldest = await self._log.oldest(self.run.project_id)
        return GoneError(Offset(self._log.epoch, oldest - 1))
