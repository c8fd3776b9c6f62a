"""A run's events, and none after its end. The log is real: the order in it is what counts."""

import asyncio
from typing import Any

import pytest

from rtserver.model.events import EventType
from rtserver.runs.active_run import ActiveRun
from rtserver.runs.run_log import RunLog, run_event
from store.base.client import Database
from store.log.writer import MongoEventLog
from tests.support.fakes import draft
from tests.support.waiting import running, until
from tests.unit.runs.test_active_run import active
from tests.unit.store.parts import make_log


def _active(log: MongoEventLog, seq: int = 0) -> ActiveRun:
    one = active()
    one.run.replay_from = f"{log.epoch}-{seq}"
    return one


async def _types(log: MongoEventLog, project_id: str) -> list[Any]:
    head = await log.head(project_id)
    packs = await log.read(project_id, after=0, upto=head, limit=10_000)
    return [event.type for pack in packs for event in pack.events()]


@pytest.mark.gen_test
async def test_a_worker_that_is_not_told_says_nothing_after_the_end(db: Database) -> None:
    """It waited for MongoDB with its output, and another worker took it for dead."""
    log, other = await make_log(db), await make_log(db)
    one = _active(log)
    async with running(log.run(), other.run()):
        events = RunLog(log, one)
        await events.append(EventType.OUTPUT, [{"line": "1"}])
        ended = run_event(one.run, EventType.VALIDATION_ERROR, {"reason": "worker_lost"})
        await other.publish([ended], key="the end")
        with pytest.raises(asyncio.CancelledError):
            await events.append(EventType.OUTPUT, [{"line": "2"}])
        assert one.lost
        with pytest.raises(asyncio.CancelledError):
            await events.append(EventType.OUTPUT, [{"line": "3"}])
        await events.tell(EventType.RUN_QUEUED, {"place": 1})
    assert await _types(log, one.run.project_id) == ["output", "validation_error"]


@pytest.mark.gen_test
async def test_what_the_log_forgot_is_asked_of_the_run_itself(db: Database) -> None:
    """A model thought for so long that the buffer was overwritten meanwhile."""
    log = await make_log(db, buffer_bytes=1 << 16)
    other = await make_log(db, buffer_bytes=1 << 16)
    one = _active(log)
    project_id = one.run.project_id
    async with running(log.run(), other.run()):
        events = RunLog(log, one)
        await events.append(EventType.TOKEN, [{"content": "1"}])
        for _ in range(30):
            await other.publish([draft(project_id, filling="x" * 8_000)])
        saying = asyncio.ensure_future(events.append(EventType.TOKEN, [{"content": "2"}]))
        one.confirm(asyncio.get_running_loop().time())  # of a question from before
        head = await log.head(project_id)

        async def is_asked() -> bool:
            one.confirm(asyncio.get_running_loop().time())
            return saying.done()

        await until(is_asked, "a later answer, and the token")
        await saying
        assert await log.head(project_id) == head + 1
