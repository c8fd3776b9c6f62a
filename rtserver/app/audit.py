"""The audit logs: this worker's chains in them, the registries of workers, and the archive."""

import asyncio
from dataclasses import dataclass

import structlog

from rtserver.app.event_log import Log, build_audit_log
from rtserver.app.foundation import Foundation
from rtserver.app.mongo import MongoAccess
from rtserver.audit.archive.archiver import Archiver
from rtserver.audit.archive.directory import ArchiveDirectory
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.metrics import AuditMetrics
from rtserver.audit.record.spool import SPOOL_FOLDER
from rtserver.audit.record.strangers import Strangers, share_of
from rtserver.audit.record.workers import Workers
from rtserver.eventlog.metrics import LogMetrics
from rtserver.lib.data_folder import make_folder
from rtserver.lib.shutdown import Shutdown
from rtserver.lib.tasks import TaskOwner
from rtserver.model.errors import OperatorError
from store.audit.archive import MongoArchive
from store.audit.buffer import MongoAuditBuffer
from store.documents.workers import STRANGERS_WORKERS, WORKERS, MongoWorkers
from store.log.collection import AUDIT, STRANGERS

_log = structlog.get_logger()


SPOOL_OF_STRANGERS = "strangers-spool"
SPOOL_OF_STRANGERS_BYTES = 2 * 1024 * 1024
"""Some ten minutes of what a worker records of strangers at most."""


@dataclass(frozen=True, slots=True)
class AuditLog:
    """An audit log, and this worker's chain in it.

    Attributes:
        auditor: takes records.
        log: where they go.
        registry: of the workers with chains in it.
    """

    auditor: Auditor
    log: Log
    registry: MongoWorkers


@dataclass(frozen=True, slots=True)
class Audit(AuditLog):
    """What others need of it.

    Attributes:
        strangers: the log of what was refused to clients without a valid token.
        joined: what of that is not in it yet.
    """

    strangers: AuditLog
    joined: Strangers


@dataclass(frozen=True, slots=True)
class _Plan:
    """What tells the audit logs apart."""

    name: str
    collection: str
    workers: str
    spool_folder: str
    spool_bytes: int
    log_metrics: LogMetrics
    metrics: AuditMetrics


async def build_audit(base: Foundation, mongo: MongoAccess) -> Audit:
    """Open the audit logs and begin this worker's chains.

    Raises:
        OperatorError: the spool's directory can't be written.
        StoreUnavailableError: MongoDB does not answer.
    """
    settings, shutdown, metrics = base.settings, base.shutdown, base.metrics
    of_strangers = _Plan(
        "strangers",
        STRANGERS,
        STRANGERS_WORKERS,
        SPOOL_OF_STRANGERS,
        SPOOL_OF_STRANGERS_BYTES,
        metrics.stranger_log,
        metrics.strangers,
    )
    of_users = _Plan(
        "audit",
        AUDIT,
        WORKERS,
        SPOOL_FOLDER,
        settings.audit_spool_bytes,
        metrics.audit_log,
        metrics.audit,
    )
    strangers, tasks = await _build_log(base, mongo, of_strangers, None)
    shutdown.push("strangers", _Finish(strangers.auditor, shutdown).stop)
    strangers.auditor.adopt(tasks)
    joined = Strangers(strangers.auditor, share_of(settings.audit_log_bytes))
    tasks.start(joined.run(), name="strangers")
    shutdown.push("strangers-joined", joined.flush)

    users, tasks = await _build_log(base, mongo, of_users, joined)
    # Not so the log of strangers: they must not be able to turn the server red.
    base.readiness.add("audit", users.auditor)
    _build_archive(base, mongo, users.auditor)
    shutdown.push("audit", _Finish(users.auditor, shutdown).stop)
    users.auditor.adopt(tasks)
    mongo.primary.observers.append(_Outages(users.auditor, shutdown))
    return Audit(users.auditor, users.log, users.registry, strangers, joined)


async def _build_log(
    base: Foundation, mongo: MongoAccess, plan: _Plan, strangers: Strangers | None
) -> tuple[AuditLog, TaskOwner]:
    """Begin a chain; also what runs its tasks."""
    settings, shutdown = base.settings, base.shutdown
    log = await build_audit_log(base, mongo, plan.collection, plan.log_metrics, plan.name)
    auditor = _auditor(base, log, plan, strangers)
    shutdown.push(f"{plan.name}-spool", auditor.close)
    registry = MongoWorkers(mongo.database, lease_s=settings.lease_s, collection=plan.workers)
    workers = Workers(
        registry,
        auditor,
        MongoAuditBuffer(mongo.database, log.writer, collection=plan.collection),
        worker_id=settings.worker_id,
        lease_s=settings.lease_s,
        trust=base.lease_trust,
        anchor_interval_s=settings.audit_anchor_interval_s,
    )
    tasks = shutdown.tasks(plan.name)
    auditor.start(tasks)
    await workers.begin()
    shutdown.push(f"{plan.name}-workers", workers.end)
    tasks.start(workers.run(), name=f"{plan.name}-workers")
    return AuditLog(auditor, log, registry), tasks


def _auditor(base: Foundation, log: Log, plan: _Plan, strangers: Strangers | None) -> Auditor:
    spool_dir = base.settings.data_dir / plan.spool_folder
    try:
        make_folder(spool_dir, base.settings.folder_mode)
        return Auditor(
            log.writer,
            plan.metrics,
            spool_dir,
            worker_id=base.settings.worker_id,
            spool_bytes=plan.spool_bytes,
            strangers=strangers,
        )
    except OSError as error:
        raise OperatorError(
            f"the audit spool can't be kept in {spool_dir} ({error.strerror}): "
            "set RT_DATA_DIR to a directory that can be written"
        ) from error


def _build_archive(base: Foundation, mongo: MongoAccess, auditor: Auditor) -> None:
    settings, shutdown = base.settings, base.shutdown
    if settings.audit_archive_dir is None:
        return
    archiver = Archiver(
        MongoArchive(mongo.database, lease_s=settings.lease_s),
        ArchiveDirectory(settings.audit_archive_dir),
        auditor,
        base.metrics.archive,
        lease_s=settings.lease_s,
    )
    shutdown.push("audit-archive-thread", archiver.close)
    shutdown.tasks("audit-archive").start(archiver.run(), name="audit-archive")
    shutdown.push("audit-archive", _Finish(archiver, shutdown).stop)


class _Finish:
    """Ends what brings records on their way, within what is left of the grace period."""

    def __init__(self, part: Auditor | Archiver, shutdown: Shutdown) -> None:
        self._part = part
        self._shutdown = shutdown

    async def stop(self) -> None:
        await self._part.finish(self._shutdown.left_s())


class _Outages:
    """Records when MongoDB's primary goes and comes; see `store.base.topology.PrimaryObserver`."""

    def __init__(self, auditor: Auditor, shutdown: Shutdown) -> None:
        self._auditor = auditor
        self._shutdown = shutdown
        self._lost_s = asyncio.get_running_loop().time()

    def primary_lost(self) -> None:
        if self._shutdown.has_begun:
            return
        self._lost_s = asyncio.get_running_loop().time()
        _log.warning("mongodb_lost")
        self._auditor.record(Action.MONGODB_LOST, Outcome.FAILED, by=Acting())

    def primary_found(self) -> None:
        if self._shutdown.has_begun:
            return
        away_ms = round((asyncio.get_running_loop().time() - self._lost_s) * 1000)
        _log.info("mongodb_found", away_ms=away_ms)
        self._auditor.record(Action.MONGODB_FOUND, by=Acting(), away_ms=away_ms)
