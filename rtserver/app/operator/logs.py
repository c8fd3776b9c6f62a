"""The logs as an operator's command has them, beside running workers."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from rtserver.app.foundation import WorkerMetrics
from rtserver.app.logs import LogStore, log_sizes
from rtserver.app.mongo import MongoAccess
from rtserver.app.operator.records import OperatorRecords, recorded
from rtserver.audit.record.actions import Action, Outcome
from rtserver.audit.record.chain import Head
from rtserver.config.settings import Settings
from rtserver.eventlog.worker_messages import Control
from rtserver.lib.tasks import TaskOwner
from rtserver.model.errors import OperatorError
from store.audit.buffer import MongoAuditBuffer
from store.base.client import Database, DatabaseError
from store.base.mending import what_to_mend
from store.documents.workers import STRANGERS_WORKERS, WORKERS, MongoWorkers
from store.log.collection import (
    AUDIT,
    EVENTS,
    STRANGERS,
    CollectionProblemError,
    begin_epoch,
    log_exists,
    log_size_bytes,
    log_used_bytes,
    read_life,
    resize_log,
    rounded_size,
)
from store.log.writer import MongoEventLog


@contextlib.asynccontextmanager
async def beside(settings: Settings) -> AsyncIterator[Database]:
    """MongoDB for a command; its errors are an operator's.

    Raises:
        OperatorError: there is none.
    """
    mongo = MongoAccess(settings)
    database = await mongo.open(may_start=False, beside=True)
    try:
        yield database
    except DatabaseError as error:
        raise OperatorError(what_to_mend(error)) from error
    finally:
        await mongo.close()


@contextlib.asynccontextmanager
async def _events(settings: Settings, database: Database) -> AsyncIterator[MongoEventLog]:
    tasks = TaskOwner()
    events = LogStore(settings, database, WorkerMetrics().log)
    log = await events.open(existing=True)
    try:
        tasks.start(log.run(), name="log-writer")
        yield log
        await events.heads.flush()
    finally:
        await tasks.stop()


@contextlib.asynccontextmanager
async def operator_log(settings: Settings) -> AsyncIterator[MongoEventLog]:
    """The log for a command that reads it.

    Raises:
        OperatorError: there is no MongoDB.
    """
    async with beside(settings) as database, _events(settings, database) as log:
        yield log


@contextlib.asynccontextmanager
async def operator_publishing(
    settings: Settings,
) -> AsyncIterator[tuple[MongoEventLog, OperatorRecords]]:
    """The log for a command that writes to it, and where that is recorded.

    Raises:
        OperatorError: there is no MongoDB, or it takes no record.
    """
    async with (
        beside(settings) as database,
        recorded(settings, database) as records,
        _events(settings, database) as log,
    ):
        yield log, records


@dataclass(frozen=True, slots=True)
class LogResizing:
    """A change of a log's size.

    Attributes:
        before_bytes, after_bytes: how much it can hold now, and would.
        used_bytes: how much is in it.
    """

    before_bytes: int
    after_bytes: int
    used_bytes: int
    _database: Database
    _collection: str
    _records: OperatorRecords
    _log: str

    async def carry_out(self) -> None:
        """Record it, and do it.

        Raises:
            OperatorError: it can't be recorded, or this MongoDB can't do it.
        """
        said = {"log": self._log, "before_bytes": self.before_bytes}
        said["after_bytes"] = self.after_bytes
        self._records.record(Action.LOG_RESIZED, said)
        await self._records.stored()
        try:
            await resize_log(self._database, self._collection, self.after_bytes)
        except CollectionProblemError as error:
            said["after_bytes"] = self.before_bytes
            self._records.record(Action.LOG_RESIZED, {**said, "reason": str(error)}, Outcome.FAILED)
            raise


LOG_COLLECTIONS = {"events": EVENTS, "audit": AUDIT, "strangers": STRANGERS}


@contextlib.asynccontextmanager
async def operator_resizing(settings: Settings, log: str) -> AsyncIterator[LogResizing]:
    """A log, for a command that gives it the size that the settings say.

    Args:
        settings: of the server.
        log: a name in `LOG_COLLECTIONS`.

    Raises:
        OperatorError: there is no MongoDB, or no such log yet, or it takes no record.
    """
    collection = LOG_COLLECTIONS[log]
    async with beside(settings) as database:
        before_bytes = await log_size_bytes(database, collection)
        if before_bytes is None:
            raise OperatorError(f"there is no log {log!r} yet: a worker makes it at its start")
        used_bytes = await log_used_bytes(database, collection)
        after_bytes = rounded_size(log_sizes(settings)[collection])
        async with recorded(settings, database) as records:
            yield LogResizing(
                before_bytes, after_bytes, used_bytes, database, collection, records, log
            )


@dataclass(frozen=True, slots=True)
class AuditAccess:
    """An audit log for an operator's command."""

    log: MongoEventLog
    buffer: MongoAuditBuffer
    workers: MongoWorkers

    async def registry(self) -> dict[str, tuple[Head, bool]]:
        """Where each chain of the registry stands, and whether it ended."""
        return {one.chain: (one.head, one.ended) for one in await self.workers.listed()}


