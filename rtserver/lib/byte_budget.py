"""A budget of bytes that many share: who finds it spent waits in turn, with a time-out."""

import asyncio
from collections import deque
from typing import Self


class Lease:
    """Bytes of a budget that somebody holds. As a context manager it gives them back."""

    __slots__ = ("_budget", "_size_bytes")

    def __init__(self, budget: "ByteBudget", size_bytes: int) -> None:
        self._budget = budget
        self._size_bytes = size_bytes

    def resize(self, size_bytes: int) -> None:
        """Hold another number of bytes, once it is known what they are. Never waits.

        Where that is more than there is, those who wait do so for longer.
        """
        before_bytes, self._size_bytes = self._size_bytes, size_bytes
        self._budget._moved(size_bytes - before_bytes)  # noqa: SLF001 - two halves of one thing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.resize(0)


class ByteBudget:
    """Bytes that may be in use at once.

    Turns go in the order in which they were asked for, so that a large one is not passed over for
    ever. One that is larger than the budget is had when nothing else is held.

    Attributes:
        held_bytes: in use now.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._waiting: deque[tuple[asyncio.Future[Lease], int]] = deque()
        self.held_bytes = 0

    async def lease(self, size_bytes: int, wait_s: float) -> Lease:
        """Get hold of some bytes; at once where there is room and nobody waits.

        Raises:
            TimeoutError: its turn did not come within `wait_s`.
        """
        turn: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, size_bytes))
        self._serve()
        if turn.done():
            return turn.result()
        try:
            async with asyncio.timeout(wait_s):
                return await asyncio.shield(turn)
        except BaseException:
            if turn.done():  # it came in the same moment
                turn.result().resize(0)
            else:
                self._waiting.remove((turn, size_bytes))
                self._serve()  # those behind it may need less
            raise

    def _moved(self, by_bytes: int) -> None:
        self.held_bytes += by_bytes
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            turn, size_bytes = self._waiting[0]
            if self.held_bytes and self.held_bytes + size_bytes > self._limit_bytes:
                return
            self._waiting.popleft()
            self.held_bytes += size_bytes
            turn.set_result(Lease(self, size_bytes))
