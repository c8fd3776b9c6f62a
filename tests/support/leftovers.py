"""Tasks that a test leaves behind on its event loop."""

import asyncio

GRACE_S = 1.0
CANCEL_S = 5.0


async def end_leftovers() -> list[str]:
    """Names of the tasks that go on after a moment of grace; they are cancelled."""
    current = asyncio.current_task()
    left = {task for task in asyncio.all_tasks() if task is not current}
    if not left:
        return []
    _, left = await asyncio.wait(left, timeout=GRACE_S)
    names = [f"{task.get_name()}: {task.get_coro()}" for task in left]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=CANCEL_S)
    return names
