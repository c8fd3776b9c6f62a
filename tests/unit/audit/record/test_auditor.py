import asyncio
import json
import os
import threading
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtserver.audit.record import auditor as audit
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import AuditFullError, Auditor
from rtserver.audit.record.catalogue import CATALOGUE
from rtserver.audit.record.chain import GENESIS
from rtserver.eventlog.api import Published
from rtserver.model.connection import ConnectionRecord
from rtserver.model.events import AUDIT_PROJECT
from tests.support.recorder import LogRecorder
from tests.support.waiting import until
from tests.unit.audit.parts import KeyedLog, auditing, check_chain, hold_up_disk

SERVER = Acting()


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@pytest.mark.gen_test
async def test_records_reach_the_log_in_order_as_one_chain(tmp_path: Path) -> None:
    async with auditing(tmp_path) as (auditor, log):
        for number in range(1200):
            auditor.record(Action.LIMIT_HIT, Outcome.DENIED, target=str(number), limit="x")
        await asyncio.wait_for(auditor.flush(), 10)
        assert [record["target"] for record in log.records] == [str(n) for n in range(1200)]
        check_chain(log.records)
        assert auditor.stored.n == 1200
        assert auditor.stored.hash == log.records[-1]["hash"]


@pytest.mark.gen_test
async def test_a_record_says_who_did_what_to_what_from_where(tmp_path: Path) -> None:
    async with auditing(tmp_path) as (auditor, log):
        auditor.act(Acting(ip="203.0.113.7", actor="ada", project_id="p1", connection_id="c1"))
        auditor.record(Action.LOCK_ACQUIRED, target="p1", words="Mine", reason=None)
        await asyncio.wait_for(auditor.flush(), 10)
        (record,) = log.records
        del record["ts"], record["chain"], record["hash"]
        assert record == {
            "id": "e0e0-1",
            "type": "audit",
            "action": "lock.acquired",
            "outcome": "allowed",
            "actor": "ada",
            "project_id": "p1",
            "target": "p1",
            "connection_id": "c1",
            "ip": "203.0.113.7",
            "worker": "w1",
            "details": {"words": "Mine"},
            "n": 1,
            "prev": GENESIS,
        }


@pytest.mark.gen_test
async def test_a_task_acts_on_its_own_behalf_and_so_do_those_that_it_starts(
    tmp_path: Path,
) -> None:
    async with auditing(tmp_path) as (auditor, log):

        async def inner() -> None:
            auditor.record(Action.LIMIT_HIT)

        async def outer(actor: str) -> int:
            acting = auditor.act(Acting(actor=actor))
            await asyncio.sleep(0)
            await asyncio.create_task(inner())
            auditor.record(Action.LIMIT_HIT)
            return acting.recorded

        counts = await asyncio.gather(*(outer(actor) for actor in ("ada", "ben", "cyn")))
        assert counts == [2, 2, 2]
        assert auditor.acting() == Acting()
        await asyncio.wait_for(auditor.flush(), 10)
        assert sorted(record["actor"] for record in log.records) == sorted(
            ["ada", "ben", "cyn"] * 2
        )


def test_a_connection_to_the_audit_log_is_for_no_project() -> None:
    entry = ConnectionRecord("c1", "w1", "root", AUDIT_PROJECT, "websocket", 0.0, "203.0.113.7")
    acting = Acting.of(entry)
    assert (acting.project_id, acting.actor, acting.connection_id) == (None, "root", "c1")


@pytest.mark.gen_test
async def test_what_is_not_delivered_yet_waits_on_disk_and_comes_later_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtserver.audit.record.spool.MEMORY_BYTES", 2000)
    async with auditing(tmp_path) as (auditor, log):
        log.here.clear()
        for number in range(40):
            auditor.record(Action.LIMIT_HIT, by=SERVER, target=str(number))
            await asyncio.sleep(0.005)
        await until(lambda: auditor._backpressure.queue_bytes == 0, "the state")
        assert auditor._spool.pending > 3
        assert not log.records
        assert not auditor.is_settled()
        log.here.set()
        await asyncio.wait_for(auditor.flush(), 10)
        assert [record["target"] for record in log.records] == [str(n) for n in range(40)]
        check_chain(log.records)


