"""A run on its worker: whatever interrupts it, it is known how it ended."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from rtserver.lib.tasks import TaskOwner
from rtserver.model.events import EventType
from rtserver.model.run import RunKind, RunState
from rtserver.runs.active_run import ActiveRun
from rtserver.runs.model import Run
from rtserver.runs.work import Emit, Ending
from tests.support.recorder import LogRecorder

DONE = Ending(RunState.PASSED, EventType.VALIDATION_COMPLETE, {"status": "passed"})


class ScriptedWork:
    """Work that does what a test says."""

    started = EventType.VALIDATION_START
    cancelled = EventType.VALIDATION_CANCELLED
    failed = EventType.VALIDATION_ERROR

    def __init__(self, script: Callable[[], Awaitable[Ending]]) -> None:
        self._script = script
        self.begun = asyncio.Event()

    def start_fields(self) -> dict[str, Any]:
        return {}

    async def carry_out(self, _run: Run, _emit: Emit) -> Ending:
        self.begun.set()
        return await self._script()


async def nobody_listens(_type: EventType, _many: list[dict[str, Any]]) -> None:
    raise AssertionError("nothing is said")


async def at_once() -> Ending:
    return DONE


async def never() -> Ending:
    await asyncio.Event().wait()
    return DONE


async def too_late_to_stop() -> Ending:
    """Work that can't be taken back when it is cancelled."""
    try:
        return await never()
    except asyncio.CancelledError:
        return DONE


async def broken() -> Ending:
    raise ValueError("a defect")


def active(script: Callable[[], Awaitable[Ending]] = never, *, has_place: bool = True) -> ActiveRun:
    run = Run("r1", RunKind.VALIDATION, "p1", "a", "w1", "ada", datetime.now(UTC))
    return ActiveRun(run, ScriptedWork(script), has_place=has_place)


async def ending_of(
    one: ActiveRun, *interrupts: Callable[[], None], before: bool = False
) -> Ending:
    """How it ends when it is interrupted, before its first step or in the middle."""
    tasks = TaskOwner()
    if before:
        for interrupt in interrupts:
            interrupt()
    waiting = asyncio.create_task(one.ending(nobody_listens, tasks))
    if interrupts and not before:
        assert isinstance(one.work, ScriptedWork)
        await asyncio.wait_for(one.work.begun.wait(), 10)
        for interrupt in interrupts:
            interrupt()
    ending = await asyncio.wait_for(waiting, 10)
    assert len(tasks) == 0
    return ending


@pytest.mark.gen_test
async def test_undisturbed() -> None:
    assert await ending_of(active(at_once)) is DONE


@pytest.mark.gen_test
@pytest.mark.parametrize("before", [False, True])
async def test_who_cancelled_first_is_told(before: bool) -> None:
    one = active()
    ending = await ending_of(
        one, lambda: one.cancel("ada"), lambda: one.cancel("bob"), before=before
    )
    assert ending == Ending(RunState.CANCELLED, EventType.VALIDATION_CANCELLED, {"actor": "ada"})


@pytest.mark.gen_test
@pytest.mark.parametrize("before", [False, True])
async def test_a_server_that_stops(before: bool) -> None:
    one = active()
    ending = await ending_of(one, one.stop, before=before)
    assert (ending.state, ending.type) == (RunState.ERROR, EventType.VALIDATION_ERROR)
    assert ending.fields["reason"] == "server_stopping"


@pytest.mark.gen_test
async def test_work_that_can_not_be_taken_back_ends_its_own_way() -> None:
    one = active(too_late_to_stop)
    assert await ending_of(one, lambda: one.cancel("ada")) is DONE


@pytest.mark.gen_test
async def test_a_defect_ends_it_too(logs: LogRecorder) -> None:
    logs.expect("run_failed")
    ending = await ending_of(active(broken))
    assert (ending.state, ending.fields["reason"]) == (RunState.ERROR, "internal")
    assert "defect" not in ending.fields["error"]


@pytest.mark.gen_test
async def test_what_comes_after_its_end_changes_nothing() -> None:
    one = active(at_once)
    await ending_of(one)
    one.finishing = True
    one.cancel("ada")
    one.lose()
    assert (one.cancel_by, one.lost, one.interrupted) == (None, False, False)


@pytest.mark.gen_test
@pytest.mark.parametrize("how", ["cancel", "stop", "lose"])
async def test_one_that_waits_for_its_turn_is_freed(how: str) -> None:
    one = active(has_place=False)
    assert not one.turn.done()
    {"cancel": lambda: one.cancel("ada"), "stop": one.stop, "lose": one.lose}[how]()
    assert await asyncio.wait_for(one.turn, 10) is False
    assert one.interrupted
    expected = RunState.CANCELLED if how == "cancel" else RunState.ERROR
    assert one.cut_short().state is expected


@pytest.mark.gen_test
async def test_it_is_confirmed_by_an_answer_to_a_later_question_only() -> None:
    one = active()
    now_s = asyncio.get_running_loop().time()
    one.confirm(now_s)
    asking = asyncio.create_task(one.confirmed())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not asking.done()
    one.confirm(now_s)  # an answer that was long on its way is no answer
    for _ in range(3):
        await asyncio.sleep(0)
    assert not asking.done()
    one.confirm(now_s + 60)
    await asyncio.wait_for(asking, 10)
