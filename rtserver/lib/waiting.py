"""Waiting for an event for a bounded time."""

import asyncio


async def is_set_within(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait until an event is set, but no longer than that.

    Args:
        event: what is waited for; stays as it is.
        timeout_s: at most so long.

    Returns:
        Whether it is set.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
