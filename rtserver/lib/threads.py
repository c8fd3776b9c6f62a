"""Work in threads: seen through by the task that waits for it, and left behind by the process."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

_log = structlog.get_logger()


async def finish_in_thread(work: Callable[[], None], *, on_cancel: Callable[[], None]) -> bool:
    """Do something in a thread and see it through.

    A thread can't be cancelled. So when the task is, the work is told, and waited for all the same.

    Args:
        work: what to do. It should end soon after `on_cancel` was called.
        on_cancel: called when the task is cancelled; tells the work to come to an end.

    Returns:
        Whether the task was cancelled and the work succeeded nevertheless.

    Raises:
        CancelledError: the task was cancelled, and the work did not succeed.
        Exception: whatever the work raised.
    """
    return await see_through(asyncio.to_thread(work), on_cancel=on_cancel)


async def see_through(
    work: Coroutine[Any, Any, None], *, on_cancel: Callable[[], None] = lambda: None
) -> bool:
    """Do something to its end, also where the task that waits for it is cancelled.

    Args:
        work: what to do.
        on_cancel: called when the task is cancelled.

    Returns:
        Whether the task was cancelled and the work succeeded nevertheless.

    Raises:
        CancelledError: the task was cancelled, and the work did not succeed.
        Exception: whatever the work raised.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
            on_cancel()
    error = task.exception()
    if error is None:
        return cancelled
    if cancelled:
        raise asyncio.CancelledError from error
    raise error


def exit_at_latest(seconds: float, status: int) -> None:
    """End this process after so long, unless it has ended before.

    An event loop that is closed waits for its threads, and for tasks that see a thread through;
    and nobody can end a thread, which may be waiting for a disk that does not answer.

    Args:
        seconds: how long.
        status: the exit status where it comes to that.
    """

    def leave() -> None:
        names = sorted(thread.name for thread in threading.enumerate() if not thread.daemon)
        _log.error("exit_forced", waited_s=seconds, threads=names)
        os._exit(status)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()
