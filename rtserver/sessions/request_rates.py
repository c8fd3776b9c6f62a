"""How often somebody may ask something of a worker: requests, and connections that are opened.

Who has a good token is counted as a user, from wherever they come; everybody else by address. What
is past the rate is refused, a moment later: who waits for the answer to one request before the next
cannot keep the worker busy with refusals. And what is within it begins one by one, users and
addresses by turns: many requests at once hold up those who sent them, and nobody else.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

import structlog

from rtserver.auth.client_address import network_of
from rtserver.lib.rate_limit import RateTable, TokenBucket
from rtserver.lib.turnstile import TooManyWaitingError, Turnstile
from rtserver.model.close_codes import CloseCode
from rtserver.model.errors import BusyError
from rtserver.model.identity import Identity
from rtserver.sessions.metrics import SessionMetrics

BURST_S = 10.0
"""The work of so many seconds may come at once: a page with all its files, or a whole office's."""
REFUSAL_DELAY_S = (0.2, 0.4)
"""A random value for each: those who were refused together are not to come back together."""
MAX_WAITING = 1000
"""So many of one user or address may wait to begin."""
TURNS = 4
"""Of the event loop, in which one begins. A command of a session needs three of them."""
NEWS_INTERVAL_S = 60.0
NEWS_PER_S, NEWS_BURST = 1.0, 20

_log = structlog.get_logger()


class Counted(StrEnum):
    """What is counted."""

    REQUEST = "request"
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Rates by what is counted, for each user and for each address.

    Attributes:
        of_user, of_address: so many a second.
        connections_of_user: so many a user may have; twice as many may come at once.
    """

    of_user: dict[Counted, float]
    of_address: dict[Counted, float]
    connections_of_user: int


class TooOftenError(BusyError):
    """A rate was exceeded.

    Attributes:
        is_news: whether it is worth a record: not, where the same was recorded a moment ago.
    """

    status = 429
    reason = "too_often"
    close_code = CloseCode.TOO_MANY_MESSAGES

    def __init__(self, message: str, retry_after_s: int, *, is_news: bool) -> None:
        super().__init__(message, retry_after_s)
        self.is_news = is_news


class RequestRates:
    """Counts, and refuses what is too often, in memory of a fixed size."""

    def __init__(
        self,
        limits: RateLimits,
        metrics: SessionMetrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Make it.

        Args:
            limits: the rates.
            metrics: count what is refused.
            clock: seconds.
            sleep: waits before something is refused.
        """
        self._metrics = metrics
        self._clock = clock
        self._sleep = sleep
        self._users: dict[Counted, RateTable] = {}
        self._addresses: dict[Counted, RateTable] = {}
        self.limit(limits)
        self._begin = Turnstile(MAX_WAITING, TURNS)
        self._told = RateTable(1 / NEWS_INTERVAL_S, 1)
        self._news = TokenBucket(NEWS_PER_S, NEWS_BURST, clock())

    def limit(self, limits: RateLimits) -> None:
        """Count by these rates from now on, and from the beginning."""
        at_least = {Counted.REQUEST: 1, Counted.CONNECTION: 2 * limits.connections_of_user}
        self._users = {
            what: RateTable(per_s, max(per_s * BURST_S, at_least[what]))
            for what, per_s in limits.of_user.items()
        }
        self._addresses = {
            what: RateTable(per_s, per_s * BURST_S) for what, per_s in limits.of_address.items()
        }

    async def user(self, identity: Identity, what: Counted) -> None:
        """Count something that a user does, and wait for its turn.

        Services do as much as they like: they are held back by what can be stored.

        Raises:
            TooOftenError: this user does it too often.
        """
        if not identity.is_service:
            await self._count(self._users[what], what, "user", identity.user_id)

    async def address(self, ip: str, what: Counted) -> None:
        """Count something that somebody does of whom the address alone is known; wait for its turn.

        Raises:
            TooOftenError: it is done too often from there.
        """
        await self._count(self._addresses[what], what, "address", network_of(ip))

    async def await_turn(self, ip: str) -> None:
        """Wait for the turn of something that is counted elsewhere, of one of several at once."""
        await self._turn(f"address {network_of(ip)}")

    async def _turn(self, key: str) -> None:
        try:
            await self._begin.pass_by(key)
        except TooManyWaitingError:
            await asyncio.sleep(0)

    async def _count(self, table: RateTable, what: Counted, by: str, key: str) -> None:
        wait_s = table.take(key, self._clock())
        if not wait_s:
            try:
                await self._begin.pass_by(f"{by} {key}")
            except TooManyWaitingError:
                wait_s = 1.0
        if wait_s:
            await self._refuse(wait_s, what, by, key)

    async def _refuse(self, wait_s: float, what: Counted, by: str, key: str) -> None:
        self._metrics.refused_by_rate_total.labels(what, by).inc()
        now_s = self._clock()
        is_news = not self._told.take(f"{what} {by} {key}", now_s) and self._news.take(now_s)
        if is_news:
            _log.warning("too_often", what=what.value, by=by, who=key)
        await self._sleep(random.uniform(*REFUSAL_DELAY_S))  # noqa: S311 - spreads load
        await self._turn(f"{by} {key}")
        whose = "this user" if by == "user" else "this address, without a valid token"
        raise TooOftenError(
            f"Too many {what}s of {whose}; wait a moment", math.ceil(wait_s), is_news=is_news
        )
