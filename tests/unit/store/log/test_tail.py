"""The tail on a real MongoDB, and what can happen to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bson import Timestamp
from tornado.ioloop import IOLoop

from rtserver.eventlog.metrics import LogMetrics
from rtserver.model.events import EventPack
from rtserver.observe.metrics import MetricsRegistry
from store.base.client import Database, connect
from store.log import tail as event_tail
from store.log.access import DriverAccess, Following
from store.log.collection import EVENTS, prepare_log
from store.log.tail import EventTail
from tests.support.failpoints import failing_mongod
from tests.support.fakes import draft
from tests.support.recorder import LogRecorder
from tests.support.waiting import running, until
from tests.unit.store.parts import Follower, make_log

pytestmark = pytest.mark.usefixtures("way")


async def _kill_cursors(db: Database) -> int:
    """End every tailing cursor of this database, as a failover would; how many there were."""
    pipeline: list[dict[str, Any]] = [
        {"$currentOp": {"idleCursors": True, "allUsers": True}},
        {"$match": {"ns": f"{db.name}.{EVENTS}", "cursor.tailable": True}},
    ]
    found = [op["cursor"]["cursorId"] async for op in db.client.admin.aggregate(pipeline)]
    if found:
        await db.command({"killCursors": EVENTS, "cursors": found})
    return len(found)


@pytest.mark.gen_test
async def test_what_is_published_comes_once_in_order_with_its_content(db: Database) -> None:
    log = await make_log(db)
    follower = Follower(db, log.epoch)
    async with running(log.run(), follower.tail.run()):
        await log.publish([draft("a", data=1), draft("a", data=2)])
        await log.publish([draft("b", data=3)], key="once")
        await log.publish([draft("a", data=4)])
        await until(lambda: len(follower.packs) >= 3, "three packs")
    assert [(p.project_id, p.first, p.last) for p in follower.packs] == [
        ("a", 1, 2),
        ("b", 1, 1),
        ("a", 3, 3),
    ]
    events = [event for pack in follower.packs for event in pack.events()]
    assert [event.frame()["data"] for event in events] == [1, 2, 3, 4]
    assert {event.epoch for event in events} == {log.epoch}


@pytest.mark.gen_test
async def test_own_packs_need_no_barrier_and_those_of_others_do(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, others = await make_log(db), await make_log(db)
    follower = Follower(db, log.epoch, own=log)
    passed: list[Any] = []
    is_elsewhere: list[bool] = []
    barrier, following = follower.tail._barrier, follower.tail._log.access.following

    @contextlib.asynccontextmanager
    async def perhaps_elsewhere() -> AsyncIterator[Following]:
        async with following() as here:
            yield Following(here.command, lambda: here.is_on_primary() and not is_elsewhere)

    async def counted(newest: Mapping[str, Any], operation_time: Any) -> None:
        passed.append(newest["_id"])
        await barrier(newest, operation_time)

    monkeypatch.setattr(follower.tail, "_barrier", counted)
    monkeypatch.setattr(follower.tail._log.access, "following", perhaps_elsewhere)
    async with running(log.run(), others.run(), follower.tail.run()):
        await log.publish([draft("b")])
        await until(lambda: follower.fresh("b") == [1], "the first")
        passed.clear()
        for _ in range(5):
            await log.publish([draft("a")])
        await until(lambda: follower.fresh("a") == [1, 2, 3, 4, 5], "its own")
        assert passed == []
        await asyncio.gather(*(log.publish([draft(project)]) for project in "cde"))
        await until(lambda: not log._answers, "nothing kept of what was handed on")
        await others.publish([draft("a")], key="theirs")
        await until(lambda: follower.fresh("a") == [1, 2, 3, 4, 5, 6], "the other's")
        assert passed == ["theirs"]
        # Its own too, where the tail was answered by what is not primary any more.
        is_elsewhere.append(True)
        await log.publish([draft("a")], key="mine")
        await until(lambda: follower.fresh("a")[-1:] == [7], "its own, from another node")
        assert passed == ["theirs", "mine"]


@pytest.mark.gen_test
async def test_a_pack_that_is_rolled_back_and_stored_again_behind_others_is_not_handed_on_as_it_was(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A primary without a majority showed it; the next one had it under the same `_id`."""
    log = await make_log(db)
    follower = Follower(db, log.epoch)
    look_up = EventTail._look_up
    moved: list[Any] = []

    async def after_a_failover(self: EventTail, pack: Mapping[str, Any], concern: Any) -> Any:
        if pack["_id"] == "moved" and not moved:
            stored = await db[EVENTS].find_one_and_delete({"_id": "moved"})
            moved.append(stored)
            other = {**first, "_id": "other", "stamp": Timestamp(0, 0), "first": 2, "last": 2}
            again = {**stored, "stamp": Timestamp(0, 0), "first": 3, "last": 3}
            await db[EVENTS].insert_many([other, again])
        return await look_up(self, pack, concern)

    monkeypatch.setattr(EventTail, "_look_up", after_a_failover)
    async with running(log.run(), follower.tail.run()):
        await log.publish([draft("a", data="other")])
        await until(lambda: follower.fresh("a") == [1], "the first")
        first = (await db[EVENTS].find().to_list(1))[0]
        await log.publish([draft("a", data="moved")], key="moved")
        await until(lambda: follower.fresh("a") == [1, 2, 3], "what is there now")
    seen = {
        (pack.first, event.frame()["data"]) for pack in follower.packs for event in pack.events()
    }
    assert seen == {(1, "other"), (2, "other"), (3, "moved")}


