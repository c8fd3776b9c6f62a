"""The audit log: this worker's chain in it, the registry of workers, and the archive."""

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
from rtserver.audit.record.spool import SPOOL_FOLDER
from rtserver.audit.record.workers import Workers
from rtserver.lib.data_folder import make_folder
from rtserver.lib.shutdown import Shutdown
from rtserver.model.errors import OperatorError
from store.audit.archive import MongoArchive
from store.audit.buffer import MongoAuditBuffer
from store.documents.workers import MongoWorkers

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Audit:
    """What others need of it.

    Attributes:
        auditor: takes records.
        log: where they go.
        registry: of workers.
    """

    auditor: Auditor
    log: Log
    registry: MongoWorkers


async def build_audit(base: Foundation, mongo: MongoAccess) -> Audit:
    """Open the audit log and begin this worker's chain.

    Raises:
        OperatorError: the spool's directory can't be written.
        StoreUnavailableError: MongoDB does not answer.
    """
    settings, shutdown = base.settings, base.shutdown
    log = await build_audit_log(base, mongo)
    auditor = _auditor(base, log)
    shutdown.push("audit-spool", auditor.close)
    registry = MongoWorkers(mongo.database, lease_s=settings.lease_s)
    workers = Workers(
        registry,
        auditor,
        MongoAuditBuffer(mongo.database, log.writer),
        worker_id=settings.worker_id,
        lease_s=settings.lease_s,
        trust=base.lease_trust,
        anchor_interval_s=settings.audit_anchor_interval_s,
    )
    tasks = shutdown.tasks("audit")
    auditor.start(tasks)
    base.readiness.add("audit", auditor)
    await workers.begin()
    shutdown.push("workers", workers.end)
    tasks.start(workers.run(), name="workers")
    _build_archive(base, mongo, auditor)
    shutdown.push("audit", _Finish(auditor, shutdown).stop)
    auditor.adopt(tasks)
    mongo.primary.observers.append(_Outages(auditor, shutdown))
    return Audit(auditor, log, registry)


def _auditor(base: Foundation, log: Log) -> Auditor:
    spool_dir = base.settings.data_dir / SPOOL_FOLDER
    try:
        make_folder(spool_dir, base.settings.folder_mode)
        return Auditor(
            log.writer,
            base.metrics.audit,
            spool_dir,
            worker_id=base.settings.worker_id,
            spool_bytes=base.settings.audit_spool_bytes,
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
