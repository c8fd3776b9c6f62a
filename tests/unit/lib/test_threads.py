import asyncio
import subprocess
import sys
import threading
import time

import pytest

from rtserver.lib.threads import finish_in_thread, see_through
from tests.support.processes import ROOT


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


SCRIPT = """
import asyncio, time
from rtserver.lib.threads import exit_at_latest, finish_in_thread

async def main():
    {work}
    await asyncio.sleep(0.1)
    exit_at_latest({latest_s}, 7)

asyncio.run(main())
"""
HANGS = "asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)"
SEEN_THROUGH = (
    "task = asyncio.create_task(finish_in_thread(lambda: time.sleep(60), on_cancel=lambda: None))"
)


@pytest.mark.parametrize("work", [HANGS, SEEN_THROUGH])
def test_a_process_ends_whatever_a_thread_does(work: str) -> None:
    begun_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(work=work, latest_s=0.3)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert "exit_forced" in done.stdout + done.stderr
    assert time.monotonic() - begun_s < 40


def test_one_that_ends_by_itself_is_not_held_up() -> None:
    script = SCRIPT.format(work="await finish_in_thread(int, on_cancel=int)", latest_s=60)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=50, check=False)
    assert done.returncode == 0
