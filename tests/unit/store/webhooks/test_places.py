"""`store.webhooks.places`."""

import pytest

from rtserver.model.positions import Position
from rtserver.webhooks.schedule import FeedState
from store.base.client import connect
from store.webhooks.places import MongoWebhookPlaces
from tests.support.mongo import MongodProcess

STATE = FeedState(Position("abcd", 7), 2, 100.0, 105.5)


@pytest.mark.gen_test
async def test_places_are_kept_for_who_holds_them(mongod: MongodProcess, database: str) -> None:
    client = connect(mongod.uri)
    places = MongoWebhookPlaces(client[database], lease_s=60.0)
    held = await places.claim("ci", "one")
    assert held is not None
    assert (held.feeds, held.disabled, held.nudges) == ({}, None, 0)
    assert await places.claim("ci", "other") is None
    assert not await places.note("ci", "other", "p.1", STATE)
    assert not await places.disable("ci", "other", "why")
    assert await places.renew("ci", "other") is None
    assert await places.note("ci", "one", "p.1", STATE)
    assert await places.disable("ci", "one", "why")
    assert await places.renew("ci", "one") == 0
    await places.release("ci", "one")
    held = await places.claim("ci", "other")
    assert held is not None
    assert (held.feeds, held.disabled) == ({"p.1": STATE}, "why")
    assert await places.enable("ci")
    assert not await places.enable("cd")
    assert await places.renew("ci", "other") == 1
    listed = await places.listed()
    assert list(listed) == ["ci"]
    assert listed["ci"].disabled is None
    client.close()
