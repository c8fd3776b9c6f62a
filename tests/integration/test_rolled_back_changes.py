"""A change that a failover takes back is told to nobody, and hides no change that is made instead.

A primary was cut off from its members. A change was made on it, and its worker killed. The sweep
of another worker read the change there, which a majority never had, and told of it: the event went
into the log of the next primary, for good. The change that was made instead had the same version,
so its event met the key of the first one and was dropped: state and log parted for ever.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pymongo import WriteConcern

from rtserver.model.events import EventDraft, EventType
from store.base.relay import SWEEP_INTERVAL_S, waiting_event
from tests.support.api import api
from tests.support.replica_set import ReplicaSet, direct, three_mongods
from tests.support.workers import Workers

DATABASE = "rtserver"
ELECTION_TIMEOUT_MS = 30_000
"""Longer than the test: a primary that is cut off does not notice by itself."""


@pytest.fixture
def replica_set() -> Iterator[ReplicaSet]:
    with three_mongods(election_timeout_ms=ELECTION_TIMEOUT_MS) as three:
        yield three


@pytest.fixture
def apart(replica_set: ReplicaSet, tmp_path: Path) -> Iterator[Workers]:
    factory = Workers(tmp_path, {"mongodb_uri": replica_set.uri, "mongodb_database": DATABASE})
    yield factory
    factory.stop()  # they say a lot about a MongoDB that is not there


def _change_on(port: int) -> None:
    """Change the title as a worker does that is killed before it can tell of it."""
    told = EventDraft("p1", EventType.PROPOSAL_UPDATED, {"proposal": {"title": "new"}})
    with direct(port) as client:
        proposals = client[DATABASE].get_collection("proposals", write_concern=WriteConcern(1))
        proposals.update_one(
            {"_id": "p", "version": 1},
            {
                "$set": {"title": "new", "version": 2},
                "$push": {"outbox": waiting_event("proposal:p:2:0", told)},
            },
        )


@pytest.mark.gen_test(timeout=120)
async def test_a_change_that_is_rolled_back_is_not_told(
    replica_set: ReplicaSet, apart: Workers
) -> None:
    living = apart.start()
    async with api(living.address) as service:
        await service.propose("p1", "p", title="old")
        primary = replica_set.primary()
        followers = replica_set.others(primary)
        # Paused, they would still find the change in their sockets when they go on.
        replica_set.kill(*followers)
        await asyncio.to_thread(_change_on, primary)
        # There is no sign of a sweep that finds nothing: two of them have passed by then.
        await asyncio.sleep(2 * SWEEP_INTERVAL_S + 1)
        replica_set.pause(primary)
        for port in followers:
            await asyncio.to_thread(replica_set.start_member, port)
        await asyncio.to_thread(replica_set.step_up, followers[0])
        replica_set.resume(primary)

        changed = await _until_changed(service.http)
        assert (changed["title"], changed["version"]) == ("other", 2)
        told = await service.get("/api/v1/projects/p1/events?limit=100")
        titles = [
            event["proposal"]["title"]
            for event in told["events"]
            if event["type"] == "proposal_updated"
        ]
        assert titles == ["other"]


async def _until_changed(http: httpx2.AsyncClient) -> dict[str, Any]:
    """Change the title as soon as MongoDB answers again."""
    async with asyncio.timeout(60):
        while True:
            answer = await http.patch("/api/v1/proposals/p", json={"title": "other"})
            if answer.status_code == 200:
                body: dict[str, Any] = answer.json()
                return body
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(0.2)
