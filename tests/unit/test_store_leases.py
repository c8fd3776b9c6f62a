"""The registries on a real MongoDB: limits, order, leases."""

import asyncio
import time

import pytest

from rtserver.admission import Entry
from store.client import Database
from store.leases import CONNECTIONS, MongoLeases
from tests.support.recorder import LogRecorder
from tests.unit.waiting import until

LONG_S = 60.0


def entry(
    connection_id: str,
    *,
    user: str = "ada",
    project: str = "p1",
    worker: str = "w1",
    transport: str = "websocket",
) -> Entry:
    return Entry(connection_id, worker, user, project, transport, time.time())


async def _lapse(db: Database, *connections: str) -> None:
    """Let leases of these connections have run out a while ago."""
    past = {"until": {"$subtract": ["$$NOW", 1000]}}
    chosen = {"$in": ["$$this.c", list(connections)]}
    lapsed = {"$cond": [chosen, {"$mergeObjects": ["$$this", past]}, "$$this"]}
    await db[CONNECTIONS].update_many(
        {"_id": {"$regex": "^user:"}},
        [{"$set": {"entries": {"$map": {"input": "$entries", "in": lapsed}}}}],
    )


@pytest.mark.gen_test
async def test_two_hundred_at_once_against_a_limit_of_fifty_are_fifty(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)

    async def one_by_one(worker: str) -> int:
        held = 0
        for _ in range(50):
            held += await leases.take_places("p1", worker, held=held, wanted=1, limit=50)
        return held

    held = await asyncio.gather(*(one_by_one(f"w{n}") for n in range(4)))
    assert sum(held) == 50 == await leases.counted("p1")
    # One leaves, one comes in, and no second.
    first = next(n for n in range(4) if held[n])
    await leases.take_places("p1", f"w{first}", held=held[first] - 1, wanted=0, limit=50)
    assert await leases.take_places("p1", "late", held=0, wanted=3, limit=50) == 1
    assert await leases.take_places("p1", "later", held=0, wanted=1, limit=50) == 0


