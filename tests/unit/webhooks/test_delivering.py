"""`rtserver.webhooks.delivering`: who tells an endpoint, and until when."""

import asyncio

import pytest

from rtserver.model.errors import StoreUnavailableError
from rtserver.model.positions import Position
from rtserver.webhooks.delivering import EndpointDelivery
from rtserver.webhooks.ports import Answer, HeldEndpoint
from rtserver.webhooks.schedule import FeedState
from tests.support.fakes import MemoryLog, draft
from tests.support.recorder import LogRecorder
from tests.support.waiting import running, until
from tests.unit.webhooks.fakes import ENDPOINT, REFUSED, Told

LEASE_S = 0.03


class Places:
    """Places of one endpoint in memory, and who has them.

    Attributes:
        holder: None where nobody has.
        failures: so many of the next claims fail.
    """

    def __init__(self, log: MemoryLog) -> None:
        self.feeds = {"p1": FeedState(Position(log.epoch, 0))}
        self.holder: str | None = None
        self.disabled: str | None = None
        self.nudges = 0
        self.failures = 0

    async def claim(self, _endpoint_id: str, holder: str) -> HeldEndpoint | None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("away")
        self.holder = self.holder or holder
        if self.holder != holder:
            return None
        return HeldEndpoint(dict(self.feeds), self.disabled, self.nudges)

    async def renew(self, _endpoint_id: str, holder: str) -> int | None:
        return self.nudges if self.holder == holder else None

    async def note(self, _endpoint_id: str, holder: str, project_id: str, state: FeedState) -> bool:
        if self.holder == holder:
            self.feeds[project_id] = state
        return self.holder == holder

    async def disable(self, _endpoint_id: str, holder: str, reason: str) -> bool:
        self.disabled = reason
        return self.holder == holder

    async def release(self, _endpoint_id: str, holder: str) -> None:
        if self.holder == holder:
            self.holder = None


class Case:
    """A log, an endpoint, and its places."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.told = Told()
        self.places = Places(self.log)

    def delivery(self, holder: str) -> EndpointDelivery:
        return EndpointDelivery(
            ENDPOINT, self.places, self.told.parts(self.log), holder=holder, lease_s=LEASE_S
        )


@pytest.mark.gen_test
async def test_another_worker_goes_on_where_the_first_ended(logs: LogRecorder) -> None:
    logs.expect("webhook_interrupted")
    case = Case()
    case.places.failures = 1
    one, other = case.delivery("one"), case.delivery("other")
    case.log.append("p1", draft())
    first = asyncio.ensure_future(one.run())
    await until(lambda: len(case.told.ids) == 1 and case.places.feeds["p1"].position.seq == 1, "1")
    async with running(other.run()):
        first.cancel()
        await asyncio.wait([first])
        await until(lambda: case.places.holder == "other", "it to be taken over")
        case.log.append("p1", draft())
        other.wake("p1")
        other.wake("p2")
        await until(lambda: len(case.told.ids) == 2, "what came later")
    assert len(set(case.told.ids)) == 2


@pytest.mark.gen_test
async def test_who_has_lost_it_stops(logs: LogRecorder) -> None:
    logs.expect("webhook_taken_over")
    case = Case()
    delivery = case.delivery("one")
    async with running(delivery.run()):
        await until(lambda: case.places.holder == "one", "it to be taken")
        case.places.holder = "other"
        await until(
            lambda: any(line["event"] == "webhook_taken_over" for line in logs.lines),
            "it to be noticed",
        )
        assert case.places.holder == "other"


@pytest.mark.gen_test
async def test_an_operator_has_it_tried_at_once(logs: LogRecorder) -> None:
    case = Case()
    case.log.append("p1", draft())
    case.told.answers = [REFUSED]
    async with running(case.delivery("one").run()):
        await until(lambda: case.places.feeds["p1"].failures == 1, "the failure")
        case.places.nudges += 1
        await until(lambda: case.places.feeds["p1"].position.seq == 1, "the next attempt")
    assert len(case.told.ids) == 2


@pytest.mark.gen_test
async def test_one_that_is_gone_is_told_nothing_until_it_is_enabled(logs: LogRecorder) -> None:
    logs.expect("webhook_disabled")
    case = Case()
    case.log.append("p1", draft())
    case.told.answers = [Answer(410, "status 410")]
    async with running(case.delivery("one").run()):
        await until(lambda: bool(case.told.records), "it to be disabled")
        assert case.told.records == [("disabled", "ci", "it answered 410 Gone")]
        assert case.places.feeds["p1"].position.seq == 0
        case.places.disabled = None
        await until(lambda: case.places.feeds["p1"].position.seq == 1, "it to be told")
    assert len(set(case.told.ids)) == 1
