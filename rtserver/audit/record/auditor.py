"""The audit log of a worker: records what is done, by whom, and how it ended.

`Auditor.record` never waits: a record is put into the worker's hash chain and a queue. Every few
milliseconds what is queued goes into the spool on disk, by a thread that no busy event loop holds
up (`rtserver.audit.record.spool_thread`), and from there to MongoDB, in order.

    record -> queue (memory, bounded) -> spool (disk, bounded) -> log `audit` (MongoDB)

The way from the queue on is `rtserver.audit.record.spool_delivery`.

A worker that is killed loses what was in the queue. What is in the spool is delivered later: by
this worker, or where it is dead by any worker of its host. From the spool's bound on, until half of
it is free again, the server is not ready, refuses what must not go unrecorded, and counts what else
it can't record. Past the bound it keeps what was let through before, and what explains the rest.
"""

import asyncio
import time
from collections import Counter
from contextvars import ContextVar
from pathlib import Path

import structlog

from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.backpressure import Backpressure
from rtserver.audit.record.catalogue import CATALOGUE
from rtserver.audit.record.chain import Chain, Head, Unsealed, details_json, text
from rtserver.audit.record.metrics import AuditMetrics
from rtserver.audit.record.spool import Spool
from rtserver.audit.record.spool_delivery import SpoolDelivery
from rtserver.audit.record.spool_thread import SpoolThread
from rtserver.audit.record.strangers import Strangers
from rtserver.eventlog.api import EventLog
from rtserver.lib.merkle import MerkleTree
from rtserver.lib.tasks import TaskOwner
from rtserver.model.errors import BusyError
from rtserver.model.moments import now_rfc3339

GATHER_S = 0.04
"""Each batch costs about as much as sixty records do; a killed worker may lose 50 ms of them."""

