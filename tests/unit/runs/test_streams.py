"""The readers of a worker: whom an event wakes."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from rtserver.delivery.dispatcher import Dispatcher
from rtserver.delivery.feed import Feed
from rtserver.delivery.log_pages import LogPages
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventType
from rtserver.model.identity import Identity
from rtserver.model.run import RunKind
from rtserver.runs.model import Run
from rtserver.runs.run_log import run_event
from rtserver.runs.service import RunService
from rtserver.runs.streams import RunStreams
from tests.support.fakes import MemoryLog
from tests.support.waiting import until

ADA = Identity("ada", "Ada", frozenset("*"), frozenset(), 2e9)


class _Parts:
    """What streams are made of, less MongoDB: runs by their ids, and one feed."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.feed = Feed("p1", 1 << 20)
        self.held = 0
        self.failure: Exception | None = None
        self.streams = RunStreams(
            cast("RunService", self),
            self.log,
            cast("Dispatcher", _Feeds(self)),
            LogPages(self.log, 1 << 20),
        )

    async def get(self, _identity: Identity, run_id: str) -> Run:
        """As `RunService.get`."""
        proposal_id = run_id.partition("-")[0]
        return Run(run_id, RunKind.ITERATION, "p1", proposal_id, "w", "ada", datetime.now(UTC))

    async def say(self, run_id: str, type_: EventType = EventType.TOKEN) -> None:
        """Let a run say something, which the dispatcher brings."""
        pack = self.log.append("p1", run_event(await self.get(ADA, run_id), type_, {"n": 1}))
        events = pack.events()
        self.streams.on_events("p1", events)
        self.feed.recent.extend(events)
        self.feed.seq = pack.last


class _Feeds:
    def __init__(self, parts: _Parts) -> None:
        self._parts = parts

    async def open(self, _project_id: str) -> Feed:
        if self._parts.failure is not None:
            raise self._parts.failure
        self._parts.held += 1
        return self._parts.feed

    def release(self, _feed: Feed) -> None:
        self._parts.held -= 1


@pytest.mark.gen_test
async def test_a_reader_is_woken_by_its_own_run_alone() -> None:
    parts = _Parts()
    reader = await parts.streams.open(ADA, "a-1", waits=True)
    other = await parts.streams.open(ADA, "b-1", waits=True)
    waiting = [asyncio.ensure_future(one.next(one.tail, 60)) for one in (reader, other)]
    await asyncio.sleep(0)
    await parts.say("a-2")
    await parts.say("a-1")
    part = await waiting[0]
    assert [event.seq for event in part.events] == [2]
    assert not waiting[1].done()
    parts.streams.forget("p1")
    parts.streams.end_of_user("eve")
    assert not waiting[1].done()
    parts.streams.end_of_user("ada")
    assert (await waiting[1]).events == []
    for one in (reader, other):
        parts.streams.close(one)
    assert (parts.held, parts.streams.waiting) == (0, 0)


@pytest.mark.gen_test
async def test_what_fails_leaves_nothing_behind() -> None:
    parts = _Parts()
    parts.failure = StoreUnavailableError("away")
    with pytest.raises(StoreUnavailableError):
        await parts.streams.open(ADA, "a-1", waits=True)
    assert (parts.held, parts.streams.waiting) == (0, 0)


@pytest.mark.gen_test
async def test_after_the_stop_nobody_waits() -> None:
    parts = _Parts()
    reader = await parts.streams.open(ADA, "a-1", waits=True)
    asking: Any = asyncio.ensure_future(reader.next(reader.tail, 60))
    parts.streams.stop()
    await until(asking.done, "it has its answer")
    late = await parts.streams.open(ADA, "a-1", waits=True)
    assert late.is_ended
    for one in (reader, late):
        parts.streams.close(one)
