"""One at a time within this process, whatever another one does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class LocalTurns:
    """Who waits for a file lock waits in a thread, and of these there are few.

    So of those in one process that want the same lock only one goes for it.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, name: str, timeout_s: float) -> AsyncIterator[None]:
        """Have a turn, in the order in which it was asked for.

        Raises:
            TimeoutError: others have it for so long.
        """
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with asyncio.timeout(timeout_s):
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()
