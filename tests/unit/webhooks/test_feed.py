"""`rtserver.webhooks.feed`, with a clock that the test sets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from rtserver.model.audience import only_users
from rtserver.model.positions import Position
from rtserver.webhooks.feed import EndpointGoneError, Feed
from rtserver.webhooks.ports import Answer
from rtserver.webhooks.schedule import FeedState
from tests.support.fakes import MemoryLog, draft
from tests.support.recorder import LogRecorder
from tests.support.waiting import until
from tests.unit.webhooks.fakes import ENDPOINT, REFUSED, Told


class Case:
    """A feed of one project, and what becomes of it."""

    def __init__(self, *, seq: int | None = 0) -> None:
        self.log = MemoryLog()
        self.told = Told()
        self.notes: list[FeedState] = []
        self.endpoint = ENDPOINT
        self.state = None if seq is None else FeedState(Position(self.log.epoch, seq))

    def feed(self) -> Feed:
        """Made from what was kept last."""

        async def note(_project_id: str, state: FeedState) -> None:
            self.notes.append(state)
            self.state = state

        return Feed(
            self.endpoint,
            "p1",
            self.told.parts(self.log),
            self.state,
            turns=asyncio.Semaphore(1),
            note=note,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Feed]:
        feed = self.feed()
        task = asyncio.ensure_future(feed.run())
        try:
            yield feed
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def reaches(self, seq: int) -> None:
        await until(lambda: self.state is not None and self.state.position.seq == seq, f"{seq}")

    def types(self) -> list[str]:
        return [json.loads(body)["type"] for body in self.told.bodies]


@pytest.mark.gen_test
async def test_what_is_wanted_is_told_in_order_and_the_rest_passed() -> None:
    case = Case()
    case.endpoint = replace(ENDPOINT, types=frozenset({"a.*"}))
    hidden = replace(draft(type_="a.hidden"), audience=only_users(frozenset({"ada"})))
    case.log.append("p1", draft(type_="a.one"), draft(type_="b.one"), hidden)
    async with case.running() as feed:
        await case.reaches(3)
        case.log.append("p1", draft(type_="a.two"), draft(type_="b.two"))
        feed.wake()
        await case.reaches(5)
    assert case.types() == ["a.one", "a.two"]


@pytest.mark.gen_test
async def test_an_endpoint_that_is_new_is_told_what_comes_next() -> None:
    case = Case(seq=None)
    case.log.append("p1", draft(type_="a.before"))
    async with case.running() as feed:
        await case.reaches(1)
        case.log.append("p1", draft(type_="a.after"))
        feed.wake()
        await case.reaches(2)
    assert case.types() == ["a.after"]


@pytest.mark.gen_test
async def test_one_that_fails_holds_up_the_next_and_is_the_same_each_time(
    logs: LogRecorder,
) -> None:
    logs.expect("webhook_not_accepted")
    case = Case()
    case.log.append("p1", draft(type_="a.one"), draft(type_="a.two"))
    case.told.answers = [REFUSED, Answer(None, "no connection")]
    async with case.running() as feed:
        case.told.on_attempt = feed.nudge
        await case.reaches(2)
    assert case.types() == ["a.one", "a.one", "a.one", "a.two"]
    assert len(set(case.told.ids)) == 2
    assert [state.failures for state in case.notes][:3] == [1, 2, 0]


@pytest.mark.gen_test
async def test_its_turn_outlives_the_worker(logs: LogRecorder) -> None:
    logs.expect("webhook_not_accepted")
    case = Case()
    case.log.append("p1", draft())
    case.told.answers = [REFUSED]
    async with case.running():
        await until(lambda: bool(case.notes), "the failure to be kept")
    async with case.running() as feed:
        await until(lambda: feed.waiting == 1, "it to look at the log")
        await asyncio.sleep(0)
        assert len(case.told.ids) == 1
        case.told.now_s = 1000.0
        feed.nudge()
        await case.reaches(1)
    assert case.told.ids[0] == case.told.ids[1]


@pytest.mark.gen_test
async def test_what_is_too_old_is_given_up_by_one_attempt_for_all(logs: LogRecorder) -> None:
    logs.expect("webhook_not_accepted", "webhook_dead_letters")
    case = Case()
    old = [replace(draft(type_=f"a.n{n}"), ts="1970-01-01T00:00:00Z") for n in range(3)]
    case.log.append("p1", *old)
    case.state = FeedState(Position(case.log.epoch, 0), failures=3, failing_since_s=0.0)
    case.told.now_s, case.told.answers = 150.0, [REFUSED]
    async with case.running():
        await case.reaches(3)
        await until(lambda: bool(case.told.records), "the record")
    assert len(case.told.ids) == 1
    assert [letter.project_id for letter in case.told.letters] == ["p1"] * 3
    assert case.told.records == [("dead_lettered", "ci", "p1", 3, "status 503")]


@pytest.mark.gen_test
@pytest.mark.parametrize("lost", [False, True])
async def test_a_gap_is_told_before_what_comes_after_it(lost: bool, logs: LogRecorder) -> None:
    logs.expect("webhook_gap")
    case = Case()
    case.log.append("p1", draft(type_="a.one"))
    case.log.append("p1", draft(type_="a.two"))
    case.log.overwrite("p1", 1)
    if lost:
        case.state = FeedState(Position("other", 7))
    async with case.running():
        await case.reaches(2)
    assert case.types() == ["webhook.gap", "a.two"]
    reason = "log_lost" if lost else "overwritten"
    after = "other-7" if lost else f"{case.log.epoch}-0"
    assert case.told.records == [("gap", "ci", "p1", after, f"{case.log.epoch}-1", reason)]


@pytest.mark.gen_test
async def test_an_endpoint_that_is_gone_ends_it() -> None:
    case = Case()
    case.log.append("p1", draft())
    case.told.answers = [Answer(410, "status 410")]
    with pytest.raises(EndpointGoneError):
        await case.feed().run()
    assert case.notes == []
