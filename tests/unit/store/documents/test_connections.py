"""The registries on a real MongoDB: limits, order, leases."""

import asyncio
import time
from dataclasses import replace

import pytest

from rtserver.model.connection import ConnectionRecord
from store.base.client import Database
from store.documents.connections import CONNECTIONS, MongoLeases
from tests.support.recorder import LogRecorder
from tests.support.waiting import until

LONG_S = 60.0


def entry(
    connection_id: str,
    *,
    user: str = "ada",
    project: str = "p1",
    worker: str = "w1",
    transport: str = "websocket",
) -> ConnectionRecord:
    return ConnectionRecord(connection_id, worker, user, project, transport, time.time())


async def _lapse(db: Database, *connections: str) -> None:
    """Let leases of these connections have run out a while ago."""
    await db[CONNECTIONS].update_many(
        {},
        [
            {
                "$set": {
                    "entries": {
                        "$map": {
                            "input": "$entries",
                            "in": {
                                "$cond": [
                                    {"$in": ["$$this.c", list(connections)]},
                                    {
                                        "$mergeObjects": [
                                            "$$this",
                                            {"until": {"$subtract": ["$$NOW", 1000]}},
                                        ]
                                    },
                                    "$$this",
                                ]
                            },
                        }
                    }
                }
            }
        ],
    )


async def _connections(leases: MongoLeases, project: str = "p1") -> list[str]:
    return [found.connection_id for found in await leases.listed(project)]


@pytest.mark.gen_test
async def test_two_hundred_at_once_against_a_limit_of_fifty_are_fifty(db: Database) -> None:
    workers = [MongoLeases(db, lease_s=LONG_S) for _ in range(4)]
    admitted = await asyncio.gather(
        *(workers[n % 4].admit(entry(f"c{n}", worker=f"w{n % 4}"), limit=50) for n in range(200))
    )
    assert sum(admitted) == 50
    listed = await _connections(workers[0])
    assert sorted(listed) == sorted(f"c{n}" for n in range(200) if admitted[n])
    # One leaves, one comes in, and no second.
    await workers[0].release(entry(listed[0], worker="w0"))
    assert await workers[1].admit(entry("late"), limit=50)
    assert not await workers[1].admit(entry("later"), limit=50)


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
    assert await leases.admit(entry("dead"), limit=1)
    assert not await leases.admit(entry("new"), limit=1)
    await until(lambda: leases.admit(entry("new"), limit=1), "the end of the lease")
    assert await _connections(leases) == ["new"]


@pytest.mark.gen_test
async def test_renewed_leases_live_on_and_only_the_workers_own(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    mine, others = entry("mine", worker="w1"), entry("others", worker="w2", user="ben")
    for one in (mine, others):
        await leases.admit(one, limit=5)
        await leases.register(one, limit=5)
    await _lapse(db, "mine", "others")
    assert await _connections(leases) == []
    await leases.renew([mine])
    assert await _connections(leases) == ["mine"], "also what had lapsed, while MongoDB was away"
    assert not await leases.admit(entry("new", worker="w2"), limit=1)
    # The user's registry too: with the renewed one there are two, one too many.
    assert [f.connection_id for f in await leases.register(entry("next"), limit=1)] == ["mine"]


@pytest.mark.gen_test
async def test_a_renewal_does_not_put_back_what_another_worker_evicted(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    old = entry("old", worker="w1")
    await leases.register(old, limit=1)
    assert [f.connection_id for f in await leases.register(entry("new"), limit=1)] == ["old"]
    await leases.renew([old])
    assert [f.connection_id for f in await leases.register(entry("newer"), limit=1)] == ["new"]


@pytest.mark.gen_test
async def test_a_renewal_does_not_take_out_who_was_let_in_meanwhile(db: Database) -> None:
    """Between the list of connections and the renewal another was admitted, and was forgotten."""
    leases = MongoLeases(db, lease_s=LONG_S)
    known = entry("known")
    await leases.admit(known, limit=50)
    await leases.admit(entry("meanwhile"), limit=50)
    await leases.renew([known])
    assert sorted(await _connections(leases)) == ["known", "meanwhile"]


@pytest.mark.gen_test
async def test_renewing_again_and_again_keeps_one_entry_each(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    entries = [entry(f"c{n}", user=f"u{n % 3}", project=f"p{n % 2}") for n in range(12)]
    for one in entries:
        await leases.admit(one, limit=50)
        await leases.register(one, limit=50)
    for _ in range(3):
        await leases.renew(entries)
    listed = await _connections(leases, "p0") + await _connections(leases, "p1")
    assert sorted(listed) == sorted(one.connection_id for one in entries)


@pytest.mark.gen_test
async def test_ids_that_look_like_expressions_are_only_ids(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    odd = entry("$c", user="$$ROOT", project="$entries", worker="$w.x", transport="$")
    assert await leases.admit(odd, limit=5)
    assert await leases.register(odd, limit=5) == []
    await leases.renew([odd])
    assert await leases.listed("$entries") == [odd]
    evicted = await leases.register(entry("$d", user="$$ROOT"), limit=1)
    assert evicted == [odd]
    await leases.release(odd)
    assert await leases.listed("$entries") == []


@pytest.mark.gen_test
async def test_preparing_twice_at_once_is_no_problem(db: Database, logs: LogRecorder) -> None:
    await asyncio.gather(*(MongoLeases(db, lease_s=LONG_S).prepare() for _ in range(4)))
    indexes = await db[CONNECTIONS].index_information()
    assert indexes["expiry"]["expireAfterSeconds"] == 0
    assert logs.lines == []


@pytest.mark.gen_test
async def test_a_registry_that_nobody_uses_any_more_is_removed_in_time(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    await leases.admit(entry("c"), limit=5)
    document = await db[CONNECTIONS].find_one({})
    assert document is not None
    (one,) = document["entries"]
    # MongoDB removes it by the index above, not before its last lease has run out.
    assert document["expires_at"] > one["until"]


@pytest.mark.gen_test
async def test_who_is_present_where_by_all_other_workers(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    ada = replace(entry("c1"), name="$ada", looking_at=frozenset(["b", "$a"]))
    for one in (
        ada,
        entry("c2", user="ben", worker="w2"),
        entry("c3", user="cleo", worker="w2"),
        entry("c4", user="ben", project="p2", worker="w2"),
    ):
        assert await leases.admit(one, limit=50)
    assert await leases.present(["p1", "nobody"]) == {"p1": [ada, *(await leases.listed("p1"))[1:]]}
    await _lapse(db, "c3")
    found = await leases.present(["p1", "p2", "p3"], but_worker="w1")
    seen = {project: [one.connection_id for one in of] for project, of in found.items()}
    assert seen == {"p1": ["c2"], "p2": ["c4"]}


@pytest.mark.gen_test
async def test_what_is_looked_at_moves_with_its_connection_only(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    ada, ben = entry("c1"), entry("c2", user="ben")
    for one in (ada, ben):
        assert await leases.admit(one, limit=50)
    await leases.release(ben)
    moved = [replace(one, looking_at=frozenset(["x"]), name="N") for one in (ada, ben)]
    await leases.move(moved)
    assert (await leases.present(["p1"]))["p1"] == moved[:1]
    # A renewal writes what is so at that time.
    await leases.renew([replace(ada, looking_at=frozenset(["y"]))])
    assert (await leases.present(["p1"]))["p1"][0].looking_at == {"y"}