QUEUE_BYTES = 4 * 1024 * 1024
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
        strangers: Strangers | None = None,
        tree: MerkleTree | None = None,
    ) -> None:
        """Begin a chain and a spool.

        Args:
            log: the log `audit`; its writer is the caller's to run.
            metrics: what is counted.
            spool_dir: where the workers of this host keep their spools.
            worker_id: this worker.
            spool_bytes: most that waits for MongoDB.
            strangers: takes what was refused to somebody without a token, and says what of it is
                recorded here too; None: all is recorded here.
            tree: gets the hash of each record of the chain that is stored; None: no need.

        Raises:
            OSError: the spool can't be made.
        """
        self._metrics = metrics
        self._strangers = strangers
        self._backpressure = Backpressure(spool_bytes, QUEUE_BYTES)
        self._worker_id = worker_id
        self._chain = Chain(worker_id)
        self._spool = Spool(spool_dir, self._chain.name)
        self._spool_thread = SpoolThread(self._spool, self._chain.name, gather_s=GATHER_S)
        self._delivery = SpoolDelivery(
            log,
            self._spool,
            self._spool_thread,
            self._backpressure,
            self,
            spool_dir=spool_dir,
            stored=Head(0, self._chain.hash),
            tree=tree,
        )
        self._counted = dict.fromkeys(Outcome, 0)
        self._dropped: Counter[str] = Counter()
        self._dropped_since = ""
        self._stopping = False
        self._acting: ContextVar[Acting | None] = ContextVar("acting", default=None)

    @property
    def chain(self) -> str:
        """The name of this worker's chain."""
        return self._chain.name

    @property
    def worker_id(self) -> str:
        """This worker."""
        return self._worker_id

    @property
    def stored(self) -> Head:
        """The newest record of this worker's chain that is in MongoDB."""
        return self._delivery.stored

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
        if CATALOGUE[action].must and self._backpressure.full:
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
        project_id = by.project_id if project_id is None else project_id
        if (
            self._strangers is not None
            and by.is_stranger
            and not self._strangers.refused(
                action, outcome, by, target=target, project_id=project_id, details=details
            )
        ):
            return
        if self._backpressure.full and not self._is_due(action, outcome):
            self._drop(action)
            return
        self._append(action, outcome, by, target, project_id, details)

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
        self._backpressure.queued(len(body))
        self._spool_thread.put(body)
        self._counted[outcome] += 1

    def _is_due(self, action: Action, outcome: Outcome) -> bool:
        """Whether a record is kept past the bound.

        That of an act which was let through before: there are only as many as were under way when
        the bound was reached. And those that there are only few of.
        """
        entry = CATALOGUE[action]
        due = entry.kept or (entry.must and outcome is Outcome.ALLOWED)
        return due and self._backpressure.takes_beyond()

    def _drop(self, action: Action) -> None:
        if not self._dropped:
            self._dropped_since = now_rfc3339()
            _log.error("audit_records_dropped", reason=self.problem())
        self._dropped[action.value] += 1
        self._metrics.records_dropped_total.inc()

    def tell_of_dropped(self, *, ending: bool = False) -> None:
        """Say what is missing, where something is: once there is room, or at the end."""
        if not self._dropped or (self._backpressure.full and not ending):
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
        if not self._backpressure.full:
            return None
        if self._delivery.spool_problem is not None:
            return f"the audit spool can't be written ({self._delivery.spool_problem})"
        if self._delivery.delivered_s > max(
            self._backpressure.full_since_s, time.monotonic() - STALLED_S
        ):
            return "the audit spool is full; what is in it is being delivered"
        return "the audit spool is full, and MongoDB does not take records"

    def measure_queued(self, queued_s: float) -> None:
        """Count how long the oldest record of a batch was in memory alone."""
        self._metrics.queued_seconds.observe(queued_s)

    def measure(self) -> None:
        """Bring the metrics up to date."""
        # Counted in batches: a counter's lock costs more than a record should.
        for outcome, count in self._counted.items():
            if count:
                self._metrics.records_total.labels(outcome.value).inc(count)
                self._counted[outcome] = 0
        self._metrics.queue_bytes.set(self._backpressure.queue_bytes)
        self._metrics.spool_bytes.set(self._spool.pending_bytes)

    # Life

    def start(self, tasks: TaskOwner) -> None:
        """Begin to deliver."""
        self._delivery.start(tasks)

    def adopt(self, tasks: TaskOwner) -> None:
        """Begin to deliver also what dead workers left, once the chain has its first record."""
        self._delivery.adopt(tasks)

    async def flush(self) -> None:
        """Return when everything that was recorded so far is in MongoDB. No time-out here."""
        await self._delivery.flush()

    def bring_to_disk(self) -> None:
        """Do it now, for something will hold up all threads. Blocks for some milliseconds at most.

        Where the disk takes longer than that, what it has in hand still goes on its way.
        """
        if not self._spool_thread.flush_now(BRING_S):
            _log.info("audit_disk_slow", queued_bytes=self._backpressure.queue_bytes)

    def is_finishing(self) -> bool:
        """Whether the chain has its last record."""
        return self._stopping

    def is_settled(self) -> bool:
        """Whether everything that was recorded is in MongoDB."""
        return self._delivery.is_settled()

    async def finish(self, timeout_s: float) -> None:
        """Write the chain's last record and deliver what is left; the tasks still have to run.

        What can't be delivered in time stays in the spool, for the next worker on this host.
        """
        self.tell_of_dropped(ending=True)
        self.record(Action.WORKER_STOPPED, by=Acting(), target=self._worker_id)
        self._stopping = True
        self._spool_thread.stop_batching()
        try:
            async with asyncio.timeout(timeout_s):
                await self.flush()
        except TimeoutError:
            _log.warning("audit_left_in_spool", bytes=self._spool.pending_bytes)

    def close(self) -> None:
        """Let go of the spool, once the tasks have ended. Blocks for a moment."""
        self._delivery.close()
