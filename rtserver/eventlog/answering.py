"""Answering: whether MongoDB answers, as the one sees who asks it all the time, the log's tail.

A node that hangs, or is cut off in the middle of a connection, refuses nothing: what was asked of
it waits for as long as the driver allows. The tail asks anew whenever it has an answer, and has
each within about a second. So where it has none for some seconds, nobody else has one either, and
those who keep a client waiting are told at once.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog

from rtserver.model.errors import StoreUnavailableError

SILENT_S = 3.5
"""So long an answer may take; a tail's takes a second where nothing comes."""
SECOND_LOOK_S = 0.5
"""An answer may have come while this process stood still, and only have to be read."""

_WORDS = "The database does not answer; try again soon"

_log = structlog.get_logger()


class Answering:
    """Whether MongoDB answers. Told by one who asks, and asked by those who wait."""

    def __init__(self) -> None:
        self._asked_s: float | None = None
        self._doubted_s: float | None = None
        self._look_again: asyncio.TimerHandle | None = None
        self._silent = False
        self._waiting: set[asyncio.Timeout] = set()

    def asked(self) -> None:
        """Something was asked of MongoDB, or is to be as soon as that goes."""
        if self._asked_s is None:
            self._asked_s = asyncio.get_running_loop().time()
            if self._look_again is None:  # one timer for many questions: most are answered by then
                self._look_in(SILENT_S)

    def answered(self) -> None:
        """It was answered, or is not waited for any more."""
        self._asked_s = None
        self._silent = False

    def problem(self) -> str | None:
        """See `rtserver.observe.readiness.Part`."""
        return "MongoDB does not answer" if self._silent else None

    @contextlib.asynccontextmanager
    async def required(self) -> AsyncIterator[None]:
        """Do what needs MongoDB's answers, for as long as it gives any.

        Raises:
            StoreUnavailableError: it does not answer, or ceased to meanwhile.
        """
        if self._silent:
            raise StoreUnavailableError(_WORDS)
        timeout = asyncio.timeout(None)
        try:
            async with timeout:
                self._waiting.add(timeout)
                try:
                    yield
                finally:
                    self._waiting.discard(timeout)
        except TimeoutError:
            if not timeout.expired():
                raise
            raise StoreUnavailableError(_WORDS) from None

    def _look_in(self, wait_s: float) -> None:
        self._look_again = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        """See whether what was asked was answered in time."""
        self._look_again = None
        if self._asked_s is None:
            return
        now_s = asyncio.get_running_loop().time()
        left_s = self._asked_s + SILENT_S - now_s
        if left_s > 0:
            self._look_in(left_s)
        elif self._doubted_s != self._asked_s:
            self._doubted_s = self._asked_s
            self._look_in(SECOND_LOOK_S)
        else:
            self._silent = True
            _log.warning("mongodb_silent", waited_s=round(now_s - self._asked_s, 1))
            for timeout in self._waiting:
                timeout.reschedule(now_s)
