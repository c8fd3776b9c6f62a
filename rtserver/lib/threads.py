"""Threads and the event loop: each waits for the other to see its work through."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


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


def loop_does(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
    """Have the event loop do something, and wait for it in this thread.

    There are few threads, and all of them may wait like this: so the work must need no other one.

    Raises:
        TimeoutError: it was not done in time, and is cancelled.
        Exception: whatever the work raised.
    """
    waited = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return waited.result(timeout_s)
    except TimeoutError:
        waited.cancel()
        raise
