"""The runs that welcomes list: read once, and anew after each event that changes them."""

import asyncio

import pytest

from rtserver.model.audience import WHOLE_PROJECT
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventType, StoredEvent
from rtserver.model.run import RunJson, RunKind, RunState
from rtserver.runs.active_list import RUN_EVENTS, ActiveRuns
from tests.support.waiting import until


def _event(type_: str) -> StoredEvent:
    return StoredEvent("p1", "e0", 1, type_, None, WHOLE_PROJECT, '{"type":"x"}')


def _run(project_id: str, run_id: str) -> RunJson:
    return {
        "run_id": run_id,
        "kind": RunKind.VALIDATION,
        "project_id": project_id,
        "proposal_id": "a",
        "state": RunState.RUNNING,
        "started_by": "anna",
        "started_at": "2026-01-01T10:00:00.000Z",
    }


class Source:
    """Where runs are.

    Attributes:
        queries: how often it was asked.
        hold: where set, what a query waits for before it answers.
        failure: what it raises instead of an answer.
    """

    def __init__(self) -> None:
        self.queries = 0
        self.hold: asyncio.Event | None = None
        self.failure: Exception | None = None

    async def __call__(self, project_id: str) -> list[RunJson]:
        self.queries += 1
        found = [_run(project_id, f"r{self.queries}")]
        if self.hold is not None:
            await self.hold.wait()
        if self.failure is not None:
            raise self.failure
        return found


def test_every_event_of_a_run_but_its_output_changes_what_is_under_way() -> None:
    about_runs = ("validation_", "iteration_", "run_")
    assert {type_ for type_ in EventType if type_.startswith(about_runs)} == RUN_EVENTS


@pytest.mark.gen_test
async def test_they_are_read_once_until_an_event_changes_them() -> None:
    source = Source()
    runs = ActiveRuns(source)
    assert await runs.of("p1") == [_run("p1", "r1")]
    runs.on_events("p1", [_event("output"), _event("token"), _event("build.finished")])
    assert (await runs.of("p1"))[0]["run_id"] == "r1"
    for number, type_ in enumerate(sorted(RUN_EVENTS), start=2):
        runs.on_events("p1", [_event("output"), _event(type_)])
        assert (await runs.of("p1"))[0]["run_id"] == f"r{number}"
        assert source.queries == number


@pytest.mark.gen_test
async def test_those_who_ask_at_once_share_an_answer_that_no_event_made_old() -> None:
    source = Source()
    source.hold = asyncio.Event()
    runs = ActiveRuns(source)
    first, second = (asyncio.ensure_future(runs.of("p1")) for _ in range(2))
    await until(lambda: source.queries == 1, "the first asks")
    await asyncio.sleep(0)
    runs.on_events("p1", [_event("validation_start")])
    third = asyncio.ensure_future(runs.of("p1"))
    await until(lambda: source.queries == 2, "the third does not take what may be older")
    source.hold.set()
    answers = [(await asked)[0]["run_id"] for asked in (first, second, third)]
    assert answers == ["r1", "r1", "r2"]
    # What was read before the event is not kept.
    assert (await runs.of("p1"))[0]["run_id"] == "r2"
    assert source.queries == 2


@pytest.mark.gen_test
async def test_a_failure_is_for_those_who_wait_and_is_not_kept() -> None:
    source = Source()
    source.failure = StoreUnavailableError("away")
    runs = ActiveRuns(source)
    answers = await asyncio.gather(runs.of("p1"), runs.of("p1"), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["away", "away"]
    source.failure = None
    assert await runs.of("p1")


@pytest.mark.gen_test
async def test_one_who_leaves_takes_the_answer_from_nobody_for_long() -> None:
    source = Source()
    source.hold = asyncio.Event()
    runs = ActiveRuns(source)
    first, second = (asyncio.ensure_future(runs.of("p1")) for _ in range(2))
    await until(lambda: source.queries == 1, "the first asks")
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(StoreUnavailableError):
        await second
    source.hold.set()
    assert await runs.of("p1")


@pytest.mark.gen_test
async def test_a_project_that_is_forgotten_is_read_anew_and_others_are_not() -> None:
    source = Source()
    runs = ActiveRuns(source)
    await runs.of("p1")
    await runs.of("p2")
    runs.on_events("p2", [_event("output")])
    runs.forget("p1")
    assert (await runs.of("p1"))[0]["run_id"] == "r3"
    assert (await runs.of("p2"))[0]["run_id"] == "r2"
