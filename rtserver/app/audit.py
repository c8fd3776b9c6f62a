"""The audit logs: this worker's chains in them, the registries of workers, and the archive."""

import asyncio
from dataclasses import dataclass

import structlog

from rtserver.app.event_log import Log, build_audit_log
from rtserver.app.foundation import Foundation
from rtserver.app.mongo import MongoAccess
from rtserver.audit.archive.archiver import Archiver
from rtserver.audit.archive.directory import ArchiveDirectory
from rtserver.audit.checkpoints.key_file import read_key_file
from rtserver.audit.checkpoints.note import SigningKey
from rtserver.audit.checkpoints.outside import DirectoryPlace, Outside, Place, WitnessPlace
from rtserver.audit.checkpoints.signer import ArchiveTree, Signer
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.metrics import AuditMetrics
from rtserver.audit.record.spool import SPOOL_FOLDER
from rtserver.audit.record.strangers import Strangers, share_of
from rtserver.audit.record.workers import Workers
from rtserver.eventlog.metrics import LogMetrics
from rtserver.lib.data_folder import make_folder
from rtserver.lib.merkle import MerkleTree
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

SIGNED_SHARE = 0.1
"""So much of what is left of the grace period the signing of an end may take."""


@dataclass(frozen=True, slots=True)
class AuditLog:
    """An audit log, and this worker's chain in it.

    Attributes:
        auditor: takes records.
        log: where they go.
        registry: of the workers with chains in it.
        signer: signs checkpoints of it; None without a key.
    """

    auditor: Auditor
    log: Log
    registry: MongoWorkers
    signer: Signer | None


@dataclass(frozen=True, slots=True)
class Audit(AuditLog):
    """What others need of it.

    Attributes:
        strangers: the log of what was refused to clients without a valid token.
        joined: what of that is not in it yet.
        public_key: what checkpoints are checked with, as text; None where none are signed.
    """

    strangers: AuditLog
    joined: Strangers
    public_key: str | None


@dataclass(frozen=True, slots=True)
class _Signing:
    """What checkpoints are signed with, and where they go."""

    key: SigningKey
    outside: Outside


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
        OperatorError: the spool's directory can't be written, or the key not be used.
        StoreUnavailableError: MongoDB does not answer.
    """
    settings, shutdown, metrics = base.settings, base.shutdown, base.metrics
    signing = _build_signing(base)
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
    strangers, tasks = await _build_log(base, mongo, of_strangers, None, signing, ArchiveTree())
    shutdown.push("strangers", _Finish(strangers.auditor, shutdown).stop)
    strangers.auditor.adopt(tasks)
    joined = Strangers(strangers.auditor, share_of(settings.audit_log_bytes))
    tasks.start(joined.run(), name="strangers")
    shutdown.push("strangers-joined", joined.flush)

    archive_tree = ArchiveTree()
    users, tasks = await _build_log(base, mongo, of_users, joined, signing, archive_tree)
    # Not so the log of strangers: they must not be able to turn the server red.
    base.readiness.add("audit", users.auditor)
    _build_archive(base, mongo, users.auditor, None if signing is None else archive_tree)
    shutdown.push("audit", _Finish(users.auditor, shutdown).stop)
    for log in (strangers, users):
        if log.signer is not None:  # in the log too, while something can be recorded
            shutdown.push("checkpoint", log.signer.checkpoint, share=SIGNED_SHARE)
    users.auditor.adopt(tasks)
    mongo.primary.observers.append(_Outages(users.auditor, shutdown))
    public_key = None if signing is None else str(signing.key.public)
    return Audit(
        users.auditor, users.log, users.registry, users.signer, strangers, joined, public_key
    )


def _build_signing(base: Foundation) -> _Signing | None:
    settings = base.settings
    if settings.audit_signing_key_file is None:
        return None
    key = read_key_file(settings.audit_signing_key_file)
    places: list[Place] = []
    if settings.audit_checkpoints_dir is not None:
        places.append(DirectoryPlace(settings.audit_checkpoints_dir))
    if settings.audit_witness_url is not None:
        places.append(WitnessPlace(settings.audit_witness_url))
    outside = Outside(places, base.metrics.checkpoints)
    base.shutdown.push("checkpoint-places", outside.close)
    outside.start(base.shutdown.tasks("checkpoint-places"))
    return _Signing(key, outside)


async def _build_log(
    base: Foundation,
    mongo: MongoAccess,
    plan: _Plan,
    strangers: Strangers | None,
    signing: _Signing | None,
    archive_tree: ArchiveTree,
) -> tuple[AuditLog, TaskOwner]:
    """Begin a chain; also what runs its tasks."""
    settings, shutdown = base.settings, base.shutdown
    log = await build_audit_log(base, mongo, plan.collection, plan.log_metrics, plan.name)
    tree = MerkleTree()
    auditor = _auditor(base, log, plan, strangers, None if signing is None else tree)
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
    signer = None
    if signing is not None:
        signer = Signer(
            plan.name,
            log.writer,
            auditor,
            tree,
            archive_tree,
            signing.key,
            signing.outside,
            base.metrics.checkpoints,
            interval_s=settings.audit_checkpoint_interval_s,
        )
        # After the chain's end is stored, archived, and in the registry.
        shutdown.push(f"{plan.name}-checkpoints", _SignedEnd(signer, shutdown).stop)
        tasks.start(signer.run(), name=f"{plan.name}-checkpoints")
    shutdown.push(f"{plan.name}-workers", workers.end)
    tasks.start(workers.run(), name=f"{plan.name}-workers")
    return AuditLog(auditor, log, registry, signer), tasks


def _auditor(
    base: Foundation,
    log: Log,
    plan: _Plan,
    strangers: Strangers | None,
    tree: MerkleTree | None,
) -> Auditor:
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
            tree=tree,
        )
    except OSError as error:
        raise OperatorError(
            f"the audit spool can't be kept in {spool_dir} ({error.strerror}): "
            "set RT_DATA_DIR to a directory that can be written"
        ) from error


def _build_archive(
    base: Foundation, mongo: MongoAccess, auditor: Auditor, tree: ArchiveTree | None
) -> None:
    settings, shutdown = base.settings, base.shutdown
    if settings.audit_archive_dir is None:
        return
    archiver = Archiver(
        MongoArchive(mongo.database, lease_s=settings.lease_s),
        ArchiveDirectory(settings.audit_archive_dir),
        auditor,
        base.metrics.archive,
        lease_s=settings.lease_s,
        tree=tree,
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


class _SignedEnd:
    """Signs the end of a chain, and waits a little until that is outside."""

    def __init__(self, signer: Signer, shutdown: Shutdown) -> None:
        self._signer = signer
        self._shutdown = shutdown

    async def stop(self) -> None:
        await self._signer.finish(SIGNED_SHARE * self._shutdown.left_s())


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