@pytest.mark.gen_test
async def test_what_a_dead_worker_left_is_delivered_once_by_the_next(tmp_path: Path) -> None:
    log = KeyedLog()
    async with auditing(tmp_path, log, crash=True) as (auditor, _):
        for number in range(3):
            auditor.record(Action.LIMIT_HIT, by=SERVER, target=str(number))
        await asyncio.wait_for(auditor.flush(), 10)
        log.here.clear()
        for number in range(3, 6):
            auditor.record(Action.LIMIT_HIT, by=SERVER, target=str(number))
        await until(lambda: auditor._spool.pending > 0, "the state")
    log.here.set()
    async with auditing(tmp_path, log) as (heir, _):
        await until(lambda: len(_names(tmp_path)) == 1, "the dead worker's spool gone")
        # The last trace of the chain goes only when another one says where it ended.
        assert heir.stored.n == 1
    *left, told = log.records
    assert len(left) == 6
    check_chain(left)
    assert told["action"] == "audit.anchored"
    assert told["details"]["heads"] == [
        {"chain": auditor.chain, "n": 6, "hash": left[-1]["hash"], "id": "e0e0-6", "ended": True}
    ]
    assert _names(tmp_path) == []


@pytest.mark.gen_test
async def test_what_cannot_be_delivered_before_the_end_waits_for_the_next_worker(
    tmp_path: Path,
) -> None:
    log = KeyedLog()
    log.here.clear()
    async with auditing(tmp_path, log) as (auditor, _):
        auditor.record(Action.LIMIT_HIT, by=SERVER)
        await auditor.finish(0.05)
        auditor.record(Action.LIMIT_HIT, by=SERVER, target="while it ends")
    log.here.set()
    async with auditing(tmp_path, log) as (_, _):
        await until(lambda: len(log.records) >= 3, "the state")
    left = log.records[:3]
    assert [record["action"] for record in left] == ["limit.hit", "worker.stopped", "limit.hit"]
    check_chain(left)


@pytest.mark.gen_test
async def test_what_is_on_its_way_to_a_busy_disk_when_the_server_stops_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = KeyedLog()
    async with auditing(tmp_path, log) as (auditor, _):
        disk = hold_up_disk(auditor, monkeypatch)
        auditor.record(Action.LIMIT_HIT, by=SERVER, target="1")
        await until(
            lambda: auditor._spool_thread.in_hand is not None, "a batch that waits for the disk"
        )
        auditor.record(Action.LIMIT_HIT, by=SERVER, target="2")
        threading.Timer(0.1, disk.set).start()
    assert not log.records
    async with auditing(tmp_path, log) as (_, _):
        await until(lambda: len(log.records) >= 2, "the state")
    assert [record["target"] for record in log.records[:2]] == ["1", "2"]
    check_chain(log.records[:2])


@pytest.mark.gen_test
async def test_a_chain_that_ends_in_order_ends_with_worker_stopped(tmp_path: Path) -> None:
    async with auditing(tmp_path) as (auditor, log):
        auditor.record(Action.LIMIT_HIT, by=SERVER)
        await auditor.finish(10)
        assert log.records[-1]["action"] == "worker.stopped"
        assert log.records[-1]["target"] == "w1"
        assert auditor.is_settled()


@pytest.mark.gen_test
async def test_past_the_bound_what_must_be_recorded_is_refused_and_the_rest_counted(
    tmp_path: Path, logs: LogRecorder
) -> None:
    logs.expect("audit_records_dropped")
    async with auditing(tmp_path, spool_bytes=4096) as (auditor, log):
        log.here.clear()
        assert auditor.problem() is None
        while auditor.problem() is None:
            auditor.ensure(Action.LOCK_ACQUIRED)
            auditor.record(Action.CONNECTION_OPENED, by=SERVER)
        kept = auditor._chain.n
        with pytest.raises(AuditFullError) as refused:
            auditor.ensure(Action.LOCK_ACQUIRED)
        assert refused.value.status == 503
        auditor.ensure(Action.CONNECTION_OPENED)  # done, and counted
        for _ in range(5):
            auditor.record(Action.CONNECTION_OPENED, by=SERVER)
        auditor.record(Action.LOCK_ACQUIRED, Outcome.DENIED, by=SERVER)
        assert auditor._chain.n == kept
        # An act that was let through before the bound was reached is recorded past it.
        auditor.record(Action.LOCK_ACQUIRED, by=SERVER)
        assert auditor._chain.n == kept + 1
        await until(lambda: auditor._spool.pending > 0, "the state")
        assert auditor.problem() == "the audit spool is full, and MongoDB does not take records"
        log.here.set()
        await until(lambda: auditor.problem() is None, "the state")
        auditor.ensure(Action.LOCK_ACQUIRED)
        auditor.record(Action.LIMIT_HIT, by=SERVER)
        await asyncio.wait_for(auditor.flush(), 10)
        check_chain(log.records)
        assert [record["action"] for record in log.records[-2:]] == ["audit.dropped", "limit.hit"]
        details = log.records[-2]["details"]
        assert details["records"] == 6
        assert details["actions"] == {"connection.opened": 5, "lock.acquired": 1}


