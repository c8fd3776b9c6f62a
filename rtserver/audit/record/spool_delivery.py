"""Delivery of audit records: from the spool on disk to the log in MongoDB, in order.

Where the disk takes nothing, records go straight to the log. What dead workers of this host left in
their spools is delivered too.
"""

import asyncio
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import structlog

from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.backpressure import Backpressure
from rtserver.audit.record.chain import Head, sealed_action, sealed_hash
from rtserver.audit.record.spool import Abandoned, Batch, Spool, abandoned
from rtserver.audit.record.spool_thread import Kept, SpoolThread
from rtserver.eventlog.api import EventLog, KeyReusedError, Published
from rtserver.lib.backoff import Backoff
from rtserver.lib.merkle import MerkleTree
from rtserver.lib.tasks import TaskOwner
from rtserver.model.errors import BusyError, StoreUnavailableError
from rtserver.model.events import AUDIT_PROJECT, PreparedDrafts
from rtserver.model.positions import Position

SYNC_INTERVAL_S = 1.0
ADOPT_INTERVAL_S = 5.0
RETRY_S, MAX_RETRY_S = 0.5, 2.0

_log = structlog.get_logger()


def stored_form(batch: Batch) -> PreparedDrafts:
    """A batch as it goes into the log. The type is the action: to read by it, no text is opened."""
    return PreparedDrafts(
        AUDIT_PROJECT,
        [{"t": sealed_action(record), "b": record} for record in batch.records],
        # The last hash stands for all that is before it.
        digest=sealed_hash(batch.records[-1]),
        size_bytes=batch.size_bytes,
    )


class Records(Protocol):
    """The auditor, as the delivery of its records sees it."""

    @property
    def n(self) -> int:
        """Number of the newest record of this worker's chain, stored or not."""

    def record(self, action: Action, *, by: Acting, heads: list[dict[str, Any]]) -> None:
        """Record where chains stand."""

    def tell_of_dropped(self) -> None:
        """Record what could not be recorded, once there is room."""

    def measure(self) -> None:
        """Bring the metrics up to date."""

    def measure_queued(self, queued_s: float) -> None:
        """Count how long the oldest record of a batch was in memory alone."""