@contextlib.asynccontextmanager
async def operator_audit(
    settings: Settings,
) -> AsyncIterator[tuple[AuditAccess, AuditAccess | None]]:
    """The audit logs for an operator's command: that of users, and that of strangers.

    The latter is None where no server has made one yet.

    Raises:
        OperatorError: there is no MongoDB.
    """
    async with beside(settings) as database:
        of_users = await _audit_access(settings, database, AUDIT, WORKERS)
        of_strangers = None
        if await log_exists(database, STRANGERS):
            of_strangers = await _audit_access(settings, database, STRANGERS, STRANGERS_WORKERS)
        yield of_users, of_strangers


async def _audit_access(
    settings: Settings, database: Database, collection: str, workers: str
) -> AuditAccess:
    store = LogStore(settings, database, WorkerMetrics().audit_log, collection)
    log = await store.open(existing=True)
    return AuditAccess(
        log,
        MongoAuditBuffer(database, log, collection=collection),
        MongoWorkers(database, lease_s=settings.lease_s, collection=workers),
    )


@contextlib.asynccontextmanager
async def operator_reading(
    settings: Settings, action: Action, details: Mapping[str, Any], *, of_strangers: bool = False
) -> AsyncIterator[MongoEventLog]:
    """An audit log for a command that shows what is in it: first it is recorded for good.

    Args:
        settings: of the server.
        action: what the operator does.
        details: see `CATALOGUE`.
        of_strangers: which log.

    Raises:
        OperatorError: there is no MongoDB, or it takes no record.
    """
    async with beside(settings) as database:
        async with recorded(settings, database) as records:
            records.record(action, details)
        collection = STRANGERS if of_strangers else AUDIT
        store = LogStore(settings, database, WorkerMetrics().audit_log, collection)
        yield await store.open(existing=True)


@dataclass(frozen=True, slots=True)
class EpochChange:
    """The epochs of a log before and after an operator gave it another one."""

    before: str
    after: str


async def begin_log_epoch(settings: Settings, log: str) -> EpochChange:
    """Give a log another epoch, record it, and tell the workers.

    Args:
        settings: of the server.
        log: one of `LOG_COLLECTIONS`.

    Raises:
        OperatorError: there is no MongoDB or no such log, or it takes no record.
    """
    collection = LOG_COLLECTIONS[log]
    async with (
        beside(settings) as database,
        recorded(settings, database) as records,
        _events(settings, database) as events,
    ):
        if not await log_exists(database, collection):
            raise OperatorError(f"no server has made the log {log!r} in {database.name!r} yet")
        before = await read_life(database, collection)
        after = await begin_epoch(database, collection, before)
        details = {"log": collection, "epoch_before": before.epoch, "epoch": after.epoch}
        records.record(Action.LOG_EPOCH_BEGUN, details)
        control = Control(events, worker_id="shell")
        await control.tell_all("epoch", log=collection, epoch=after.epoch)
        return EpochChange(before.epoch, after.epoch)
