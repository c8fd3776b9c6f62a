"""What an operator does from a shell is recorded like what admins do over the network."""

import asyncio
import contextlib
import os
import pwd
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from rtserver.app.foundation import WorkerMetrics
from rtserver.app.logs import LogStore
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.spool import SPOOL_FOLDER
from rtserver.audit.record.workers import entry_of
from rtserver.config.settings import Settings
from rtserver.lib.tasks import TaskOwner
from rtserver.model.errors import OperatorError, StoreUnavailableError
from store.base.client import Database
from store.documents.workers import MongoWorkers
from store.log.collection import AUDIT

RECORDED_S = 10.0
VIA = "shell"


def operator_name() -> str:
    """Who sits at this shell, as the system knows it; the environment may say anything."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


class OperatorRecords:
    """Records what is done from this shell, in a chain that begins and ends with the command."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor
        self._by = Acting(actor=operator_name())

    def record(
        self,
        action: Action,
        details: Mapping[str, Any],
        outcome: Outcome = Outcome.ALLOWED,
        project_id: str | None = None,
    ) -> None:
        """Record an act; see `Auditor.record`."""
        said = {**details, "via": VIA, "host": socket.gethostname()}
        self._auditor.record(action, outcome, project_id=project_id, by=self._by, **said)

    async def stored(self) -> None:
        """Return when all of it is in MongoDB.

        Raises:
            OperatorError: it does not get there.
        """
        try:
            async with asyncio.timeout(RECORDED_S):
                await self._auditor.flush()
        except TimeoutError:
            raise OperatorError(
                "this can't be recorded in the audit log now: MongoDB does not take the record"
            ) from None


@contextlib.asynccontextmanager
async def recorded(settings: Settings, database: Database) -> AsyncIterator[OperatorRecords]:
    """Let what an operator's command does be recorded; at the end all of it is in MongoDB.

    Raises:
        OperatorError: it can't be recorded.
        StoreUnavailableError: MongoDB does not answer.
    """
    metrics = WorkerMetrics()
    store = LogStore(settings, database, metrics.audit_log, AUDIT)
    log = await store.open(existing=True)
    registry = MongoWorkers(database, lease_s=settings.lease_s)
    tasks = TaskOwner()
    with _spool_dir(settings.data_dir / SPOOL_FOLDER) as directory:
        auditor = Auditor(
            log,
            metrics.audit,
            directory,
            worker_id=f"{VIA}-{os.getpid()}-{secrets.token_hex(3)}",
            spool_bytes=settings.audit_spool_bytes,
        )
        records = OperatorRecords(auditor)
        try:
            # A chain that begins without being known there was made up.
            await registry.renew(entry_of(auditor))
            tasks.start(log.run(), name="audit-log-writer")
            tasks.start(_keep_lease(registry, auditor, settings.lease_s), name="shell-lease")
            auditor.start(tasks)
            try:
                yield records
            finally:
                if auditor.n:
                    await records.stored()
                    await registry.renew(entry_of(auditor, ended=True))
                else:
                    await registry.withdraw(auditor.chain)
                await store.heads.flush()
        finally:
            await tasks.stop()
            auditor.close()


async def _keep_lease(registry: MongoWorkers, auditor: Auditor, lease_s: float) -> None:
    """So that no worker takes a long command for lost."""
    while True:
        await asyncio.sleep(lease_s / 3)
        with contextlib.suppress(StoreUnavailableError):  # tried again; the command itself notices
            await registry.renew(entry_of(auditor))


@contextlib.contextmanager
def _spool_dir(shared: Path) -> Iterator[Path]:
    """The spools of this host's workers, who deliver what a killed command leaves.

    An operator may have no right to write there. Then it is a folder of this command's own.
    """
    if os.access(shared, os.W_OK | os.X_OK):
        yield shared
    else:
        with tempfile.TemporaryDirectory(prefix="rtserver-audit-") as folder:
            yield Path(folder)