@pytest.mark.gen_test
async def test_what_the_server_goes_through_is_kept_past_the_bound(
    tmp_path: Path, logs: LogRecorder
) -> None:
    logs.expect("audit_records_dropped")
    async with auditing(tmp_path, spool_bytes=4096) as (auditor, log):
        log.here.clear()
        while auditor.problem() is None:
            auditor.record(Action.CONNECTION_OPENED, by=SERVER)
        auditor.record(Action.CONNECTION_OPENED, by=SERVER)
        kept = [
            (Action.MONGODB_LOST, Outcome.FAILED),
            (Action.VALIDATION_ENDED, Outcome.FAILED),
            (Action.WORKER_LOST, Outcome.FAILED),
            (Action.MONGODB_FOUND, Outcome.ALLOWED),
        ]
        for action, outcome in kept:
            auditor.record(action, outcome, by=SERVER)
        await until(lambda: auditor._backpressure.queue_bytes == 0, "it is on disk")
        log.here.set()
        await until(lambda: auditor.problem() is None, "there is room")
        await asyncio.wait_for(auditor.flush(), 10)
        check_chain(log.records)
        told = [record["action"] for record in log.records]
        assert told[-5:] == [*(action.value for action, _ in kept), "audit.dropped"]
        assert log.records[-1]["details"]["actions"] == {"connection.opened": 1}


@pytest.mark.gen_test
async def test_a_worker_that_stops_while_the_spool_is_full_still_says_what_is_missing(
    tmp_path: Path, logs: LogRecorder
) -> None:
    logs.expect("audit_records_dropped")
    log = KeyedLog()
    async with auditing(tmp_path, log, spool_bytes=4096) as (auditor, _):
        log.here.clear()
        while auditor.problem() is None:
            auditor.record(Action.CONNECTION_OPENED, by=SERVER)
        auditor.record(Action.CONNECTION_OPENED, by=SERVER)
        await auditor.finish(0.05)
    log.here.set()
    async with auditing(tmp_path, log) as (_, _):
        await until(lambda: "worker.stopped" in [one["action"] for one in log.records], "its end")
    ended = [one["action"] for one in log.records].index("worker.stopped") + 1
    check_chain(log.records[:ended])
    assert log.records[ended - 2]["details"]["actions"] == {"connection.opened": 1}


@pytest.mark.gen_test
async def test_while_a_full_spool_empties_it_says_so_and_takes_nothing_new_yet(
    tmp_path: Path, logs: LogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.expect("audit_records_dropped")
    async with auditing(tmp_path, spool_bytes=4096) as (auditor, log):
        log.here.clear()
        publish = log.publish
        turn = asyncio.Semaphore(0)

        async def one_at_a_time(*args: Any, **kwargs: Any) -> Published:
            await turn.acquire()
            return await publish(*args, **kwargs)

        monkeypatch.setattr(log, "publish", one_at_a_time)
        log.here.set()
        while auditor.problem() is None:
            auditor.record(Action.CONNECTION_OPENED, by=SERVER)
            await until(lambda: auditor._backpressure.queue_bytes == 0, "a batch of its own")
        assert auditor.problem() == "the audit spool is full, and MongoDB does not take records"
        turn.release()
        held = auditor._spool.pending
        await until(lambda: auditor._spool.pending < held, "one batch is delivered")
        assert auditor.problem() == "the audit spool is full; what is in it is being delivered"
        with pytest.raises(AuditFullError):
            auditor.ensure(Action.LOCK_ACQUIRED)
        auditor.record(Action.CONNECTION_CLOSED, by=SERVER)
        for _ in range(20):
            turn.release()
        await until(lambda: auditor.problem() is None, "half of it is free")
        await asyncio.wait_for(auditor.flush(), 10)
        assert log.records[-1]["details"]["actions"] == {"connection.closed": 1}


ACTS = (Action.CONNECTION_OPENED, Action.LOCK_ACQUIRED, Action.MONGODB_LOST, Action.LIMIT_HIT)
RECORDS = 4
"""At each step: so a few of them fill the spool."""


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.one_of(st.sampled_from(ACTS), st.booleans(), st.none()), max_size=80))
def test_every_act_is_recorded_or_counted_whatever_comes_and_goes(
    logs: LogRecorder, steps: list[Action | bool | None]
) -> None:
    """An action is done; a bool lets MongoDB come or go; None lets time go by."""
    logs.expect("audit_records_dropped")

    async def play(directory: Path) -> None:
        done: Counter[str] = Counter()
        async with auditing(directory, spool_bytes=4096) as (auditor, log):
            auditor._spool_thread.stop_batching()
            for step in steps:
                if isinstance(step, Action):
                    for _ in range(RECORDS):
                        auditor.record(step, by=SERVER)
                    done[step] += RECORDS
                elif step is None:
                    await asyncio.sleep(0.002)
                elif step:
                    log.here.set()
                else:
                    log.here.clear()
            log.here.set()
            await until(lambda: auditor.problem() is None, "there is room")
            await asyncio.wait_for(auditor.flush(), 10)
            check_chain(log.records)
            told: Counter[str] = Counter()
            for record in log.records:
                if record["action"] == "audit.dropped":
                    told.update(record["details"]["actions"])
                else:
                    told[record["action"]] += 1
            assert told == done

    with TemporaryDirectory() as directory:
        asyncio.run(play(Path(directory)))


