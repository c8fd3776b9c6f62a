"""Features of a worker, built one on the other and taken apart again, for tests of a single one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rtserver.app.audit import Audit, build_audit
from rtserver.app.documents import Documents, build_documents
from rtserver.app.event_log import EventLog, build_event_log
from rtserver.app.foundation import Foundation, WorkerMetrics
from rtserver.app.mongo import MongoAccess, build_mongo
from rtserver.config.settings import Settings
from rtserver.lib.lease_trust import LeaseTrust
from rtserver.lib.shutdown import Shutdown
from rtserver.observe.readiness import Readiness
from tests.support.workers import QUICK_SETTINGS


def settings_of(directory: Path, **given: object) -> Settings:
    """Settings by attribute name, with all that is kept in a directory."""
    texts = {
        **QUICK_SETTINGS,
        "data_dir": directory / "var",
        "workspace_root": directory / "workspaces",
        **given,
    }
    return Settings.load({f"RT_{name.upper()}": str(text) for name, text in texts.items()}, {})


@asynccontextmanager
async def foundation(settings: Settings) -> AsyncIterator[Foundation]:
    """What builders are given; what they start is stopped."""
    shutdown = Shutdown(grace_s=settings.shutdown_grace_s)
    try:
        yield Foundation(
            settings, WorkerMetrics(), shutdown, Readiness(), LeaseTrust(settings.lease_s)
        )
    finally:
        await shutdown.run()


@dataclass(frozen=True, slots=True)
class Kept:
    """What a worker keeps in MongoDB."""

    mongo: MongoAccess
    events: EventLog
    audit: Audit
    documents: Documents


async def build_kept(base: Foundation) -> Kept:
    """Build what the other features stand on."""
    base.settings.data_dir.mkdir(parents=True, exist_ok=True)
    mongo = await build_mongo(base)
    events = await build_event_log(base, mongo)
    audit = await build_audit(base, mongo)
    return Kept(mongo, events, audit, await build_documents(base, mongo, events))
