"""Back-off: how long to wait between attempts at what failed, longer each time and never in step.

Workers that lost MongoDB at the same moment must not all come back at the same moment. So each wait
is by chance between half of its time and all of it, as "equal jitter" of exponential back-off is.
"""

import asyncio
import random


class Backoff:
    """The waits of one thing that is tried until it works. The caller bounds the attempts."""

    def __init__(self, first_s: float, most_s: float) -> None:
        """Begin with the shortest wait.

        Args:
            first_s: at most so long after the first failure; after each further one twice as long.
            most_s: never longer than this.
        """
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s

    def next_s(self) -> float:
        """How long to wait now, after one more failure."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, self._most_s)
        return wait_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    async def wait(self) -> None:
        """Wait that long."""
        await asyncio.sleep(self.next_s())

    def reset(self) -> None:
        """It worked: the next failure is the first again."""
        self._next_s = self._first_s
