"""What dead workers left in their spools."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rtserver.audit.record import spool_delivery
from rtserver.audit.record.spool import Abandoned
from tests.support.recorder import LogRecorder
from tests.support.waiting import until
from tests.unit.audit.parts import KeyedLog, auditing


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@pytest.mark.gen_test
async def test_a_worker_may_end_in_the_moment_in_which_it_has_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It let go of the lock twice, which may close another's file, and then it did not end."""
    log = KeyedLog()
    async with auditing(tmp_path, log, crash=True) as (auditor, _):
        await asyncio.wait_for(auditor.flush(), 10)
    remove = Abandoned.remove
    loop = asyncio.get_running_loop()
    adopters: list[asyncio.Task[Any]] = []

    def remove_as_the_end_comes(left: Abandoned) -> None:
        remove(left)
        loop.call_soon_threadsafe(adopters[0].cancel)

    monkeypatch.setattr(Abandoned, "remove", remove_as_the_end_comes)
    async with auditing(tmp_path, log):
        adopters += [task for task in asyncio.all_tasks() if task.get_name() == "audit-adopter"]
        await until(adopters[0].done, "the end")
    assert adopters[0].cancelled()


@pytest.mark.gen_test
async def test_a_spool_that_cannot_be_read_keeps_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: LogRecorder
) -> None:
    monkeypatch.setattr(spool_delivery, "ADOPT_INTERVAL_S", 0.01)
    logs.expect("audit_spool_not_adopted")
    log = KeyedLog()
    async with auditing(tmp_path, log, crash=True):
        pass
    broken = tmp_path / "0-comes-first"
    (broken / "00000001.jsonl").mkdir(parents=True)
    (broken / "lock").touch()
    async with auditing(tmp_path, log):
        await until(lambda: len(_names(tmp_path)) == 2, "the dead worker's spool gone")
        (broken / "00000001.jsonl").rmdir()
        await until(lambda: len(_names(tmp_path)) == 1, "the other one, once it can be read")