@pytest.mark.gen_test
async def test_several_places_are_granted_as_far_as_they_go(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    assert await leases.take_places("p1", "w1", held=0, wanted=7, limit=10) == 7
    assert await leases.take_places("p1", "w2", held=0, wanted=7, limit=10) == 3
    assert await leases.take_places("p1", "w1", held=7, wanted=2, limit=10) == 0
    # A lower limit after a restart takes nobody's place away, and grants none.
    assert await leases.take_places("p1", "w1", held=7, wanted=1, limit=5) == 0
    assert await leases.counted("p1") == 10


@pytest.mark.gen_test
async def test_a_workers_own_number_mends_what_was_wrong(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    await leases.take_places("p1", "w1", held=0, wanted=5, limit=10)
    assert await leases.take_places("p1", "w1", held=2, wanted=0, limit=10) == 0
    assert await leases.counted("p1") == 2


@pytest.mark.gen_test
async def test_beyond_a_users_limit_the_oldest_goes_and_each_once(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    for n in range(5):
        assert await leases.register(entry(f"c{n}"), limit=5) == []
    evicted = await leases.register(entry("c5"), limit=5)
    assert [found.connection_id for found in evicted] == ["c0"]
    assert evicted[0].worker_id == "w1", "the one who is asked to close it has to be known"
    assert [f.connection_id for f in await leases.register(entry("c6"), limit=5)] == ["c1"]
    # A lower limit after a restart: all that are too many go.
    evicted = await leases.register(entry("c7"), limit=2)
    assert [found.connection_id for found in evicted] == ["c2", "c3", "c4", "c5"]
    assert await leases.register(entry("other", user="ben"), limit=1) == []


@pytest.mark.gen_test
async def test_many_connections_of_a_user_at_once_leave_exactly_the_limit(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    evictions = await asyncio.gather(*(leases.register(entry(f"c{n}"), limit=5) for n in range(40)))
    gone = [found.connection_id for evicted in evictions for found in evicted]
    assert len(gone) == len(set(gone)) == 35


@pytest.mark.gen_test
async def test_dead_connections_do_not_cost_a_live_one_its_place(db: Database) -> None:
    """The oldest was told to go although with the dead ones gone there was room for all."""
    leases = MongoLeases(db, lease_s=LONG_S)
    await leases.register(entry("live", worker="w1"), limit=5)
    for n in range(4):
        await leases.register(entry(f"dead{n}", worker="w2"), limit=5)
    await _lapse(db, *(f"dead{n}" for n in range(4)))
    assert await leases.register(entry("new"), limit=5) == []
    for n in range(3):
        assert await leases.register(entry(f"more{n}"), limit=5) == []
    evicted = await leases.register(entry("last"), limit=5)
    assert [found.connection_id for found in evicted] == ["live"]


@pytest.mark.gen_test
async def test_leases_run_out_by_the_clock_and_free_the_place(db: Database) -> None:
    leases = MongoLeases(db, lease_s=0.3)
    assert await leases.take_places("p1", "dead", held=0, wanted=1, limit=1) == 1
    assert await leases.take_places("p1", "new", held=0, wanted=1, limit=1) == 0

    async def taken() -> bool:
        return await leases.take_places("p1", "new", held=0, wanted=1, limit=1) == 1

    await until(taken, "the end of the lease")
    assert await leases.counted("p1") == 1


@pytest.mark.gen_test
async def test_a_users_renewed_leases_live_on_and_only_those(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    mine, others = entry("mine", worker="w1"), entry("others", worker="w2")
    for one in (mine, others):
        await leases.register(one, limit=5)
    await _lapse(db, "mine", "others")
    assert await leases.of_user("ada") == []
    await leases.renew_users([mine])
    assert await leases.of_user("ada") == [mine], "also what had lapsed, while MongoDB was away"
    assert [f.connection_id for f in await leases.register(entry("next"), limit=1)] == ["mine"]


@pytest.mark.gen_test
async def test_a_renewal_does_not_put_back_what_another_worker_evicted(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    old = entry("old", worker="w1")
    await leases.register(old, limit=1)
    assert [f.connection_id for f in await leases.register(entry("new"), limit=1)] == ["old"]
    await leases.renew_users([old])
    assert [f.connection_id for f in await leases.register(entry("newer"), limit=1)] == ["new"]


@pytest.mark.gen_test
async def test_ids_that_look_like_expressions_are_only_ids(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    odd = entry("$c", user="$$ROOT", project="$workers", worker="$w.x", transport="$")
    assert await leases.take_places("$workers", "$w.x", held=0, wanted=1, limit=5) == 1
    assert await leases.counted("$workers") == 1
    assert await leases.register(odd, limit=5) == []
    await leases.renew_users([odd])
    assert await leases.of_user("$$ROOT") == [odd]
    assert await leases.register(entry("$d", user="$$ROOT"), limit=1) == [odd]
    await leases.unregister(entry("$d", user="$$ROOT"))
    assert await leases.of_user("$$ROOT") == []


@pytest.mark.gen_test
async def test_preparing_twice_at_once_is_no_problem(db: Database, logs: LogRecorder) -> None:
    await asyncio.gather(*(MongoLeases(db, lease_s=LONG_S).prepare() for _ in range(4)))
    indexes = await db[CONNECTIONS].index_information()
    assert indexes["expiry"]["expireAfterSeconds"] == 0
    assert logs.lines == []


@pytest.mark.gen_test
async def test_a_registry_that_nobody_uses_any_more_is_removed_in_time(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    await leases.take_places("p1", "w1", held=0, wanted=1, limit=5)
    document = await db[CONNECTIONS].find_one({})
    assert document is not None
    (one,) = document["workers"]
    # MongoDB removes it by the index above, not before its last lease has run out.
    assert document["expires_at"] > one["until"]
