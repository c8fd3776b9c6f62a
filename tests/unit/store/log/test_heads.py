"""A project goes on counting when its events are gone from the buffer, whoever wrote them."""

import pytest

from rtserver.eventlog.metrics import LogMetrics
from rtserver.observe.metrics import MetricsRegistry
from store.base.client import Database
from store.log.collection import EVENTS, HEADS, prepare_log
from store.log.heads import Heads
from store.log.marks import Marks
from store.log.wire_access import WireAccess
from store.log.writer import MongoEventLog
from tests.support.fakes import draft
from tests.support.waiting import WAIT_S, running, until
from tests.unit.store.parts import Follower

BUFFER_BYTES = 256 * 1024


async def make_log(db: Database, heads: Heads) -> MongoEventLog:
    return MongoEventLog(
        db,
        heads,
        LogMetrics(MetricsRegistry()),
        WireAccess(db),
        marks=Marks(db, EVENTS, heads),
        epoch=await prepare_log(db, EVENTS, BUFFER_BYTES),
        queue_bytes=1 << 20,
        publish_timeout_s=WAIT_S,
    )


async def overwrite_everything(db: Database, log: MongoEventLog, project_id: str) -> None:
    """Publish until nothing that was there before is in the buffer."""
    oldest = await db[EVENTS].find_one(sort=[("$natural", 1)])
    newest = await db[EVENTS].find_one(sort=[("$natural", -1)])
    assert oldest is not None
    assert newest is not None
    while await db[EVENTS].find_one({"_id": newest["_id"]}) is not None:
        await log.publish([draft(project_id, filler="x" * 20_000)])


@pytest.mark.gen_test
async def test_writer_that_was_quiet_while_the_buffer_wrapped_counts_on(db: Database) -> None:
    # The index that refuses a number twice knows only what is in the buffer, so a writer that
    # believed in a head of long ago was once given numbers that had been given before.
    quiet, busy = [await make_log(db, Heads(db, buffer_bytes=BUFFER_BYTES)) for _ in range(2)]
    async with running(quiet.run()), running(busy.run()):
        assert (await quiet.publish([draft("p")])).last == 1
        assert (await busy.publish([draft("p")])).last == 2
        await overwrite_everything(db, busy, "another")
        assert (await quiet.publish([draft("p")])).last == 3
        await overwrite_everything(db, busy, "p")
        head = await busy.head("p")
        assert await busy.head("p", newest=True) == head
        assert (await quiet.publish([draft("p")])).last == head + 1


@pytest.mark.gen_test
async def test_head_of_a_worker_that_died_is_kept_by_those_who_saw_it(db: Database) -> None:
    heads = Heads(db, buffer_bytes=BUFFER_BYTES, flush_interval_s=WAIT_S)
    survivor = await make_log(db, heads)
    follower = Follower(db, survivor.epoch, heads=heads)
    async with running(survivor.run()), running(follower.tail.run()), running(heads.run()):
        await survivor.publish([draft("another")])
        dying = await make_log(db, Heads(db, buffer_bytes=BUFFER_BYTES))
        async with running(dying.run()):
            assert (await dying.publish([draft("p")])).last == 1
        # It ends here, before it could write the head of p.
        assert await db[HEADS].find_one({"_id": "p"}) is None
        await until(lambda: follower.fresh("p") == [1], "the tail")
        await overwrite_everything(db, survivor, "another")

        async def is_kept() -> bool:
            return await db[HEADS].find_one({"_id": "p"}) is not None

        await until(is_kept, "the head's writing")
        assert (await survivor.publish([draft("p")])).last == 2
