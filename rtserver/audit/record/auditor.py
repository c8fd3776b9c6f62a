"""Records what is done on this server, by whom, and how it ended.

`Auditor.record` never waits: a record is put into the worker's hash chain and a queue. Every few
milliseconds what is queued goes into the spool on disk, by a thread that no busy event loop holds
up (`rtserver.audit.record.spool_thread`), and from there to MongoDB, in order.

    record -> queue (memory, bounded) -> spool (disk, bounded) -> log `audit` (MongoDB)

A worker that is killed loses what was in the queue. What is in the spool is delivered later: by
this worker, or where it is dead by any worker of its host. From the spool's bound on, until half of
it is free again, the server is not ready, refuses what must not go unrecorded, and counts what else
it can't record. Past the bound it keeps what was let through before, and what explains the rest.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import structlog

from rtserver.audit.record.actions import CATALOGUE, Action, Outcome
from rtserver.audit.record.backpressure import Room
from rtserver.audit.record.chain import (
    Chain,
    Unsealed,
    details_json,
    sealed_action,
    sealed_hash,
    text,
)
from rtserver.audit.record.metrics import AuditMetrics
from rtserver.audit.record.spool import Abandoned, Batch, Spool, abandoned
from rtserver.audit.record.spool_thread import Keeper, Kept
from rtserver.eventlog.api import EventLog, KeyReusedError, Published
from rtserver.lib.tasks import TaskOwner
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import BusyError, StoreUnavailableError
from rtserver.model.events import PreparedDrafts, now_rfc3339
from rtserver.model.positions import Position

AUDIT_PROJECT = "$audit"
"""The sequence of the records; no token can name it ('$' is not allowed)."""

GATHER_S = 0.04
"""Each batch costs about as much as sixty records do; a killed worker may lose 50 ms of them."""

QUEUE_BYTES = 4 * 1024 * 1024
SYNC_INTERVAL_S = 1.0
ADOPT_INTERVAL_S = 5.0
RETRY_S = 0.5
BRING_S = 0.05
STALLED_S = 5.0
"""Nothing was delivered for so long: then MongoDB does not take records."""

_log = structlog.get_logger()


class AuditFullError(BusyError):
    """The act can't be recorded now, so it is not done."""

    reason = "audit_full"

    def __init__(self) -> None:
        super().__init__(
            "This can't be recorded in the audit log now, so it is not done; try again later",
            retry_after_s=5,
        )


@dataclass(slots=True)
class Acting:
    """On whose behalf the present task acts, and from where.

    Attributes:
        ip: the client's address.
        actor: the user, once the token was verified.
        project_id: the project concerned, once it is known.
        connection_id: of the session, where it is one.
        path: the address that was asked for, over HTTP, without its query.
        recorded: how many records were made on this behalf.
    """

    ip: str | None = None
    actor: str | None = None
    project_id: str | None = None
    connection_id: str | None = None
    path: str | None = None
    recorded: int = 0

    @classmethod
    def of(cls, entry: ConnectionRecord) -> Self:
        """On behalf of a connection's user."""
        return cls(
            ip=entry.ip or None,
            actor=entry.user_id,
            project_id=None if entry.project_id == AUDIT_PROJECT else entry.project_id,
            connection_id=entry.connection_id,
        )


def stored_form(batch: Batch) -> PreparedDrafts:
    """A batch as it goes into the log. The type is the action: to read by it, no text is opened."""
    return PreparedDrafts(
        AUDIT_PROJECT,
        [{"t": sealed_action(record), "b": record} for record in batch.records],
        # The last hash stands for all that is before it.
        digest=sealed_hash(batch.records[-1]),
        size_bytes=batch.size_bytes,
    )


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain stands.

    Attributes:
        n: number of a record in it.
        hash: of that record.
        id: where that record is in the log; None where that is not known.
    """

    n: int
    hash: str
    id: str | None = None

    def to_json(self, chain: str, *, ended: bool = False) -> dict[str, Any]:
        """The head as other chains' records state it."""
        stated: dict[str, Any] = {"chain": chain, "n": self.n, "hash": self.hash}
        if self.id is not None:
            stated["id"] = self.id
        return {**stated, "ended": True} if ended else stated


