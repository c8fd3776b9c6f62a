"""Backpressure: whether there is room for more audit records, as a state that does not flicker.

At the bound the server turns red and refuses acts. Were one delivered batch enough to end that, the
next record would bring it back: readiness and refusals would change with every batch. So it stays
full until half of the bound is free again.
"""

import math
import time


class Backpressure:
    """How much waits for MongoDB, and whether that is too much.

    It is told of everything on the event loop, so what moves from memory to disk is never counted
    twice, nor left out for a moment.

    Attributes:
        full: the bound was reached, and half of it is not free yet.
        full_since_s: since when, the last time (monotonic).
        queue_bytes: what is in memory alone.
        used_bytes: what waits in all.
    """

    def __init__(self, bound_bytes: int, queue_bound_bytes: int) -> None:
        """Nothing waits yet.

        Args:
            bound_bytes: most that may wait, in memory and on disk.
            queue_bound_bytes: most of it in memory alone.
        """
        self._bound_bytes = bound_bytes
        self._queue_bound_bytes = queue_bound_bytes
        self._written_bytes = 0
        self._taken_bytes = 0
        self.queue_bytes = 0
        self.used_bytes = 0
        self.full = False
        self.full_since_s = -math.inf

    def queued(self, size_bytes: int) -> None:
        """A record came. Called for each, so it looks closer only where a bound is reached."""
        self.queue_bytes += size_bytes
        self.used_bytes += size_bytes
        if self.used_bytes >= self._bound_bytes or self.queue_bytes >= self._queue_bound_bytes:
            self._weigh()

    def unqueued(self, size_bytes: int) -> None:
        """Records went from memory straight into the log."""
        self.queue_bytes -= size_bytes
        self.used_bytes -= size_bytes
        self._weigh()

    def written(self, size_bytes: int, total_bytes: int) -> None:
        """Records went from memory to disk.

        Args:
            size_bytes: the records.
            total_bytes: all that was ever written; with what is put around records it is more.
        """
        self.queue_bytes -= size_bytes
        self.used_bytes += total_bytes - self._written_bytes - size_bytes
        self._written_bytes = total_bytes
        self._weigh()

    def taken(self, total_bytes: int) -> None:
        """Records went from disk into the log.

        Args:
            total_bytes: all that ever did, as `written` counts.
        """
        self.used_bytes -= total_bytes - self._taken_bytes
        self._taken_bytes = total_bytes
        self._weigh()

    def takes_beyond(self) -> bool:
        """Whether there is room past the bound for what has to be kept all the same."""
        beyond_bytes = self.used_bytes - self._bound_bytes
        return (
            self.queue_bytes < 2 * self._queue_bound_bytes
            and beyond_bytes < 2 * self._queue_bound_bytes
        )

    def _weigh(self) -> None:
        used_bytes, queue_bytes = self.used_bytes, self.queue_bytes
        if self.full:
            self.full = (
                used_bytes > self._bound_bytes // 2 or queue_bytes > self._queue_bound_bytes // 2
            )
        elif used_bytes >= self._bound_bytes or queue_bytes >= self._queue_bound_bytes:
            self.full = True
            self.full_since_s = time.monotonic()
