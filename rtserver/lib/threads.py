"""`to_thread` that waits for the thread even when its task is cancelled."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


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
