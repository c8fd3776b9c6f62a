"""The tail of a log: delivers what a majority has; the bus between workers.

MongoDB wakes a tailing cursor at an insert, not when the commit point moves, so the cursor reads
with read concern local and each batch then passes a barrier: a read of the batch's newest pack
with read concern majority, not before the time of the batch. When it comes back with the pack,
that pack and everything inserted before it is majority-committed. Where this worker inserted the
newest pack itself, MongoDB's answer to that insert (a majority write) says the same, and no read
is needed.

The cursor is driven by `find` and `getMore` commands rather than by the driver's cursor class:
that gives whole batches without a step through the executor for each document, and the operation
time that belongs to each batch. The next batch is asked for when one has been delivered: what comes
meanwhile gathers in MongoDB, and neither it nor this worker is kept busy by asking while the answer
to an insert is on its way.
"""

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Any, Protocol

import structlog
from bson import Timestamp
from pymongo.errors import OperationFailure

from rtserver.eventlog.answering import Answering
from rtserver.eventlog.metrics import LogMetrics
from rtserver.lib.backoff import Backoff
from rtserver.lib.waiting import is_set_within
from rtserver.model.events import EventPack
from store.base.client import Database, DatabaseError
from store.log.access import Command, Following, LogAccess
from store.log.collection import CollectionProblemError, read_pack
from store.log.heads import Heads
from store.log.marks import Marks

AWAIT_MS = 1_000
"""Of a getMore on such a cursor `maxTimeMS` is no time limit: MongoDB answers with an empty batch
when nothing was inserted for so long (MongoDB manual, `getMore`)."""
BARRIER_TIMEOUT_MS = 5_000
REWIND_S = 5
RETRY_S, MAX_RETRY_S = 0.05, 2.0
LEAST_PAUSE_S = 0.001
MAX_PAUSE_S = 0.02
UNWATCHED_S = 0.25

_log = structlog.get_logger()


class _TailLostError(Exception):
    """The cursor ended or a batch was rolled back: open the tail again."""


class _LogEmptyError(Exception):
    """There is nothing yet that a cursor could stand on: look again."""


class TailedLog(Protocol):
    """A log, as its tail has it.

    Attributes:
        collection: the log.
        heads: told of every head that goes by.
        marks: told of the newest document of each batch, once it is durable and was handed on.
        access: carries the cursor.
    """

    collection: str
    heads: Heads
    marks: Marks
    access: LogAccess

    async def prepare(self) -> str:
        """Make the collection where it is missing; its epoch."""


class PackReceiver(Protocol):
    """Takes what a tail reads."""

    async def on_packs(self, packs: list[EventPack]) -> None:
        """Take the next batch, which is durable; the batches come in order."""

    def on_epoch(self, epoch: str) -> None:
        """The log turned out to be another one."""


class OwnPacks(Protocol):
    """Knows of the packs that this worker stored."""

    async def is_durable(self, identity: Any) -> bool:
        """Whether a majority is known to have a pack, and so all before it."""


