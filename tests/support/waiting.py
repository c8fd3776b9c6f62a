"""Waiting for the thing itself, with a time-out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

WAIT_S = 30.0
STEP_S = 1.0
"""As much as one step of waiting counts at most."""


@contextlib.asynccontextmanager
async def running(*loops: Awaitable[None]) -> AsyncIterator[None]:
    """Let endless coroutines run meanwhile; what one of them raises is raised here."""
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def until(
    condition: Callable[[], bool | Awaitable[bool]], what: str, timeout_s: float = WAIT_S
) -> None:
    """Wait until something is so; asking may take an await.

    What counts is time in which this process ran: a machine that stands still for half a minute,
    as virtual ones do, takes from what is waited for just as much as from who waits.
    """
    loop = asyncio.get_running_loop()
    left_s = timeout_s
    while left_s > 0:
        began_s = loop.time()
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return
        await asyncio.sleep(0.005)
        left_s -= min(loop.time() - began_s, STEP_S)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")
