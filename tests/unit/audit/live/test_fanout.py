import pytest

from rtserver.audit.live.fanout import AuditFanout
from rtserver.audit.live.filter import EVERYTHING, AuditFilter
from rtserver.delivery.feed import Feed
from rtserver.delivery.sender import Sender
from rtserver.delivery.wire_forms import Encoding, join_events
from rtserver.eventlog.metrics import LogMetrics
from rtserver.model.events import AUDIT_PROJECT, StoredEvent
from rtserver.model.visibility import Viewer
from rtserver.observe.metrics import MetricsRegistry
from tests.support.fakes import FakeSubscriber, stored
from tests.support.metrics import value_of
from tests.unit.audit.parts import record_of


class Admin(FakeSubscriber):
    """A live audit session as the fan-out sees it."""

    def __init__(self, wanted: AuditFilter, encoding: Encoding = Encoding.WEBSOCKET) -> None:
        super().__init__(Viewer("root"), encoding)
        self.filter = wanted


def records(*actors: str, first: int = 1) -> list[StoredEvent]:
    """Records of these users."""
    return stored(*map(record_of, actors), first=first)


class Stage:
    """A fan-out to these admins."""

    def __init__(self, *admins: Admin) -> None:
        self.registry = MetricsRegistry()
        self.fanout = AuditFanout(LogMetrics(self.registry), Sender())
        self.feed = Feed(AUDIT_PROJECT, 1 << 20)
        for admin in admins:
            self.feed.live.add(admin)

    @property
    def delivered(self) -> float:
        return value_of(self.registry, "events_delivered_total")


@pytest.mark.gen_test
async def test_each_admin_gets_what_the_filter_wants() -> None:
    admins = [
        Admin(wanted, encoding)
        for wanted in (EVERYTHING, AuditFilter(actor="ada"), AuditFilter(actor="cleo"))
        for encoding in Encoding
    ]
    stage = Stage(*admins)
    batch = records("ada", "ben", "ada", "ben")
    await stage.fanout.deliver(stage.feed, batch)
    delivered = 0
    for admin in admins:
        seen = [record for record in batch if admin.filter.wants_record(record)]
        assert admin.sink.received == join_events(admin.encoding, seen)
        assert admin.sink.sends == bool(seen), "a batch is one write"
        assert (admin in stage.feed.behind) == (not seen or seen[-1] is not batch[-1])
        delivered += len(seen)
    assert stage.delivered == delivered


@pytest.mark.gen_test
async def test_a_filter_that_changes_holds_from_the_next_batch_on() -> None:
    admin = Admin(AuditFilter(actor="cleo"))
    stage = Stage(admin, Admin(EVERYTHING))
    await stage.fanout.deliver(stage.feed, records("ada"))
    assert admin in stage.feed.behind
    admin.filter = AuditFilter(actor="ada")
    await stage.fanout.deliver(stage.feed, records("ada", first=2))
    assert admin.sink.sends == 1
    assert admin not in stage.feed.behind


@pytest.mark.gen_test
async def test_nobody_watches() -> None:
    stage = Stage()
    await stage.fanout.deliver(stage.feed, records("ada"))
    assert stage.delivered == 0
    assert stage.feed.seq == 1
