"""The registries on a real MongoDB: limits, order, leases."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rtserver.model.connection import ConnectionRecord
from store.base.client import Database, connect
from store.documents.connections import CONNECTIONS, MongoLeases
from tests.support.failpoints import failing_mongod
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


async def lapse(db: Database, *connections: str) -> None:
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
    await lapse(db, *(f"dead{n}" for n in range(4)))
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


async def _place(leases: MongoLeases, *entries: ConnectionRecord) -> None:
    for one in entries:
        assert await leases.admit(one, limit=50)
        await leases.register(one, limit=50)


@pytest.mark.gen_test
async def test_renewed_leases_live_on_and_only_the_workers_own(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    mine, others = entry("mine", worker="w1"), entry("others", worker="w2", user="ben")
    await _place(leases, mine, others)
    await lapse(db, "mine", "others")
    assert await _connections(leases) == []
    assert await leases.renew([mine]) == {"mine"}, "nobody was let in while MongoDB was away"
    assert await _connections(leases) == ["mine"]
    assert not await leases.admit(entry("new", worker="w2"), limit=1)
    # The user's registry too: with the renewed one there are two, one too many.
    assert [f.connection_id for f in await leases.register(entry("next"), limit=1)] == ["mine"]


@pytest.mark.gen_test
async def test_a_renewal_tells_who_lost_a_place_to_others(db: Database) -> None:
    """It put them back beyond the project's limit, and said nothing of the user's."""
    leases = MongoLeases(db, lease_s=LONG_S)
    crowded, evicted, left = entry("a"), entry("b", user="ben"), entry("c", user="eve")
    await _place(leases, crowded, evicted, left)
    await lapse(db, "a")
    assert await leases.admit(entry("new", user="fay"), limit=3)
    assert await leases.register(entry("newer", user="ben"), limit=1) == [evicted]
    assert await leases.renew([crowded, evicted, left]) == {"c"}
    assert sorted(await _connections(leases)) == ["b", "c", "new"]
    assert await leases.renew([entry("never", user="gil", project="p9")]) == set()


@pytest.mark.gen_test
async def test_the_oldest_by_its_own_word_is_the_first_to_go(db: Database) -> None:
    leases = MongoLeases(db, lease_s=LONG_S)
    for n in range(2):
        await leases.register(entry(f"c{n}"), limit=2)
    back = entry("back")
    assert await leases.register(back, limit=2, oldest=True) == [back]
    assert await leases.register(back, limit=3, oldest=True) == []
    assert await leases.register(back, limit=3, oldest=True) == [], "twice is once"
    assert await leases.register(entry("new"), limit=3) == [back]


@pytest.mark.gen_test
async def test_an_answer_that_was_lost_is_understood_when_it_comes_again(tmp_path: Path) -> None:
    """MongoDB 6.0 repeats it without the projection: TypeError, and 200 places for nobody."""
    with failing_mongod(tmp_path) as mongod:
        client = connect(mongod.uri)
        leases = MongoLeases(client["test"], lease_s=LONG_S)
        # After the change was made: the driver sends the command again.
        lost = {
            "writeConcernError": {"code": 64, "errmsg": "lost"},
            "errorLabels": ["RetryableWriteError"],
        }
        many = [entry(f"c{n}", user=f"u{n}") for n in range(3)]
        for lap in range(2):
            mongod.fail_once("findAndModify", f"test.{CONNECTIONS}", lost)
            admitted = await asyncio.gather(*(leases.admit(one, limit=2) for one in many))
            assert admitted == [True, True, False], lap
        mongod.fail_once("findAndModify", f"test.{CONNECTIONS}", lost)
        assert await leases.register(many[0], limit=1) == []
        assert await _connections(leases) == ["c0", "c1"]
        client.close()


@pytest.mark.gen_test
async def test_a_renewal_does_not_take_out_who_was_let_in_meanwhile(db: Database) -> None:
    """Between the list of connections and the renewal another was admitted, and was forgotten."""
    leases = MongoLeases(db, lease_s=LONG_S)
    known = entry("known")
    await _place(leases, known)
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
    await lapse(db, "c3")
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
