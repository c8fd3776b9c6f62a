import asyncio
import threading

import pytest

from rtserver.lib.threads import finish_in_thread, see_through


@pytest.mark.gen_test
async def test_work_that_nobody_cancels_is_done_or_fails() -> None:
    done = threading.Event()
    assert await finish_in_thread(done.set, on_cancel=lambda: None) is False
    assert done.is_set()

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await finish_in_thread(fail, on_cancel=lambda: None)


@pytest.mark.parametrize("succeeds", [True, False])
@pytest.mark.gen_test
async def test_a_thread_is_waited_for_though_its_task_is_cancelled(succeeds: bool) -> None:
    begun, told, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert told.wait(10)
        ended.set()
        if not succeeds:
            raise ValueError("no")

    task = asyncio.ensure_future(finish_in_thread(work, on_cancel=told.set))
    async with asyncio.timeout(10):
        await asyncio.to_thread(begun.wait)
        task.cancel()
        if succeeds:
            assert await task is True, "it was cancelled, and what was to be done is done"
        else:
            with pytest.raises(asyncio.CancelledError):
                await task
    assert ended.is_set()


@pytest.mark.gen_test
async def test_no_number_of_cancellations_leaves_work_alone() -> None:
    release = asyncio.Event()
    cancelled = 0

    def count() -> None:
        nonlocal cancelled
        cancelled += 1

    async def work() -> None:
        await release.wait()

    task = asyncio.ensure_future(see_through(work(), on_cancel=count))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    release.set()
    assert await task is True
    assert cancelled == 3
