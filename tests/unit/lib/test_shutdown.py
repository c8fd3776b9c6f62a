"""`rtserver.lib.shutdown`."""

import asyncio

import pytest

from rtserver.lib.shutdown import MOMENT_S, Shutdown
from tests.support.recorder import LogRecorder


@pytest.mark.gen_test
async def test_the_newest_step_is_taken_first_and_each_once() -> None:
    taken: list[str] = []
    shutdown = Shutdown(grace_s=1)

    async def waits() -> None:
        await asyncio.sleep(0)
        taken.append("first pushed")

    shutdown.push("one", waits)
    shutdown.push("two", lambda: taken.append("last pushed"))
    await shutdown.run()
    await shutdown.run()
    assert taken == ["last pushed", "first pushed"]


@pytest.mark.gen_test
async def test_steps_share_the_grace_period_and_each_has_a_moment(logs: LogRecorder) -> None:
    loop = asyncio.get_running_loop()
    told: list[float] = []
    shutdown = Shutdown(grace_s=0.2)

    async def hangs() -> None:
        told.append(shutdown.left_s())
        await asyncio.Event().wait()

    async def is_quick() -> None:
        told.append(shutdown.left_s())

    shutdown.push("quick", is_quick)
    shutdown.push("slow", hangs)
    began_s = loop.time()
    await shutdown.run()
    assert told == [pytest.approx(MOMENT_S, abs=0.1), MOMENT_S]
    assert [line["step"] for line in logs.lines if line["event"] == "shutdown_step_cut_off"] == [
        "slow"
    ]
    assert loop.time() - began_s >= MOMENT_S


@pytest.mark.gen_test
async def test_a_step_may_have_more_than_a_moment() -> None:
    ended = False
    shutdown = Shutdown(grace_s=0)

    async def takes_long() -> None:
        nonlocal ended
        await asyncio.sleep(3 * MOMENT_S)
        ended = True

    shutdown.push("long", takes_long, least_s=30)
    await shutdown.run()
    assert ended


@pytest.mark.gen_test
async def test_its_own_cancellation_is_no_failure_of_a_step(logs: LogRecorder) -> None:
    waiting = asyncio.Event()
    shutdown = Shutdown(grace_s=30)

    async def hangs() -> None:
        waiting.set()
        await asyncio.Event().wait()

    shutdown.push("slow", hangs)
    running = asyncio.create_task(shutdown.run())
    await waiting.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert logs.lines == []


@pytest.mark.gen_test
async def test_tasks_of_a_part_are_cancelled_as_one_step() -> None:
    shutdown = Shutdown(grace_s=1)
    tasks = shutdown.tasks("part")
    one = tasks.start(asyncio.Event().wait(), name="one")
    await shutdown.run()
    assert one.cancelled()