@pytest.mark.gen_test
async def test_memory_is_bounded_where_neither_disk_nor_database_take_anything(
    tmp_path: Path, logs: LogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.expect("audit_spool_not_written", "audit_records_dropped")
    monkeypatch.setattr(audit, "QUEUE_BYTES", 20_000)
    async with auditing(tmp_path) as (auditor, log):
        log.here.clear()
        _break_disk(auditor, monkeypatch)
        for _ in range(500):
            auditor.record(Action.CONNECTION_OPENED, by=SERVER)
            auditor.record(Action.LOCK_ACQUIRED, by=SERVER)
        await until(lambda: auditor._delivery.spool_problem is not None, "the state")
        assert auditor._backpressure.queue_bytes < 3 * 20_000
        assert auditor.problem() == "the audit spool can't be written (No space left on device)"
        monkeypatch.undo()
        log.here.set()
        await asyncio.wait_for(auditor.flush(), 10)
        check_chain(log.records)


@pytest.mark.gen_test
async def test_with_a_broken_disk_records_go_straight_into_the_database(
    tmp_path: Path, logs: LogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.expect("audit_spool_not_written")
    async with auditing(tmp_path) as (auditor, log):
        _break_disk(auditor, monkeypatch)
        for _ in range(10):
            auditor.record(Action.CONNECTION_OPENED, by=SERVER)
        await asyncio.wait_for(auditor.flush(), 10)
        assert len(log.records) == 10
        assert auditor.problem() is None
        monkeypatch.undo()
        auditor.record(Action.CONNECTION_OPENED, by=SERVER)
        await asyncio.wait_for(auditor.flush(), 10)
        check_chain(log.records)


def _break_disk(auditor: Auditor, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", no_space)


@pytest.mark.gen_test
async def test_details_are_bounded_and_hold_no_token(tmp_path: Path) -> None:
    async with auditing(tmp_path) as (auditor, log):
        token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"
        auditor.record(Action.API_CALLED, by=SERVER, target=f"x?token={token}", path=f"/x/{token}")
        auditor.record(Action.API_CALLED, by=SERVER, path=["x" * 900] * 100)
        await asyncio.wait_for(auditor.flush(), 10)
        assert token not in json.dumps(log.records)
        assert "c2lnbmF0dXJl" not in json.dumps(log.records)
        assert log.records[1]["details"] == {"truncated": True}


@pytest.mark.parametrize("action", list(Action))
def test_every_action_is_in_the_catalogue_with_an_example(action: Action) -> None:
    entry = CATALOGUE[action]
    assert entry.meaning.endswith(".")
    known = {"actor", "outcome", "project_id", "target", "connection_id", "ip", "details"}
    assert set(entry.example) <= known
    assert set(entry.example.get("details", {})) <= set(entry.details)
    assert Outcome(entry.example.get("outcome", "allowed"))


@pytest.mark.parametrize("group", ["lock", "validation", "iteration", "connection"])
def test_what_must_not_go_unrecorded_is_marked(group: str) -> None:
    must = {action.value for action in Action if CATALOGUE[action].must}
    assert {"lock.acquired", "lock.released", "proposal.status_changed"} <= must
    assert {"validation.started", "iteration.started", "run.cancelled"} <= must
    assert {"connection.disconnected", "connection.listed", "audit.watched", "audit.read"} <= must
    assert any(action.startswith(group) for action in must)