@pytest.mark.gen_test
async def test_a_pause_is_over_when_this_worker_has_something_on_its_way(db: Database) -> None:
    """Four publishers waited for a delivery that began only when their answers were all written."""
    log, others = await make_log(db), await make_log(db)
    follower = Follower(db, log.epoch, own=log, under_way=log.under_way)
    async with running(log.run(), others.run()):
        pausing = asyncio.ensure_future(follower.tail._pause(60.0))
        await others.publish([draft("a")])
        assert not pausing.done()
        await log.publish([draft("a")])
        await asyncio.wait_for(pausing, 5)
        # Nobody asks about what another worker was ahead of, or what was refused: no matter.
        assert not log.under_way.is_set()
        await others.publish([draft("a")], key="once")
        assert (await log.publish([draft("a")], key="once")).duplicate
        assert not log.under_way.is_set()
        await follower.tail._pause(0.001)


@pytest.mark.gen_test
async def test_an_answer_that_is_no_plain_success_says_nothing(db: Database) -> None:
    log, others = await make_log(db), await make_log(db)
    async with running(log.run(), others.run()):
        await log.publish([draft("a")], key="mine")
        assert await log.is_durable("mine")
        assert not await log.is_durable("mine")  # asked for once
        await others.publish([draft("a")], key="theirs")
        assert (await log.publish([draft("a")], key="theirs")).duplicate
        assert not await log.is_durable("theirs")


@pytest.mark.gen_test
async def test_a_tail_that_nobody_watches_takes_larger_steps(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_tail, "UNWATCHED_S", 60.0)
    log = await make_log(db)
    watched = asyncio.Event()
    watched.set()
    follower = Follower(db, log.epoch, watched=watched)
    async with running(log.run(), follower.tail.run()):
        await log.publish([draft("a")])
        await until(lambda: len(follower.packs) >= 1, "the first")
        watched.clear()
        for _ in range(10):
            await log.publish([draft("a")])
        # The read that was under way when the last one left may bring some.
        before = follower.batches
        assert before <= 3
        watched.set()
        await until(lambda: follower.fresh("a") == list(range(1, 12)), "all of them, at once")


@pytest.mark.gen_test
async def test_other_work_on_the_same_client_does_not_break_the_tail(db: Database) -> None:
    """The cursor was lost every few milliseconds under load: the driver took another session."""
    log = await make_log(db)
    follower = Follower(db, log.epoch)
    stop = False

    async def noise() -> None:
        while not stop:
            await asyncio.gather(*(db["other"].find_one({}) for _ in range(4)))

    busy = asyncio.ensure_future(noise())
    try:
        async with running(log.run()), running(follower.tail.run()):
            await log.publish([draft("a")])
            # Where there is nothing yet a cursor ends at once.
            await until(follower.tail.ready.is_set, "the tail")
            restarts = follower.restarts()
            for _ in range(39):
                await log.publish([draft("a")])
            await until(lambda: follower.fresh("a")[-1:] == [40], "all of it")
            assert follower.restarts() == restarts
    finally:
        stop = True
        await busy


