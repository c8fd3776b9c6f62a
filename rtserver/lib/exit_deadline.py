"""Exit deadline: ends the process at a given time, whatever its threads do.

A process that is told to end can wait for ever for a thread that does not: `asyncio.run` waits for
the threads of its executor, and the interpreter for every thread that is no daemon. Nothing can end
a thread from outside, so at the deadline the process ends without it.
"""

import asyncio
import faulthandler
import os
import queue
import sys
import threading
import time
from types import FrameType

import structlog

EXIT_STATUS = 1
LAST_S = 3.0
"""After the deadline, for a process in which not even the thread that watches it gets to run."""

_log = structlog.get_logger()


class ExitDeadline:
    """Ends this process unless it has ended by itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make it, without a deadline.

        Args:
            loop: whose tasks are named where the process has to be ended.
        """
        self._loop = loop
        # Its `put` may be called by a signal handler, whatever that interrupted.
        self._deadlines: queue.SimpleQueue[float] = queue.SimpleQueue()
        threading.Thread(target=self._watch, name="exit-deadline", daemon=True).start()

    def set(self, in_s: float) -> None:
        """End the process so many seconds from now; the last call counts."""
        self._deadlines.put(time.monotonic() + in_s)
        # Written in C, and needs no lock of the interpreter.
        faulthandler.dump_traceback_later(in_s + LAST_S, exit=True)

    def _watch(self) -> None:
        deadline_s = self._deadlines.get()
        while True:
            try:
                left_s = max(0.0, deadline_s - time.monotonic())
                deadline_s = self._deadlines.get(timeout=left_s)
            except queue.Empty:
                break
        self._end()

    def _end(self) -> None:
        try:
            _log.error(
                "process_did_not_end",
                threads=self._threads(),
                tasks=self._tasks(),
                exit_status=EXIT_STATUS,
            )
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(EXIT_STATUS)

    def _threads(self) -> list[str]:
        """Which threads are still there, and what each is doing."""
        frames = sys._current_frames()  # noqa: SLF001 - the documented way to see other threads
        return [
            f"{thread.name}: {_place(frames.get(thread.ident or 0))}"
            for thread in threading.enumerate()
            if not thread.daemon
        ]

    def _tasks(self) -> list[str]:
        try:
            return [task.get_name() for task in asyncio.all_tasks(self._loop)]
        except RuntimeError:  # they change faster than another thread can look at them
            return []


def _place(frame: FrameType | None) -> str:
    if frame is None:
        return "ended"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}"