class Auditor:
    """The audit log of one worker."""

    def __init__(
        self,
        log: EventLog,
        metrics: AuditMetrics,
        spool_dir: Path,
        *,
        worker_id: str,
        spool_bytes: int,
    ) -> None:
        """Begin a chain and a spool.

        Args:
            log: the log `audit`; its writer is the caller's to run.
            metrics: what is counted.
            spool_dir: where the workers of this host keep their spools.
            worker_id: this worker.
            spool_bytes: most that waits for MongoDB.

        Raises:
            OSError: the spool can't be made.
        """
        self._log = log
        self._metrics = metrics
        self._spool_dir = spool_dir
        self._room = Room(spool_bytes, QUEUE_BYTES)
        self._delivered_s = -math.inf
        self._worker_id = worker_id
        self._chain = Chain(worker_id)
        self._spool = Spool(spool_dir, self._chain.name)
        self._spool_problem: str | None = None
        self._keeper = Keeper(self._spool, self._chain.name, gather_s=GATHER_S)
        self._counted = dict.fromkeys(Outcome, 0)
        self._dropped: Counter[str] = Counter()
        self._dropped_since = ""
        self._stuck = asyncio.Event()
        self._arrived = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._progress = asyncio.Event()
        self._stopping = False
        self._sync_thread = ThreadPoolExecutor(1, thread_name_prefix="audit-sync")
        self._acting: ContextVar[Acting | None] = ContextVar("acting", default=None)
        self.stored = Head(0, self._chain.hash)

    @property
    def chain(self) -> str:
        """The name of this worker's chain."""
        return self._chain.name

    @property
    def worker_id(self) -> str:
        """This worker."""
        return self._worker_id

    @property
    def n(self) -> int:
        """Number of the newest record of this worker's chain, stored or not."""
        return self._chain.n

    # Recording

    def act(self, acting: Acting) -> Acting:
        """From here on the present task, and those that it starts, act on this behalf."""
        self._acting.set(acting)
        return acting

    def acting(self) -> Acting:
        """On whose behalf the present task acts; nobody's where it was not said."""
        return self._acting.get() or Acting()

    def ensure(self, action: Action) -> None:
        """Let an act begin only if it can be recorded, where it must be.

        Raises:
            AuditFullError: it must be, and it can't.
        """
        if CATALOGUE[action].must and self._room.full:
            raise AuditFullError

    def record(
        self,
        action: Action,
        outcome: Outcome = Outcome.ALLOWED,
        *,
        target: str | None = None,
        project_id: str | None = None,
        by: Acting | None = None,
        **details: object,
    ) -> None:
        """Record an act. Never waits and never fails; what can't be kept is counted.

        Args:
            action: what happened.
            outcome: how it ended.
            target: what it was done to, where that is not the project.
            project_id: the project concerned; that of `by` unless given.
            by: on whose behalf; the present task's unless given. `Acting()`: the server's own.
            **details: see `CATALOGUE`. None is left out.
        """
        if by is None:
            by = self._acting.get() or Acting()
        by.recorded += 1
        if self._room.full and not self._is_due(action, outcome):
            self._drop(action)
            return
        self._append(
            action,
            outcome,
            by,
            target,
            by.project_id if project_id is None else project_id,
            details,
        )

    def _append(
        self,
        action: Action,
        outcome: Outcome,
        by: Acting,
        target: str | None,
        project_id: str | None,
        details: dict[str, object],
    ) -> None:
        body = self._chain.seal(
            Unsealed(
                action=str(action),
                actor=None if by.actor is None else text(by.actor),
                connection_id=by.connection_id,
                details=details_json(details),
                ip=by.ip,
                outcome=str(outcome),
                project_id=None if project_id is None else text(project_id),
                target=None if target is None else text(target),
                ts=now_rfc3339(),
                worker=self._worker_id,
            )
        )
        self._room.queued(len(body))
        self._keeper.put(body)
        self._counted[outcome] += 1
        self._settled.clear()

    def _is_due(self, action: Action, outcome: Outcome) -> bool:
        """Whether a record is kept past the bound.

        That of an act which was let through before: there are only as many as were under way when
        the bound was reached. And those that there are only few of.
        """
        entry = CATALOGUE[action]
        due = entry.kept or (entry.must and outcome is Outcome.ALLOWED)
        return due and self._room.takes_beyond()

    def _drop(self, action: Action) -> None:
        if not self._dropped:
            self._dropped_since = now_rfc3339()
            _log.error("audit_records_dropped", reason=self.problem())
        self._dropped[action.value] += 1
        self._metrics.records_dropped_total.inc()

    def _tell_of_dropped(self, *, ending: bool = False) -> None:
        """Say what is missing, where something is: once there is room, or at the end."""
        if not self._dropped or (self._room.full and not ending):
            return
        dropped, self._dropped = self._dropped, Counter()
        details: dict[str, object] = {
            "records": dropped.total(),
            "actions": dict(sorted(dropped.items())),
            "since": self._dropped_since,
        }
        self._append(Action.AUDIT_DROPPED, Outcome.FAILED, Acting(), None, None, details)

    def problem(self) -> str | None:
        """For `Readiness`: what keeps acts from being recorded, or None."""
        if not self._room.full:
            return None
        if self._spool_problem is not None:
            return f"the audit spool can't be written ({self._spool_problem})"
        if self._delivered_s > max(self._room.full_since_s, time.monotonic() - STALLED_S):
            return "the audit spool is full; what is in it is being delivered"
        return "the audit spool is full, and MongoDB does not take records"

    # From the queue to the spool

    def _on_news(self, news: Kept | Exception) -> None:
        """The keeper brought something to disk, or could not."""
        if isinstance(news, Exception):
            self._note_problem(news)
            self._stuck.set()
            return
        self._spool_problem = None
        self._metrics.queued_seconds.observe(news.queued_s)
        self._room.written(news.size_bytes, news.total_bytes)
        self._look_around()
        self._arrived.set()

    def _note_problem(self, error: Exception) -> None:
        if self._spool_problem is None:
            _log.error("audit_spool_not_written", error=str(error))
        self._spool_problem = getattr(error, "strerror", None) or type(error).__name__

    def _look_around(self) -> None:
        """Something has moved on."""
        self._tell_of_dropped()
        self._settle()

    def bring_to_disk(self) -> None:
        """Do it now, for something will hold up all threads. Blocks for some milliseconds at most.

        Where the disk takes longer than that, what it has in hand still goes on its way.
        """
        if not self._keeper.flush_now(BRING_S):
            _log.info("audit_disk_slow", queued_bytes=self._room.queue_bytes)

    async def _unstick(self) -> None:
        """Where the disk is broken try again, and go straight to the log meanwhile."""
        while True:
            await self._stuck.wait()
            self._stuck.clear()
            batch = self._keeper.in_hand
            if batch is not None:
                await self._get_through(batch)

    async def _get_through(self, batch: Batch) -> None:
        direct: asyncio.Task[Published | None] | None = None
        try:
            while True:
                if direct is None and not self._spool.pending:
                    direct = asyncio.create_task(self._publish(batch))
                if direct is None:
                    await asyncio.sleep(RETRY_S)
                else:
                    await asyncio.wait({direct}, timeout=RETRY_S)
                    if direct.done():
                        self._advance(_head_of(batch, direct.result()))
                        await self._keeper.work(self._keeper.skip)
                        self._room.unqueued(batch.size_bytes)
                        self._look_around()
                        return
                try:
                    await self._keeper.work(self._keeper.retry)
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
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            try:
                while (batch := await self._first()) is not None:
                    head = _head_of(batch, await self._publish(batch))
                    last = self._spool.take()
                    self._room.taken(self._spool.taken_bytes)
                    self._advance(head)
                    self._tell_of_dropped()
                    if last:
                        await self._keeper.work(self._spool.trim)
            except OSError as error:
                _log.error("audit_spool_not_read", error=str(error))
                await asyncio.sleep(RETRY_S)
                self._arrived.set()
            self._look_around()
            self._measure()

    async def _first(self) -> Batch | None:
        held = self._spool.first_held()
        if held is not None or not self._spool.pending:
            return held
        return await self._keeper.work(self._spool.first)

    async def _publish(self, batch: Batch) -> Published | None:
        """Store a batch; returns when it is durable, however long that takes.

        Where it is; None where something else is there under its key.
        """
        drafts = stored_form(batch)
        while True:
            try:
                return await self._log.publish(drafts, key=batch.key, timeout_s=math.inf)
            except KeyReusedError:
                # Impossible unless somebody stored other records under the key.
                _log.exception("audit_batch_refused", key=batch.key)
                return None
            except (BusyError, StoreUnavailableError) as error:
                _log.warning("audit_batch_waits", error=str(error))
                await asyncio.sleep(RETRY_S)

    def _advance(self, head: Head) -> None:
        self.stored = head
        self._delivered_s = time.monotonic()
        self._pulse()

    def _pulse(self) -> None:
        """Let those who wait for progress look again."""
        self._progress.set()
        self._progress = asyncio.Event()

    async def _sync(self) -> None:
        """While MongoDB is away, see to it that a crash of the host costs a second at most."""
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
            self._measure()

    async def _adopt(self) -> None:
        """Deliver what dead workers of this host left, until cancelled."""
        await self.flush()  # first of all it is stored that this worker is there
        while True:
            try:
                for left in await self._keeper.work(lambda: list(abandoned(self._spool_dir))):
                    await self._adopt_one(left)
            except OSError as error:
                _log.error("audit_spool_not_adopted", error=str(error))
            await asyncio.sleep(ADOPT_INTERVAL_S)

    async def _adopt_one(self, left: Abandoned) -> None:
        count = 0
        head: Head | None = None
        done = False
        try:
            batches: Iterator[Batch] = left.batches()
            while (batch := await self._keeper.work(lambda: next(batches, None))) is not None:
                head = _head_of(batch, await self._publish(batch))
                count += len(batch.records)
            # Nothing will be added to that chain: said for good before the last trace is gone.
            if head is None or await self._told_of_end(left.chain, head):
                await self._keeper.work(left.remove)
                done = True
        finally:
            if not done:
                left.release()
        if count:
            _log.info("audit_spool_adopted", chain=left.chain, records=count)

    async def _told_of_end(self, chain: str, head: Head) -> bool:
        """Have it stored where a chain ended; False where that can't be recorded now."""
        before = self._chain.n
        self.record(Action.AUDIT_ANCHORED, by=Acting(), heads=[head.to_json(chain, ended=True)])
        if self._chain.n == before:
            return False
        await self.flush()
        return True

    def _settle(self) -> None:
        if not self._room.queue_bytes and not self._spool.pending:
            self._settled.set()
            self._pulse()

    def _measure(self) -> None:
        # Counted in batches: a counter's lock costs more than a record should.
        for outcome, count in self._counted.items():
            if count:
                self._metrics.records_total.labels(outcome.value).inc(count)
                self._counted[outcome] = 0
        self._metrics.queue_bytes.set(self._room.queue_bytes)
        self._metrics.spool_bytes.set(self._spool.pending_bytes)

    # Life

    def start(self, tasks: TaskOwner) -> None:
        """Begin to deliver."""
        self._keeper.start(self._on_news)
        tasks.start(self._unstick(), name="audit-writer")
        tasks.start(self._deliver(), name="audit-deliverer")
        tasks.start(self._sync(), name="audit-sync")

    def adopt(self, tasks: TaskOwner) -> None:
        """Begin to deliver also what dead workers left, once the chain has its first record."""
        tasks.start(self._adopt(), name="audit-adopter")

    async def flush(self) -> None:
        """Return when everything that was recorded so far is in MongoDB. No time-out here."""
        newest = self._chain.n
        while self.stored.n < newest and not self._settled.is_set():
            await self._progress.wait()  # under load there is no moment at which nothing waits

    def is_finishing(self) -> bool:
        """Whether the chain has its last record."""
        return self._stopping

    def is_settled(self) -> bool:
        """Whether everything that was recorded is in MongoDB."""
        return self._settled.is_set() or self.stored.n >= self._chain.n

    async def finish(self, timeout_s: float) -> None:
        """Write the chain's last record and deliver what is left; the tasks still have to run.

        What can't be delivered in time stays in the spool, for the next worker on this host.
        """
        self._tell_of_dropped(ending=True)
        self.record(Action.WORKER_STOPPED, by=Acting(), target=self._worker_id)
        self._stopping = True
        self._keeper.hurry()
        try:
            async with asyncio.timeout(timeout_s):
                await self.flush()
        except TimeoutError:
            _log.warning("audit_left_in_spool", bytes=self._spool.pending_bytes)

    def close(self) -> None:
        """Let go of the spool, once the tasks have ended. Blocks for a moment."""
        left = self._keeper.close()
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


def _head_of(batch: Batch, published: Published | None) -> Head:
    first = int(batch.key.rpartition(":")[2])
    position = None if published is None else Position(published.epoch, published.last)
    return Head(
        first + len(batch.records) - 1,
        sealed_hash(batch.records[-1]),
        None if position is None else str(position),
    )
