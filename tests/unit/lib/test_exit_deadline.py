"""`rtserver.lib.exit_deadline`, in processes that it ends."""

import subprocess
import sys
from textwrap import dedent, indent

from tests.support.processes import ROOT

SCRIPT = """
import asyncio, threading, time
from rtserver.lib.exit_deadline import EXIT_STATUS, ExitDeadline

async def main():
    deadline = ExitDeadline(asyncio.get_running_loop())
{body}

asyncio.run(main())
"""


def ended(body: str) -> "subprocess.CompletedProcess[str]":
    """A process that did this in its event loop, and has ended."""
    script = SCRIPT.format(body=indent(dedent(body), "    "))
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_process_that_ends_in_time_is_left_alone() -> None:
    done = ended("deadline.set(30)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_deadline_holds_no_process() -> None:
    assert ended("pass").returncode == 0


def test_at_the_deadline_it_ends_and_says_what_did_not() -> None:
    done = ended(
        """
        threading.Thread(target=time.sleep, args=(10**6,), name="sleeper").start()
        asyncio.create_task(asyncio.sleep(10**6), name="waiter")
        deadline.set(0.1)
        await asyncio.sleep(10**6)
        """
    )
    assert done.returncode == 1
    for word in ("process_did_not_end", "sleeper", "waiter"):
        assert word in done.stdout + done.stderr


def test_a_task_that_sees_a_thread_through_does_not_hold_it() -> None:
    done = ended(
        """
        from rtserver.lib.threads import finish_in_thread
        work = finish_in_thread(lambda: time.sleep(10**6), on_cancel=lambda: None)
        task = asyncio.create_task(work)
        await asyncio.sleep(0.1)
        deadline.set(0.1)
        """
    )
    assert done.returncode == 1
    assert "asyncio_0" in done.stdout + done.stderr


def test_the_last_deadline_counts() -> None:
    done = ended(
        """
        deadline.set(0.2)
        deadline.set(30)
        await asyncio.sleep(0.4)
        """
    )
    assert done.returncode == 0


def test_a_process_that_lets_no_other_thread_run_ends_too() -> None:
    done = ended(
        """
        import ctypes
        deadline.set(0.1)
        ctypes.PyDLL(None).sleep(60)  # as a C function that never gives the interpreter back
        """
    )
    assert done.returncode == 1
