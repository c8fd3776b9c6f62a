"""Turns: of all workers one at a time does what only one should."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from rtserver.model.errors import StoreUnavailableError

RENEW_S = 2.0
RELEASE_S = 2.0

_log = structlog.get_logger()


class Turns(Protocol):
    """Whose turn it is to do what only one should. Time is the store's own.

    All raise StoreUnavailableError where MongoDB does not answer.
    """

    async def claim(self, name: str, holder: str) -> object | None:
        """Take a turn that nobody has; None where another has it."""

    async def renew(self, name: str, holder: str) -> bool:
        """Go on; False where another has it now."""

    async def release(self, name: str, holder: str) -> None:
        """Let another have it."""


class Turn:
    """One worker's part in the turns of one name."""

    def __init__(self, turns: Turns, name: str, *, holder: str, lease_s: float) -> None:
        """Make it.

        Args:
            turns: whose turn it is.
            name: of what only one should do.
            holder: names this process.
            lease_s: how long others wait for a sign of life before one of them takes over.
        """
        self._turns = turns
        self._name = name
        self._holder = holder
        self.renew_s = min(lease_s / 3, RENEW_S)

    async def take(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do something for as long as it is this worker's turn; False where it is another's.

        Raises:
            ExceptionGroup: what the work raised, or StoreUnavailableError.
            StoreUnavailableError: MongoDB does not answer.
        """
        if await self._turns.claim(self._name, self._holder) is None:
            return False
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew())
                working = group.create_task(_as_coroutine(work))
                await asyncio.wait({renewing, working}, return_when=asyncio.FIRST_COMPLETED)
                for task in (renewing, working):
                    task.cancel()
        finally:
            await self._release()
        return True

    async def _renew(self) -> None:
        """Keep the turn; returns where another has it."""
        # The store tells nobody when a turn is over.
        while await self._turns.renew(self._name, self._holder):  # noqa: ASYNC110
            await asyncio.sleep(self.renew_s)

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(RELEASE_S):
                await self._turns.release(self._name, self._holder)
        except (StoreUnavailableError, TimeoutError) as error:
            _log.debug("turn_not_released", turn=self._name, error=str(error))  # it lapses


async def _as_coroutine(work: Callable[[], Awaitable[None]]) -> None:
    await work()
