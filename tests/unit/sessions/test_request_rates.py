"""`rtserver.sessions.request_rates`: by user with a token, by address without one."""

import asyncio

import pytest

from rtserver.model.identity import Identity
from rtserver.observe.metrics import MetricsRegistry
from rtserver.sessions import request_rates
from rtserver.sessions.metrics import SessionMetrics
from rtserver.sessions.request_rates import (
    NEWS_BURST,
    NEWS_INTERVAL_S,
    REFUSAL_DELAY_S,
    Counted,
    RateLimits,
    RequestRates,
    TooOftenError,
)
from tests.support.recorder import LogRecorder

REQUEST, CONNECTION = Counted.REQUEST, Counted.CONNECTION


def _who(user_id: str, *roles: str) -> Identity:
    return Identity(user_id, user_id, frozenset({"*"}), frozenset(roles), expires_at=1e12)


class Tried:
    """Rates of one a second, of which ten may come at once."""

    def __init__(self, connections_of_user: int = 1) -> None:
        self.now_s = 100.0
        self.slept_s: list[float] = []
        self.registry = MetricsRegistry()
        each = dict.fromkeys(Counted, 1.0)
        self.rates = RequestRates(
            RateLimits(each, each, connections_of_user),
            SessionMetrics(self.registry),
            clock=lambda: self.now_s,
            sleep=self._sleep,
        )

    async def _sleep(self, time_s: float) -> None:
        self.slept_s.append(time_s)

    async def user(self, user_id: str, *roles: str, what: Counted = REQUEST) -> bool:
        try:
            await self.rates.user(_who(user_id, *roles), what)
        except TooOftenError:
            return False
        return True

    async def address(self, ip: str, what: Counted = REQUEST) -> bool:
        try:
            await self.rates.address(ip, what)
        except TooOftenError:
            return False
        return True


@pytest.mark.gen_test
async def test_one_who_is_past_the_rate_holds_nobody_else_back(logs: LogRecorder) -> None:
    tried = Tried()
    assert [await tried.user("ada") for _ in range(11)] == [True] * 10 + [False]
    assert [await tried.user("ben"), await tried.user("ada", what=CONNECTION)] == [True, True]
    assert [await tried.address("192.0.2.1") for _ in range(11)] == [True] * 10 + [False]
    assert await tried.address("192.0.2.2")
    assert await tried.address("192.0.2.1", CONNECTION)
    tried.now_s += 1
    assert [await tried.user("ada"), await tried.user("ada")] == [True, False]
    assert 'refused_by_rate_total{by="user",what="request"} 2' in _metrics(tried)
    assert 'refused_by_rate_total{by="address",what="request"} 1' in _metrics(tried)
    assert len(set(tried.slept_s)) == 3, "who was refused together does not come back together"
    assert all(REFUSAL_DELAY_S[0] <= slept_s <= REFUSAL_DELAY_S[1] for slept_s in tried.slept_s)
    shown = [(line["event"], line["by"], line["who"]) for line in logs.lines]
    assert shown == [("too_often", "user", "ada"), ("too_often", "address", "192.0.2.1")]


def _metrics(tried: Tried) -> str:
    return tried.registry.render()[0].decode()


@pytest.mark.gen_test
async def test_fifty_people_behind_one_address_are_counted_one_by_one() -> None:
    tried = Tried()
    for number in range(50):
        assert all([await tried.user(f"user-{number}") for _ in range(10)])
    assert await tried.address("192.0.2.1")


@pytest.mark.gen_test
async def test_a_network_of_ipv6_is_one_address() -> None:
    tried = Tried()
    assert all([await tried.address(f"2001:db8::{n:x}") for n in range(10)])
    assert not await tried.address("2001:db8::ffff")
    assert await tried.address("2001:db8:0:1::1")


@pytest.mark.gen_test
async def test_services_are_not_bounded() -> None:
    tried = Tried()
    assert all([await tried.user("svc", "service") for _ in range(1000)])


@pytest.mark.gen_test
async def test_a_user_may_open_all_the_connections_that_a_user_may_have() -> None:
    tried = Tried(connections_of_user=100)
    assert all([await tried.user("ada", what=CONNECTION) for _ in range(200)])
    assert not await tried.user("ada", what=CONNECTION)


@pytest.mark.gen_test
async def test_who_is_refused_hears_when_to_come_back() -> None:
    tried = Tried()
    for _ in range(10):
        await tried.rates.user(_who("ada"), REQUEST)
    with pytest.raises(TooOftenError, match="Too many requests of this user") as refused:
        await tried.rates.user(_who("ada"), REQUEST)
    assert (refused.value.status, refused.value.reason) == (429, "too_often")
    tried.now_s += refused.value.retry_after_s
    assert await tried.user("ada")


@pytest.mark.gen_test
async def test_the_same_is_told_once_a_minute_and_a_flood_of_addresses_is_not_told_of_all(
    logs: LogRecorder,
) -> None:
    tried = Tried()

    async def news(ip: str) -> int:
        told = 0
        for _ in range(20):
            try:
                await tried.rates.address(ip, REQUEST)
            except TooOftenError as error:
                told += error.is_news
        return told

    assert [await news("192.0.2.1"), await news("192.0.2.1")] == [1, 0]
    tried.now_s += NEWS_INTERVAL_S
    assert await news("192.0.2.1") == 1
    many = [await news(f"198.51.100.{number}") for number in range(100)]
    assert sum(many) == NEWS_BURST - 1
    assert len(logs.lines) == NEWS_BURST + 1


@pytest.mark.gen_test
async def test_what_comes_at_once_has_turns_and_those_of_several_addresses_alternate() -> None:
    tried = Tried()
    order: list[str] = []

    async def one(ip: str) -> None:
        await tried.rates.await_turn(ip)
        order.append(ip)

    await asyncio.gather(*(one("192.0.2.1") for _ in range(4)), one("192.0.2.2"))
    assert order == ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1"]


@pytest.mark.gen_test
async def test_a_turn_comes_also_where_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_rates, "MAX_WAITING", 2)
    tried = Tried()
    async with asyncio.timeout(20):
        await asyncio.gather(*(tried.rates.await_turn("192.0.2.1") for _ in range(9)))


@pytest.mark.gen_test
async def test_other_rates_hold_from_the_moment_that_they_are_set() -> None:
    tried = Tried()
    assert [await tried.user("ada") for _ in range(11)][-1] is False
    each = dict.fromkeys(Counted, 2.0)
    tried.rates.limit(RateLimits(each, each, 1))
    assert [await tried.user("ada") for _ in range(21)] == [True] * 20 + [False]
