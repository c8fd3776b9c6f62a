"""Turnstile: lets one at a time begin, so that many who come at once hold up nobody else."""

import asyncio
from collections import deque


class TooManyWaitingError(Exception):
    """So many wait under this key already that one more need not."""


class Turnstile:
    """Lets one pass in several turns of the event loop, and those of several keys by turns.

    All that is ready is done in one turn of the loop. Twenty requests that came at once would keep
    everything else waiting until the last of them is answered; here it waits for one. And what one
    that was let in comes to, such as its end and the next of the same client, is spread over the
    turns up to the next: a command needs some turns too, and should meet one of them, not one in
    each. A turn in which nothing is done takes some microseconds.
    """

    __slots__ = ("_every", "_is_free", "_keys", "_max_waiting", "_turns_left", "_waiting")

    def __init__(self, max_waiting: int, every: int) -> None:
        """Make it.

        Args:
            max_waiting: so many may wait under one key.
            every: one passes in so many turns of the loop.
        """
        self._max_waiting = max_waiting
        self._every = every
        self._turns_left = 0
        self._is_free = True
        self._keys: deque[str] = deque()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def pass_by(self, key: str) -> None:
        """Wait for one's turn.

        Raises:
            TooManyWaitingError: too many of this key do.
        """
        loop = asyncio.get_running_loop()
        if self._is_free:
            self._is_free = False
            self._turns_left = self._every
            loop.call_soon(self._turn)
            return
        queue = self._waiting.get(key)
        if queue is None:
            queue = self._waiting[key] = deque()
            self._keys.append(key)
        if len(queue) >= self._max_waiting:
            raise TooManyWaitingError
        turn: asyncio.Future[None] = loop.create_future()
        queue.append(turn)
        await turn

    def _turn(self) -> None:
        self._turns_left -= 1
        if self._turns_left > 0:
            asyncio.get_running_loop().call_soon(self._turn)
            return
        while self._keys:
            key = self._keys.popleft()
            queue = self._waiting[key]
            turn = queue.popleft()
            if queue:
                self._keys.append(key)
            else:
                del self._waiting[key]
            if not turn.done():  # it may have been cancelled
                turn.set_result(None)
                self._turns_left = self._every
                asyncio.get_running_loop().call_soon(self._turn)
                return
        self._is_free = True