class EventTail:
    """One tailing cursor for this worker, reopened for as long as the worker lives.

    What comes after a reopening may have been delivered before; the dispatcher drops it by number.
    """

    def __init__(
        self,
        database: Database,
        log: TailedLog,
        metrics: LogMetrics,
        receiver: PackReceiver,
        *,
        epoch: str,
        own: OwnPacks | None = None,
        watched: asyncio.Event | None = None,
        under_way: asyncio.Event | None = None,
        answering: Answering | None = None,
    ) -> None:
        """Make a tail; `run` starts it.

        Args:
            database: where the log is.
            log: what is followed.
            metrics: `tail_up`, `tail_restarts_total`.
            receiver: gets what is read.
            epoch: the life of the log at start.
            own: a batch whose newest pack it knows to be durable needs no barrier. Unless given,
                every batch passes one.
            watched: set while anybody here waits for what comes. Where nobody does, the tail is
                followed in larger steps, which cost next to nothing. Always, unless given.
            under_way: set while this worker stores something that is to come here. It ends the
                pause that lets more come together: while that is stored, more does.
            answering: told of what is asked of MongoDB, and of each answer.
        """
        self._database = database
        self._log = log
        self._collection = log.collection
        self._receiver = receiver
        self._watched = watched
        self._own = own
        self._under_way = under_way or asyncio.Event()
        self._answering = answering
        self._looks_again = False
        self._metrics = metrics
        self._epoch = epoch
        self._rewind_to: Timestamp | None = None
        self._since_s = 0.0
        self.ready = asyncio.Event()

    def problem(self) -> str | None:
        """See `rtserver.observe.readiness.Part`."""
        return None if self.ready.is_set() else "the log is not tailed"

    def look_again(self) -> None:
        """Begin anew, as after a failure: the log may have another epoch."""
        self._looks_again = True

    async def run(self) -> None:
        """Tail until cancelled. What is stored from now on is handed on, however slow the start."""
        self._since_s = time.monotonic()
        try:
            await self._keep_reading()
        finally:
            self._answered()

    async def _keep_reading(self) -> None:
        backoff = Backoff(RETRY_S, MAX_RETRY_S)
        while True:
            lost = True
            try:
                await self._read()
            except _LogEmptyError:
                lost = False  # every log begins like this
            except (DatabaseError, CollectionProblemError, _TailLostError) as error:
                if self.ready.is_set():
                    backoff.reset()
                _log.warning("tail_lost", error=str(error))
            except Exception:  # noqa: BLE001 - a worker without its tail is of no use
                _log.exception("tail_failed")
            finally:
                self.ready.clear()
                self._metrics.tail_up.set(0)
            if lost:
                self._metrics.tail_restarts_total.inc()
            await backoff.wait()

    async def _read(self) -> None:
        self._asked()
        epoch = await self._log.prepare()
        self._answered()
        if epoch != self._epoch:
            # First: who is told of the epoch counts on what is stored from then on.
            self._rewind_to = await self._mongodb_time()
            _log.error("log_lost", epoch_before=self._epoch, epoch_now=epoch)
            self._epoch = epoch
            self._receiver.on_epoch(epoch)
        elif self._rewind_to is None:
            now = await self._mongodb_time()
            # That of when it answered. What was stored while it was waited for counts.
            waited_s = math.ceil(time.monotonic() - self._since_s)
            self._rewind_to = Timestamp(max(0, now.time - waited_s), 0)
        since = Timestamp(max(0, self._rewind_to.time - REWIND_S), 0)
        async with self._log.access.following() as following:
            await self._follow(following, since)

    async def _mongodb_time(self) -> Timestamp:
        reply = await self._database.command("ping")
        now: Timestamp = reply["operationTime"]
        return now

    async def _follow(self, following: Following, since: Timestamp) -> None:
        command = following.command
        await self._see_anything(command)
        # A tailing cursor uses no index: the server reads from the oldest document up to here. So
        # it is opened seldom, and the first reply may take as long as reading the whole buffer.
        reply = await command(
            {
                "find": self._collection,
                "filter": {"stamp": {"$gte": since}},
                "tailable": True,
                "awaitData": True,
                "batchSize": 1000,
            }
        )
        batch = reply["cursor"]["firstBatch"]
        cursor_id = reply["cursor"]["id"]
        try:
            while True:
                if batch:
                    await self._hand_on(batch, reply["operationTime"], following)
                if cursor_id == 0:
                    raise _TailLostError("the cursor ended")
                if self._looks_again:
                    self._looks_again = False
                    raise _TailLostError("the log may have another epoch")
                if not self.ready.is_set():
                    self.ready.set()
                    self._metrics.tail_up.set(1)
                await self._rest()
                reply = await self._ask(
                    command,
                    {"getMore": cursor_id, "collection": self._collection, "maxTimeMS": AWAIT_MS},
                )
                batch = reply["cursor"]["nextBatch"]
                cursor_id = reply["cursor"]["id"]
        finally:
            if cursor_id:
                await self._kill_cursor(cursor_id)

    async def _see_anything(self, command: Command) -> None:
        """See that there is something for a cursor to stand on.

        MongoDB keeps no tailing cursor on an empty collection. While the first insert is under way
        it does keep one, since the document counts already; but the scan saw nothing, and has ended
        for good: that cursor lives on and never shows anything. What is seen here, it sees too.

        Raises:
            _LogEmptyError: there is nothing yet.
        """
        look = {"find": self._collection, "projection": {"_id": 1}, "limit": 1, "singleBatch": True}
        if not (await command(look))["cursor"]["firstBatch"]:
            raise _LogEmptyError

    async def _ask(self, command: Command, request: dict[str, Any]) -> dict[str, Any]:
        self._asked()
        try:
            reply = await command(request)
        except OperationFailure:
            self._answered()
            raise
        self._answered()
        return reply

    def _asked(self) -> None:
        if self._answering is not None:
            self._answering.asked()

    def _answered(self) -> None:
        if self._answering is not None:
            self._answering.answered()

    async def _rest(self) -> None:
        """Let more come together while nobody waits for it."""
        if self._watched is not None:
            await is_set_within(self._watched, UNWATCHED_S)

    async def _kill_cursor(self, cursor_id: int) -> None:
        try:
            async with asyncio.timeout(1):
                await self._database.command(
                    {"killCursors": self._collection, "cursors": [cursor_id]}
                )
        except (DatabaseError, TimeoutError) as error:
            _log.debug("cursor_not_killed", error=str(error))  # the server drops it when idle

    async def _hand_on(
        self, batch: list[dict[str, Any]], operation_time: Timestamp, following: Following
    ) -> None:
        """Hand a batch on when a majority has it, and stay away for a while."""
        arrived_s = time.monotonic()
        newest = batch[-1]
        # Read while the answer to this worker's own insert is still on its way.
        packs = [read_pack(document, self._epoch) for document in batch]
        # Its own insert may have been confirmed by the next primary, where it is another one.
        own = self._own
        if not (own and await own.is_durable(newest["_id"]) and following.is_on_primary()):
            await self._barrier(newest, operation_time)
        for pack, document in zip(packs, batch, strict=True):
            size_bytes = sum([len(item["b"]) for item in document["events"]])
            self._log.heads.saw(pack.project_id, pack.last, size_bytes)
        began_s = time.monotonic()
        await self._receiver.on_packs(packs)
        ended_s = time.monotonic()
        # Only now: where handing on fails or is cut off, the next tail begins before it.
        self._rewind_to = newest["stamp"]
        self._log.marks.saw(self._epoch, newest)
        self._metrics.delivery_latency_seconds.observe(ended_s - arrived_s)
        if ended_s - began_s > LEAST_PAUSE_S:
            await self._pause(min(ended_s - began_s, MAX_PAUSE_S))

    async def _pause(self, most_s: float) -> None:
        """Stay away after a batch that took long to deliver, unless the next one is on its way.

        Handing on costs by connection far more than by event. Where it is what the worker is busy
        with, a pause as long as it took lets more events share the next time; where events come
        seldom, the pause is over before the next one arrives.
        """
        await is_set_within(self._under_way, most_s)

    async def _barrier(self, newest: Mapping[str, Any], operation_time: Timestamp) -> None:
        """Return when the pack, and so all before it, is majority-committed.

        The very one, by the stamp that MongoDB gave it: a primary that lost its majority may show
        a pack that is rolled back there, and was inserted again under its `_id` on the next one,
        behind others and perhaps under other numbers.

        A cursor may see a document just before the node counts its insert as applied: then the
        operation time that came with it is older than the insert, and a majority read at that time
        may miss it. So where it is there, it is asked for again at a later time.
        """
        deadline_s = time.monotonic() + BARRIER_TIMEOUT_MS / 1000
        while True:
            majority = {"level": "majority", "afterClusterTime": operation_time}
            reply = await self._look_up(newest, majority)
            if reply["cursor"]["firstBatch"]:
                return
            reply = await self._look_up(newest, {"level": "local"})
            if not reply["cursor"]["firstBatch"]:
                # Rolled back by a failover, or overwritten already: what is there now decides.
                raise _TailLostError("the newest event of a batch is not there any more")
            if time.monotonic() > deadline_s:
                raise _TailLostError("a batch was not confirmed by a majority in time")
            operation_time = reply["operationTime"]

    async def _look_up(self, pack: Mapping[str, Any], concern: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = await self._database.command(
            {
                "find": self._collection,
                "filter": {name: pack[name] for name in ("_id", "first", "stamp")},
                "projection": {"_id": 1},
                "limit": 1,
                "singleBatch": True,
                "readConcern": concern,
                "maxTimeMS": BARRIER_TIMEOUT_MS,
            }
        )
        return reply