class SpoolDelivery:
    """Moves a worker's records from its queue and its spool into the log.

    Attributes:
        stored: the newest record of the worker's chain that is in MongoDB.
        delivered_s: when it got there (monotonic).
        spool_problem: why the spool can't be written; None where it can.
    """

    def __init__(
        self,
        log: EventLog,
        spool: Spool,
        spool_thread: SpoolThread,
        backpressure: Backpressure,
        records: Records,
        *,
        spool_dir: Path,
        stored: Head,
        tree: MerkleTree | None = None,
    ) -> None:
        """Make it; `start` begins to deliver.

        Args:
            log: the log `audit`.
            spool: what waits on disk.
            spool_thread: brings to disk what waits in memory.
            backpressure: counts what waits.
            records: where more records come from.
            spool_dir: where the workers of this host keep their spools.
            stored: where the worker's chain begins.
            tree: gets the hash of each record of the worker's chain that is stored; None: no need.
        """
        self._log = log
        self._spool = spool
        self._spool_thread = spool_thread
        self._backpressure = backpressure
        self._records = records
        self._spool_dir = spool_dir
        self._stuck = asyncio.Event()
        self._arrived = asyncio.Event()
        self._progress = asyncio.Event()
        self._sync_thread = ThreadPoolExecutor(1, thread_name_prefix="audit-sync")
        self._tree = tree
        self.stored = stored
        self.delivered_s = -math.inf
        self.spool_problem: str | None = None

    def start(self, tasks: TaskOwner) -> None:
        """Begin to deliver."""
        self._spool_thread.start(self._on_news)
        tasks.start(self._unstick(), name="audit-writer")
        tasks.start(self._deliver(), name="audit-deliverer")
        tasks.start(self._sync(), name="audit-sync")

    def adopt(self, tasks: TaskOwner) -> None:
        """Begin to deliver also what dead workers left."""
        tasks.start(self._adopt(), name="audit-adopter")

    def is_settled(self) -> bool:
        """Whether everything that was recorded is in MongoDB."""
        return self._nothing_waits() or self.stored.n >= self._records.n

    async def flush(self) -> None:
        """Return when everything that was recorded so far is in MongoDB. No time-out here."""
        newest = self._records.n
        while self.stored.n < newest and not self._nothing_waits():
            await self._progress.wait()  # under load there is no moment at which nothing waits

    def close(self) -> None:
        """Let go of the spool, once the tasks have ended. Blocks for a moment."""
        left = self._spool_thread.close()
        self._sync_thread.shutdown()
        try:
            for batch in left:
                self._spool.append(batch)
        except OSError as error:
            _log.error("audit_spool_not_written", error=str(error))
        try:
            self._spool.close()
        except OSError as error:
            _log.error("audit_spool_not_synced", error=str(error))

    # From the queue to the spool

    def _on_news(self, news: Kept | Exception) -> None:
        """The spool_thread brought something to disk, or could not."""
        if isinstance(news, Exception):
            self._note_problem(news)
            self._stuck.set()
            return
        self.spool_problem = None
        self._records.measure_queued(news.queued_s)
        self._backpressure.written(news.size_bytes, news.total_bytes)
        self._moved_on()
        self._arrived.set()

    def _note_problem(self, error: Exception) -> None:
        if self.spool_problem is None:
            _log.error("audit_spool_not_written", error=str(error))
        said = error.strerror if isinstance(error, OSError) else None
        self.spool_problem = said or type(error).__name__

    def _moved_on(self) -> None:
        """The spool's state changed: report dropped records, and wake those who wait."""
        self._records.tell_of_dropped()
        if self._nothing_waits():
            self._pulse()

    def _nothing_waits(self) -> bool:
        return not self._backpressure.queue_bytes and not self._spool.pending

    async def _unstick(self) -> None:
        """Where the disk is broken try again, and go straight to the log meanwhile."""
        while True:
            await self._stuck.wait()
            self._stuck.clear()
            batch = self._spool_thread.in_hand
            if batch is not None:
                await self._get_through(batch)

    async def _get_through(self, batch: Batch) -> None:
        direct: asyncio.Task[Published | None] | None = None
        backoff = Backoff(RETRY_S, MAX_RETRY_S)
        try:
            while True:
                if direct is None and not self._spool.pending:
                    direct = asyncio.create_task(self._publish(batch))
                if direct is None:
                    await backoff.wait()
                else:
                    await asyncio.wait({direct}, timeout=backoff.next_s())
                    if direct.done():
                        self._advance(batch, direct.result())
                        await self._spool_thread.work(self._spool_thread.skip)
                        self._backpressure.unqueued(batch.size_bytes)
                        self._moved_on()
                        return
                try:
                    await self._spool_thread.work(self._spool_thread.retry)
                except OSError as error:
                    self._note_problem(error)
                else:
                    return
        finally:
            # Where the spool took it after all: its key keeps it from being stored twice.
            if direct is not None and not direct.done():
                direct.cancel()

    # From the spool to the log

    async def _deliver(self) -> None:
        """Move what is in the spool into the log, until cancelled."""
        backoff = Backoff(RETRY_S, MAX_RETRY_S)
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            try:
                while (batch := await self._first()) is not None:
                    published = await self._publish(batch)
                    last = self._spool.take()
                    self._backpressure.taken(self._spool.taken_bytes)
                    self._advance(batch, published)
                    self._records.tell_of_dropped()
                    if last:
                        await self._spool_thread.work(self._spool.trim)
                    backoff.reset()
            except OSError as error:
                _log.error("audit_spool_not_read", error=str(error))
                await backoff.wait()
                self._arrived.set()
            self._moved_on()
            self._records.measure()

    async def _first(self) -> Batch | None:
        held = self._spool.first_held()
        if held is not None or not self._spool.pending:
            return held
        return await self._spool_thread.work(self._spool.first)

    async def _publish(self, batch: Batch) -> Published | None:
        """Store a batch; returns when it is durable, however long that takes.

        Where it is; None where something else is there under its key.
        """
        drafts = stored_form(batch)
        backoff = Backoff(RETRY_S, MAX_RETRY_S)
        while True:
            try:
                return await self._log.publish(drafts, key=batch.key, timeout_s=math.inf)
            except KeyReusedError:
                # Impossible unless somebody stored other records under the key.
                _log.exception("audit_batch_refused", key=batch.key)
                return None
            except (BusyError, StoreUnavailableError) as error:
                _log.warning("audit_batch_waits", error=str(error))
                await backoff.wait()

    def _advance(self, batch: Batch, published: Published | None) -> None:
        if self._tree is not None:
            for record in batch.records:
                self._tree.append(bytes.fromhex(sealed_hash(record)))
        self.stored = _head_of(batch, published)
        self.delivered_s = time.monotonic()
        self._pulse()

    def _pulse(self) -> None:
        """Let those who wait for progress look again."""
        self._progress.set()
        self._progress = asyncio.Event()

    async def _sync(self) -> None:
        """Sync the spool while MongoDB is away: a crash of the host costs a second at most."""
        waiting: Batch | None = None
        while True:
            await asyncio.sleep(SYNC_INTERVAL_S)
            first = self._spool.first_held()
            if self._spool.pending and (first is None or first is waiting):
                try:
                    loop = asyncio.get_running_loop()
                    await loop.run_in_executor(self._sync_thread, self._spool.sync)
                except OSError as error:
                    _log.error("audit_spool_not_synced", error=str(error))
            waiting = first
            self._records.measure()

    async def _adopt(self) -> None:
        """Deliver what dead workers of this host left, until cancelled."""
        await self.flush()  # first of all it is stored that this worker is there
        while True:
            found = abandoned(self._spool_dir)
            try:
                while (left := await self._spool_thread.work(next, found, None)) is not None:
                    await self._adopt_one(left)
            except OSError as error:
                _log.error("audit_spools_not_found", error=str(error))
            await asyncio.sleep(ADOPT_INTERVAL_S)

    async def _adopt_one(self, left: Abandoned) -> None:
        count = 0
        head: Head | None = None
        try:
            batches: Iterator[Batch] = left.batches()
            while (batch := await self._spool_thread.work(lambda: next(batches, None))) is not None:
                head = _head_of(batch, await self._publish(batch))
                count += len(batch.records)
            # Nothing will be added to that chain: said for good before the last trace is gone.
            if head is None or await self._told_of_end(left.chain, head):
                await self._spool_thread.work(left.remove)
        except OSError as error:
            _log.error("audit_spool_not_adopted", chain=left.chain, error=str(error))
            return
        finally:
            # On the thread: where this was cancelled, the removal may be under way there.
            self._spool_thread.work_later(left.release)
        if count:
            _log.info("audit_spool_adopted", chain=left.chain, records=count)

    async def _told_of_end(self, chain: str, head: Head) -> bool:
        """Have it stored where a chain ended; False where that can't be recorded now."""
        before = self._records.n
        self._records.record(
            Action.AUDIT_ANCHORED, by=Acting(), heads=[head.to_json(chain, ended=True)]
        )
        if self._records.n == before:
            return False
        await self.flush()
        return True


def _head_of(batch: Batch, published: Published | None) -> Head:
    first = int(batch.key.rpartition(":")[2])
    position = None if published is None else Position(published.epoch, published.last)
    return Head(
        first + len(batch.records) - 1,
        sealed_hash(batch.records[-1]),
        None if position is None else str(position),
    )