@pytest.mark.gen_test
async def test_a_batch_that_the_majority_read_misses_at_first_is_asked_for_again(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load a cursor was now and then ahead of the node's own clock: the tail was lost."""
    look_up = EventTail._look_up
    missed = 0

    async def miss_at_first(self: EventTail, pack: Mapping[str, Any], concern: Any) -> Any:
        nonlocal missed
        reply = await look_up(self, pack, concern)
        if concern["level"] == "majority" and missed < 3:
            missed += 1
            reply["cursor"]["firstBatch"] = []
        return reply

    monkeypatch.setattr(EventTail, "_look_up", miss_at_first)
    log = await make_log(db)
    async with running(log.run()):
        await log.publish([draft("a")])  # where there is nothing yet a cursor ends at once
    follower = Follower(db, log.epoch)
    async with running(log.run(), follower.tail.run()):
        await until(follower.tail.ready.is_set, "the tail")
        restarts = follower.restarts()
        await log.publish([draft("a")])
        await until(lambda: follower.fresh("a")[-1:] == [2], "the event")
        assert (missed, follower.restarts()) == (3, restarts)


@pytest.mark.gen_test
async def test_a_tail_that_is_cut_off_again_and_again_leaves_nothing_out(
    db: Database, logs: LogRecorder
) -> None:
    log = await make_log(db)
    follower = Follower(db, log.epoch)
    cut_off = 0
    async with running(log.run(), follower.tail.run()):
        for number in range(60):
            await log.publish([draft("a", data=number)])
            if number % 12 == 6:
                await until(follower.tail.ready.is_set, "the tail")
                cut_off += await _kill_cursors(db)
        await until(lambda: follower.fresh("a")[-1:] == [60], "the last event")
        assert cut_off >= 3
        await until(
            lambda: sum(line["event"] == "tail_lost" for line in logs.lines) >= cut_off,
            "a word on each",
        )
    assert follower.fresh("a") == list(range(1, 61))


@pytest.mark.gen_test
async def test_what_could_not_be_handed_on_comes_again_however_old_it_is(
    db: Database, logs: LogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tail that broke while a long batch was handed on began anew near the batch's end.

    So what the batch held of quiet projects was not seen before their next event.
    """
    monkeypatch.setattr("store.log.tail.REWIND_S", 0)
    logs.expect("tail_failed")
    log = await make_log(db)
    follower = Follower(db, log.epoch)
    broken = 0

    async def break_twice(packs: list[EventPack]) -> None:
        nonlocal broken
        if "quiet" in {pack.project_id for pack in packs} and broken < 2:
            broken += 1
            raise RuntimeError("made up")
        await follower.take(packs)

    follower.receive = break_twice
    async with running(log.run()):
        await log.publish([draft("before")])
        async with running(follower.tail.run()):
            await until(follower.tail.ready.is_set, "the tail")
        # While no tail runs: what follows is one batch of the next one, over more than a second.
        await log.publish([draft("quiet")])
        await asyncio.sleep(1.1)  # stamps count seconds
        await log.publish([draft("loud")])
        async with running(follower.tail.run()):
            await until(lambda: follower.fresh("loud") == [1], "the newest event")
    assert broken == 2
    assert follower.fresh("quiet") == [1]


@pytest.mark.gen_test
async def test_a_log_that_was_dropped_begins_a_new_epoch_and_goes_on(
    db: Database, logs: LogRecorder
) -> None:
    logs.expect("log_lost")
    log = await make_log(db)
    follower = Follower(db, log.epoch)
    async with running(log.run(), follower.tail.run()):
        await log.publish([draft("a")])
        await until(lambda: len(follower.packs) == 1, "the first event")
        before = log.epoch
        await db.drop_collection(EVENTS)
        await until(lambda: bool(follower.epochs), "the new epoch")
        assert follower.epochs == [await prepare_log(db, EVENTS, 1 << 20)]
        log.begin_epoch(follower.epochs[0])
        published = await log.publish([draft("a")])
        await until(lambda: follower.packs[-1].epoch == log.epoch, "the event of the new log")
    assert log.epoch != before
    assert str(follower.packs[-1].events()[0].id) == published.ids[0]


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[EventTail]:
    """Whatever tail looks at its log has an entry for it in what is returned."""
    reads: list[EventTail] = []
    read = EventTail._read

    async def counted(self: EventTail) -> None:
        reads.append(self)
        await read(self)

    monkeypatch.setattr(EventTail, "_read", counted)
    return reads


@pytest.mark.gen_test
async def test_a_tail_starts_before_there_is_anything_to_follow(
    db: Database, logs: LogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first start of a server warned of a lost tail, and counted it, where nothing was lost."""
    reads = count_reads(monkeypatch)
    log = await make_log(db)
    follower = Follower(db, log.epoch)
    async with running(log.run(), follower.tail.run()):
        await until(lambda: len(reads) > 2, "some looks in vain")
        assert not follower.tail.ready.is_set()
        await log.publish([draft("a")])
        await until(lambda: follower.fresh("a") == [1], "the event")
        await until(follower.tail.ready.is_set, "the tail")
    assert follower.restarts() == 0
    assert "tail_lost" not in {line["event"] for line in logs.lines}


async def _counts(db: Database) -> bool:
    return bool(await db[EVENTS].estimated_document_count())


@pytest.mark.parametrize("way", [DriverAccess], indirect=True)
@pytest.mark.gen_test
async def test_a_tail_that_starts_within_the_first_insert_sees_it(
    io_loop: IOLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had a cursor that never showed anything: for MongoDB the document counted already."""
    reads = count_reads(monkeypatch)
    with failing_mongod(tmp_path) as mongod, contextlib.closing(connect(mongod.uri)) as client:
        db = client["first"]
        log = await make_log(db)
        follower = Follower(db, log.epoch)
        with contextlib.ExitStack() as held:
            held.enter_context(mongod.uncommitted_inserts(f"{db.name}.{EVENTS}"))
            async with running(log.run()):
                publishing = asyncio.ensure_future(log.publish([draft("a")]))
                await until(lambda: _counts(db), "a document that counts")
                async with running(follower.tail.run()):
                    await until(lambda: len(reads) > 1 or follower.tail.ready.is_set(), "a look")
                    held.close()
                    await publishing
                    await until(lambda: follower.fresh("a") == [1], "the event")


class SlowMongo:
    """Takes `slow_s` to prepare the log and to tell its time; nothing else is asked of it.

    Attributes:
        since: from when on the tail wants to have what was stored.
        epochs_s: when the tail said that the log is another one.
    """

    collection = EVENTS

    def __init__(self, slow_s: float) -> None:
        self.epochs_s: list[float] = []
        self.access = self
        self.now_s = 1000.0
        self.since: Timestamp | None = None
        self._slow_s = slow_s

    def monotonic(self) -> float:
        return self.now_s

    async def prepare(self) -> str:
        self.now_s += self._slow_s
        return "another"

    async def command(self, _ping: str) -> dict[str, Any]:
        self.now_s += self._slow_s
        return {"operationTime": Timestamp(int(self.now_s), 1)}

    def on_epoch(self, _epoch: str) -> None:
        # From here on clients may come, who want to have what comes next.
        self.epochs_s.append(self.now_s)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[Following]:
        yield Following(self._find, lambda: True)

    async def _find(self, find: dict[str, Any]) -> dict[str, Any]:
        if not find.get("tailable"):
            return {"cursor": {"firstBatch": [{"_id": "something"}]}}
        self.since = find["filter"]["stamp"]["$gte"]
        await asyncio.Event().wait()
        return {}


@pytest.mark.gen_test
async def test_what_is_stored_while_mongodb_is_slow_to_begin_with_is_not_left_out(
    monkeypatch: pytest.MonkeyPatch, logs: LogRecorder
) -> None:
    """The tail began 5 s before MongoDB said its time, which came later than the first event."""
    logs.expect("log_lost")
    mongo: Any = SlowMongo(slow_s=40)
    monkeypatch.setattr(event_tail, "time", SimpleNamespace(monotonic=mongo.monotonic))
    for epoch, begins_s in (("another", 1000.0), ("first", 1160.0)):
        tail = EventTail(mongo, mongo, LogMetrics(MetricsRegistry()), mongo, epoch=epoch)
        mongo.since = None
        async with running(tail.run()):
            await until(lambda: mongo.since is not None, "a cursor")
        assert mongo.since.time <= begins_s
    assert mongo.epochs_s == [1160.0]


@pytest.mark.gen_test
async def test_two_workers_see_the_same_order(db: Database) -> None:
    one, two = await make_log(db), await make_log(db)
    followers = [Follower(db, one.epoch) for _ in range(2)]
    async with running(one.run(), two.run(), *(follower.tail.run() for follower in followers)):
        for _ in range(15):
            await asyncio.gather(
                one.publish([draft("a"), draft("a")]),
                two.publish([draft("a")]),
                two.publish([draft("b")]),
            )
        await until(
            lambda: all(f.fresh("a")[-1:] == [45] and f.fresh("b")[-1:] == [15] for f in followers),
            "all events",
        )
    for follower in followers:
        assert follower.fresh("a") == list(range(1, 46))
        assert follower.fresh("b") == list(range(1, 16))
    bodies = [[event.payload for p in f.packs for event in p.events()] for f in followers]
    assert sorted(set(bodies[0])) == sorted(set(bodies[1]))
