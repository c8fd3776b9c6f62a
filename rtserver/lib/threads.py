"""Blocking work in a thread that is not left alone when the task that waits for it is cancelled."""

import asyncio
from collections.abc import Callable


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
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled = False
    while not thread.done():
        try:
            await asyncio.wait([thread])
        except asyncio.CancelledError:
            cancelled = True
            on_cancel()
    error = thread.exception()
    if error is None:
        return cancelled
    if cancelled:
        raise asyncio.CancelledError from error
    raise error
