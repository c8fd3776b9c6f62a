"""How long a record may be in memory alone: not longer because the event loop is busy."""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.auditor import BRING_S
from tests.support.lateness import lateness
from tests.support.recorder import LogRecorder
from tests.support.waiting import until
from tests.unit.audit.parts import KeyedLog, auditing, check_chain, hold_up_disk

LOST_S = 0.05
"""Of so much time at most a killed worker's records are lost."""


def _spin(seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        math.factorial(20)


@pytest.mark.gen_test
@pytest.mark.parametrize("busy", [time.sleep, _spin])
async def test_a_record_is_on_disk_in_time_though_the_event_loop_is_busy(
    tmp_path: Path, busy: Callable[[float], None]
) -> None:
    log = KeyedLog()
    log.here.clear()
    async with auditing(tmp_path, log) as (auditor, _):
        file = tmp_path / auditor.chain / "00000001.jsonl"
        written_s: list[float] = []
        margins_s: list[float] = []

        def watch(records: int) -> None:
            end_s = time.monotonic() + 5
            while file.read_text().count("target") < records and time.monotonic() < end_s:
                time.sleep(0.001)
            written_s.append(time.monotonic())

        for number in range(1, 6):
            watcher = threading.Thread(target=watch, args=(number,))
            with lateness() as late_s:
                watcher.start()
                auditor.record(Action.LIMIT_HIT, by=Acting(), target=str(number))
                recorded_s = time.monotonic()
                busy(0.2)  # no other task runs meanwhile
                watcher.join()
                # Two threads had to be let go on in turn: the one that writes, and this one.
                margins_s.append(LOST_S + 2 * late_s() - (written_s[-1] - recorded_s))
            await asyncio.sleep(0)
        # A busy machine may hold up one of them; a busy event loop would hold up each.
        assert median(margins_s) > 0, margins_s
        log.here.set()
        await asyncio.wait_for(auditor.flush(), 10)
        check_chain(log.records)


@pytest.mark.gen_test
async def test_what_is_queued_is_on_disk_before_something_holds_up_all_threads(
    tmp_path: Path,
) -> None:
    log = KeyedLog()
    log.here.clear()
    async with auditing(tmp_path, log) as (auditor, _):
        file = tmp_path / auditor.chain / "00000001.jsonl"
        auditor.bring_to_disk()  # where there is nothing to do
        for number in range(1, 6):
            auditor.record(Action.LIMIT_HIT, by=Acting(), target=str(number))
            auditor.bring_to_disk()
            assert file.read_text().count("target") == number
        log.here.set()
        await asyncio.wait_for(auditor.flush(), 10)
        check_chain(log.records)
    auditor.bring_to_disk()  # after the end, too


@pytest.mark.gen_test
async def test_a_slow_disk_does_not_hold_up_the_server_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with auditing(tmp_path) as (auditor, log):
        disk = hold_up_disk(auditor, monkeypatch)
        auditor.record(Action.LIMIT_HIT, by=Acting())
        with lateness() as late_s:
            began_s = time.monotonic()
            auditor.bring_to_disk()
            assert time.monotonic() - began_s < 5 * BRING_S + 2 * late_s()
        disk.set()
        await asyncio.wait_for(auditor.flush(), 10)
        assert len(log.records) == 1


@pytest.mark.gen_test
async def test_what_fails_in_a_way_that_nobody_expected_is_not_lost_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: LogRecorder
) -> None:
    logs.expect("audit_spool_not_written")
    async with auditing(tmp_path) as (auditor, log):

        def fail(_batch: object) -> None:
            raise ValueError("not to be written")

        monkeypatch.setattr(auditor._spool, "append", fail)
        auditor.record(Action.LIMIT_HIT, by=Acting(), target="1")
        await until(lambda: auditor._delivery.spool_problem == "ValueError", "that is told")
        await asyncio.wait_for(auditor.flush(), 10)  # straight into the log
        monkeypatch.undo()
        auditor.record(Action.LIMIT_HIT, by=Acting(), target="2")
        await asyncio.wait_for(auditor.flush(), 10)
        assert [record["target"] for record in log.records] == ["1", "2"]
        check_chain(log.records)
