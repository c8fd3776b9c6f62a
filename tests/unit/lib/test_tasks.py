import asyncio

import pytest

from rtserver.lib.tasks import TaskOwner
from tests.support.recorder import LogRecorder


@pytest.mark.gen_test
async def test_a_task_that_fails_is_told_under_its_name(logs: LogRecorder) -> None:
    logs.expect("task_failed")
    tasks = TaskOwner()

    async def fail() -> None:
        raise ValueError("no")

    task = tasks.start(fail(), name="one that fails")
    await asyncio.wait({task})
    assert len(tasks) == 0
    (line,) = logs.lines
    assert (line["event"], line["task"]) == ("task_failed", "one that fails")


@pytest.mark.gen_test
async def test_the_end_of_some_is_waited_for_also_of_those_that_they_start() -> None:
    tasks = TaskOwner()
    ended: list[str] = []

    async def work(name: str, following: str | None = None) -> None:
        await asyncio.sleep(0)
        if following is not None:
            tasks.start(work(following), name="wanted")
        ended.append(name)

    tasks.start(asyncio.Event().wait(), name="another")
    tasks.start(work("first", "second"), name="wanted")
    async with asyncio.timeout(5):
        await tasks.finish("wanted")
    assert ended == ["first", "second"]
    assert len(tasks) == 1
    await tasks.stop()
    assert len(tasks) == 0


@pytest.mark.gen_test
async def test_what_starts_while_all_is_stopped_is_stopped_too() -> None:
    tasks = TaskOwner()

    async def wait_twice() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tasks.start(asyncio.Event().wait(), name="started at the end")

    tasks.start(wait_twice(), name="first")
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await tasks.stop()
    assert len(tasks) == 0


@pytest.mark.gen_test
async def test_one_that_does_not_end_is_named(logs: LogRecorder) -> None:
    logs.expect("tasks_did_not_end")
    tasks = TaskOwner()
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    task = tasks.start(stubborn(), name="stubborn")
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError, match="stubborn"):
        await tasks.stop(timeout_s=0.01)
    release.set()
    await asyncio.wait({task})
