"""Auditors at work on a log in memory."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.chain import GENESIS, hash_of
from rtserver.audit.record.metrics import AuditMetrics
from rtserver.audit.record.spool import Batch
from rtserver.eventlog.api import EventLog, Fence, Published
from rtserver.lib.merkle import MerkleTree
from rtserver.lib.tasks import TaskOwner
from rtserver.model.events import AUDIT_PROJECT, EventDraft
from rtserver.observe.metrics import MetricsRegistry
from tests.support.fakes import MemoryLog


class KeyedLog(MemoryLog):
    """A log that knows keys, and can be away.

    Attributes:
        away: publications wait while it is set.
        keys: where what was stored under each key is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.here = asyncio.Event()
        self.here.set()
        self.keys: dict[str, Published] = {}

    async def publish(
        self,
        drafts: Sequence[EventDraft],
        *,
        key: str | None = None,
        fence: Fence | None = None,
        timeout_s: float | None = None,
    ) -> Published:
        await self.here.wait()
        assert key is not None
        if key in self.keys:
            return replace(self.keys[key], duplicate=True)
        self.keys[key] = await super().publish(drafts, key=key, timeout_s=timeout_s)
        return self.keys[key]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records that are stored."""
        packs = self.packs.get(AUDIT_PROJECT, [])
        return [event.frame() for pack in packs for event in pack.events()]


def hold_up_disk(auditor: Auditor, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let what goes to the auditor's disk wait there until the event is set."""
    disk = threading.Event()
    append = auditor._spool.append

    def slow_append(batch: Batch) -> None:
        disk.wait()
        append(batch)

    monkeypatch.setattr(auditor._spool, "append", slow_append)
    return disk


@asynccontextmanager
async def auditing(
    directory: Path, log: KeyedLog | None = None, **options: Any
) -> AsyncIterator[tuple[Auditor, KeyedLog]]:
    """An auditor at work; ended in order, or as a killed process would leave it."""
    log = log or KeyedLog()
    async with auditing_on(directory, log, **options) as auditor:
        yield auditor, log


@asynccontextmanager
async def auditing_on(
    directory: Path,
    log: EventLog,
    *,
    spool_bytes: int = 1 << 20,
    crash: bool = False,
    tree: MerkleTree | None = None,
) -> AsyncIterator[Auditor]:
    """The same on any log."""
    auditor = Auditor(
        log,
        AuditMetrics(MetricsRegistry()),
        directory,
        worker_id="w1",
        spool_bytes=spool_bytes,
        tree=tree,
    )
    tasks = TaskOwner()
    auditor.start(tasks)
    auditor.adopt(tasks)
    try:
        yield auditor
    finally:
        await tasks.stop()
        if crash:
            auditor._spool_thread.close()
            auditor._delivery._sync_thread.shutdown()
            os.close(auditor._spool._lock_fd)
        else:
            auditor.close()


def check_chain(records: list[dict[str, Any]]) -> None:
    """Hold that these are all records of one chain."""
    prev = GENESIS
    for n, record in enumerate(records, start=1):
        assert record["n"] == n
        assert record["prev"] == prev
        assert hash_of(record) == record["hash"]
        prev = record["hash"]


def record_of(
    actor: str, *, outcome: str = "allowed", ts: str = "2026-01-31T14:00:00.000Z"
) -> EventDraft:
    """A record of what a user did, as it is stored."""
    fields = {
        "action": "lock.acquired",
        "actor": actor,
        "outcome": outcome,
        "project_id": None,
        "target": None,
    }
    return EventDraft(AUDIT_PROJECT, "lock.acquired", fields, ts=ts)
