"""How far back a project's events can be had, for the welcome of its sessions."""

import asyncio
import time
from collections.abc import Callable

from rtserver.eventlog.api import EventLog, Horizon

KEEP_S = 5.0
"""For so long one read serves all who connect: many come at once, and the oldest event changes
only where the buffer is overwritten."""


class KeptHorizon:
    """Where a project's events begin in the buffer, as it was a few seconds ago at most."""

    __slots__ = ("_horizon", "_now_s", "_reading", "_until_s")

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._horizon: Horizon | None = None
        self._until_s = 0.0
        self._reading = asyncio.Lock()

    async def read(
        self, log: EventLog, project_id: str, *, tip_seq: int, oldest: int | None = None
    ) -> Horizon:
        """Where they begin.

        Args:
            log: the log, always the same.
            project_id: the project, always the same.
            tip_seq: the newest event that the asker knows of. Where nothing was in the buffer and
                something is now, that is read.
            oldest: the oldest event, where the asker read it just now: it is not told two numbers.

        Raises:
            StoreUnavailableError: the log could not be read.
        """
        async with self._reading:
            kept = self._horizon
            if (
                kept is None
                or self._now_s() >= self._until_s
                or (oldest is not None and kept.oldest < oldest)
                or (kept.stored_at_s is None and tip_seq >= kept.oldest)
            ):
                kept = self._horizon = await log.horizon(project_id)
                self._until_s = self._now_s() + KEEP_S
            return kept
