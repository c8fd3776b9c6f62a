import pytest

from rtserver.delivery.wire_forms import Encoding
from rtserver.model.visibility import Viewer
from rtserver.sessions.feed_upkeep import FeedUpkeep
from tests.support.fakes import EPOCH, FakeSubscriber, draft
from tests.unit.sessions.parts import Stage


@pytest.mark.gen_test
async def test_those_who_are_behind_are_told_once_where_the_log_stands() -> None:
    stage = Stage()
    feed = await stage.dispatcher.open("p1")
    await stage.dispatcher.on_packs([stage.log.append("p1", draft(), draft())])
    behind = [FakeSubscriber(Viewer("ada"), encoding) for encoding in Encoding]
    current = FakeSubscriber(Viewer("ben"))
    for subscriber in (*behind, current):
        feed.live.add(subscriber)
    feed.behind.update(behind)
    upkeep = FeedUpkeep(stage.dispatcher, stage.log, stage.services.pages)
    upkeep.tell_positions()
    upkeep.tell_positions()
    for subscriber in behind:
        assert subscriber.sink.sends == 1
        assert f"{EPOCH}-2".encode() in subscriber.sink.received
    assert current.sink.sends == 0
    assert not feed.behind
