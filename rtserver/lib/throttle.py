"""Throttle: a leading delay, and a minimum interval."""

import asyncio
from collections.abc import Callable


class Throttle:
    """Gathers calls: the first acts soon, those within the interval after it act together."""

    __slots__ = ("_act", "_gather_s", "_interval_s", "_last_s", "_timer")

    def __init__(self, act: Callable[[], None], *, gather_s: float, interval_s: float) -> None:
        """Make a throttle; it does nothing by itself.

        Args:
            act: what to do.
            gather_s: how long the first call waits for others.
            interval_s: the least time between two acts.
        """
        self._act = act
        self._gather_s = gather_s
        self._interval_s = interval_s
        self._last_s = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def ask(self) -> None:
        """Let it be done."""
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        due_s = max(loop.time() + self._gather_s, self._last_s + self._interval_s)
        self._timer = loop.call_at(due_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._last_s = asyncio.get_running_loop().time()
        self._act()

    def stop(self) -> None:
        """Forget what was asked for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
