"""The log's writer and reader on a real MongoDB."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from rtserver.eventlog.api import (
    Horizon,
    KeyReusedError,
    LogBusyError,
    LogUnavailableError,
    PublicationTooLargeError,
    Published,
)
from rtserver.model.events import EventDraft
from store.base.client import Database, connect
from store.log.collection import EVENTS
from store.log.packing import MAX_PUBLICATION_BYTES
from store.log.writer import MongoEventLog
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy
from tests.support.fakes import draft
from tests.support.mongo import MongodProcess
from tests.support.recorder import LogRecorder
from tests.support.waiting import running, until
from tests.unit.store.parts import make_log

pytestmark = pytest.mark.usefixtures("way")


async def _stored(log: MongoEventLog, project_id: str) -> list[dict[str, Any]]:
    """All frames of a project, read back through the log."""
    head = await log.head(project_id)
    frames: list[dict[str, Any]] = []
    while len(frames) < head:
        packs = await log.read(project_id, after=len(frames), upto=head, limit=100)
        assert packs, f"{len(frames)} of {head} found"
        frames += [event.frame() for pack in packs for event in pack.events(after=len(frames))]
    return frames


@pytest.mark.gen_test
async def test_writers_that_contend_for_the_same_projects_leave_no_hole(db: Database) -> None:
    writers = [await make_log(db) for _ in range(3)]

    async def publish(which: int, count: int) -> list[tuple[str, int, str]]:
        places = []
        for n in range(count):
            project_id = f"p{(n + which) % 3}"
            size = 1 + n % 3
            told = await writers[which].publish(
                [draft(project_id, by=which, n=n, part=part) for part in range(size)],
                key=f"{which}:{n}" if n % 4 == 0 else None,
            )
            assert told.last - told.first + 1 == size
            assert not told.duplicate
            places += [
                (project_id, told.first + part, f"{which}:{n}:{part}") for part in range(size)
            ]
        return places

    async with running(*(writer.run() for writer in writers)):
        told = await asyncio.gather(*(publish(which, 30) for which in (0, 1, 2) for _ in (0,)))
    places = {(project_id, seq): what for some in told for project_id, seq, what in some}
    assert len(places) == sum(map(len, told)), "two publications were given the same number"
    for project_id in ("p0", "p1", "p2"):
        frames = await _stored(writers[0], project_id)
        assert [frame["id"] for frame in frames] == [
            f"{writers[0].epoch}-{seq}" for seq in range(1, len(frames) + 1)
        ]
        for seq, frame in enumerate(frames, start=1):
            assert places.pop((project_id, seq)) == f"{frame['by']}:{frame['n']}:{frame['part']}"
    assert not places


@pytest.mark.gen_test
async def test_everything_that_waits_goes_out_in_few_inserts_in_order(db: Database) -> None:
    log = await make_log(db)
    async with running(log.run()):
        published = await asyncio.gather(
            *(log.publish([draft("p1", n=n)]) for n in range(300)),
        )
    assert [told.first for told in published] == list(range(1, 301))
    assert [frame["n"] for frame in await _stored(log, "p1")] == list(range(300))
    assert await db[EVENTS].count_documents({}) < 10


@pytest.mark.gen_test
async def test_the_order_of_one_publisher_survives_keys_in_between(db: Database) -> None:
    log = await make_log(db)
    async with running(log.run()):
        await asyncio.gather(
            *(
                log.publish([draft("p1", n=n)], key=f"k{n}" if n % 3 == 0 else None)
                for n in range(30)
            )
        )
    assert [frame["n"] for frame in await _stored(log, "p1")] == list(range(30))


@pytest.mark.gen_test
async def test_a_key_stores_once_whoever_brings_it_again(db: Database) -> None:
    one, two = await make_log(db), await make_log(db)
    drafts = [draft("p1", n=1), draft("p1", n=2)]
    async with running(one.run(), two.run()):
        first = await one.publish(drafts, key="k")
        again = await asyncio.gather(
            one.publish(drafts, key="k"),
            one.publish(drafts, key="k"),
            two.publish(drafts, key="k"),
            two.publish([draft("p1", n=2)], key="other"),
        )
    assert (first.first, first.last, first.duplicate) == (1, 2, False)
    assert [(told.first, told.last, told.duplicate) for told in again] == [
        (1, 2, True),
        (1, 2, True),
        (1, 2, True),
        (3, 3, False),
    ]
    assert [frame["n"] for frame in await _stored(one, "p1")] == [1, 2, 2]


@pytest.mark.gen_test
async def test_the_same_key_at_the_same_time_from_two_workers_stores_once(db: Database) -> None:
    logs = [await make_log(db), await make_log(db)]
    async with running(*(log.run() for log in logs)):
        told = await asyncio.gather(
            *(log.publish([draft("p1", n=1)], key="k") for log in logs for _ in range(5))
        )
    assert sorted(one.duplicate for one in told) == [False] + [True] * 9
    assert {one.first for one in told} == {1}
    assert len(await _stored(logs[0], "p1")) == 1


@pytest.mark.gen_test
async def test_a_key_that_stands_for_something_else_is_refused_and_holds_up_nobody(
    db: Database,
) -> None:
    log = await make_log(db)
    one = draft("p1", n=1)
    others = [
        [draft("p1", n=2)],
        [EventDraft("p1", "test.event", {"n": 1}, proposal_id="x")],
        [draft("p1", "test.other", n=1)],
        [one, one],
    ]
    async with running(log.run()):
        await log.publish([one], key="k")
        results = await asyncio.gather(
            *(log.publish(drafts, key="k") for drafts in others),
            log.publish([draft("p1", n=3)]),
            # Another time of day is the same content.
            log.publish([EventDraft("p1", "test.event", {"n": 1})], key="k"),
            return_exceptions=True,
        )
    assert [type(result) for result in results[:4]] == [KeyReusedError] * 4
    assert [frame["n"] for frame in await _stored(log, "p1")] == [1, 3]
    assert not isinstance(results[5], BaseException)
    assert results[5].duplicate


@contextlib.asynccontextmanager
async def _behind_proxy(
    mongod: MongodProcess, db: Database
) -> AsyncIterator[tuple[CuttingProxy, MongoEventLog]]:
    """A log whose connection to MongoDB the test can cut."""
    async with cutting_proxy(mongod.uri) as proxy:
        client = connect(proxy.uri)
        try:
            log = await make_log(client[db.name])
            async with running(log.run()):
                yield proxy, log
        finally:
            await asyncio.to_thread(client.close)  # it says good-bye through the proxy


@pytest.mark.gen_test
async def test_what_was_stored_although_the_answer_was_lost_is_not_stored_again(
    mongod: MongodProcess, db: Database, logs: LogRecorder, way: Any
) -> None:
    reader = await make_log(db)
    async with _behind_proxy(mongod, db) as (proxy, log):
        await log.publish([draft("p1", n=0)])
        proxy.cuts_after = 1
        told = await asyncio.gather(
            log.publish([draft("p1", n=1), draft("p1", n=2)]),
            log.publish([draft("p1", n=3)], key="k"),
            log.publish([draft("p2", n=4)]),
        )
        assert proxy.cuts_after == 0
        again = await log.publish([draft("p1", n=3)], key="k")
        await log.publish([draft("p1", n=5)])
    assert [(one.first, one.last) for one in told] == [(2, 3), (4, 4), (1, 1)]
    assert (again.first, again.duplicate) == (4, True)
    assert [frame["n"] for frame in await _stored(reader, "p1")] == [0, 1, 2, 3, 5]
    assert [frame["n"] for frame in await _stored(reader, "p2")] == [4]
    assert "log_write_failed" in [line["event"] for line in logs.lines]


@pytest.mark.gen_test
async def test_what_was_not_stored_when_the_connection_broke_is_stored_then(
    mongod: MongodProcess, db: Database
) -> None:
    reader = await make_log(db)
    async with _behind_proxy(mongod, db) as (proxy, log):
        proxy.cuts_before = 4
        told = await asyncio.gather(*(log.publish([draft("p1", n=n)]) for n in range(5)))
        assert proxy.cuts_before == 0
    assert [one.first for one in told] == [1, 2, 3, 4, 5]
    assert [frame["n"] for frame in await _stored(reader, "p1")] == [0, 1, 2, 3, 4]


@pytest.mark.gen_test
async def test_losing_answers_again_and_again_beside_another_writer_loses_and_doubles_nothing(
    mongod: MongodProcess, db: Database
) -> None:
    other = await make_log(db)
    async with _behind_proxy(mongod, db) as (proxy, log), running(other.run()):
        for n in range(6):
            proxy.cuts_after, proxy.cuts_before = (2, 0) if n % 3 == 1 else (0, 2 * (n % 3 == 2))
            await asyncio.gather(
                log.publish([draft("p1", by="cut", n=n)]),
                other.publish([draft("p1", by="other", n=n)]),
            )
    frames = await _stored(other, "p1")
    assert [frame["id"] for frame in frames] == [f"{log.epoch}-{seq}" for seq in range(1, 13)]
    for by in ("cut", "other"):
        assert [frame["n"] for frame in frames if frame["by"] == by] == list(range(6))


@pytest.mark.gen_test
async def test_a_lookup_that_fails_does_not_end_the_writer(
    mongod: MongodProcess, db: Database
) -> None:
    """A connection that broke just after a duplicate was found stopped all publishing for good."""
    async with _behind_proxy(mongod, db) as (proxy, log):
        await log.publish([draft("p1", n=1)], key="k")
        proxy.command, proxy.cuts_before = "find", 2
        again = await log.publish([draft("p1", n=1)], key="k")
        assert proxy.cuts_before == 0
        assert (again.first, again.duplicate) == (1, True)
        assert (await log.publish([draft("p1", n=2)])).first == 2


@pytest.mark.gen_test
async def test_what_cannot_be_written_at_all_stops_nobody_else(
    db: Database, logs: LogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document that MongoDB refuses was tried for ever, and all publishing waited for it."""
    logs.expect("log_cannot_take")
    monkeypatch.setattr("store.log.writer.MAX_PUBLICATION_BYTES", 1 << 30)
    log = await make_log(db, buffer_bytes=256 << 20, queue_bytes=1 << 30)
    huge = [draft("p1", text="x" * 60_000) for _ in range(300)]  # more than a document may have
    async with running(log.run()):
        results = await asyncio.gather(
            log.publish([draft("p1", n=1)], key="a"),
            log.publish(huge),
            log.publish([draft("p1", n=2)], key="b"),
            return_exceptions=True,
        )
        assert (await log.publish([draft("p1", n=3)])).first == 3
    assert isinstance(results[1], LogUnavailableError)
    assert [frame["n"] for frame in await _stored(log, "p1")] == [1, 2, 3]


@pytest.mark.gen_test
async def test_what_no_document_can_hold_is_refused_before_it_waits(db: Database) -> None:
    log = await make_log(db, buffer_bytes=256 << 20)
    with pytest.raises(PublicationTooLargeError):
        await log.publish([draft("p1", text="\U0001f600" * 15_000) for _ in range(300)])
    async with running(log.run()):
        # The most that is taken fits indeed, and comes back whole.
        count = 480
        text = "x" * (MAX_PUBLICATION_BYTES // count - 256)
        told = await log.publish([draft("p1", text=text) for _ in range(count)])
        assert told.last == count
    (pack,) = await log.read("p1", after=0, upto=count, limit=count, limit_bytes=1 << 24)
    assert len(pack.events()) == count


@pytest.mark.gen_test
async def test_a_publication_takes_a_part_of_a_small_buffer_at_most(db: Database) -> None:
    """One that was larger than the buffer was tried for ever."""
    log = await make_log(db, buffer_bytes=1 << 20)
    with pytest.raises(PublicationTooLargeError, match="262144 bytes"):
        await log.publish([draft("p1", text="x" * 50_000) for _ in range(6)])
    async with running(log.run()):
        assert (await log.publish([draft("p1", text="x" * 50_000) for _ in range(5)])).last == 5


@pytest.mark.gen_test
async def test_a_publication_is_of_one_project_and_of_at_most_500_events(db: Database) -> None:
    log = await make_log(db)
    for drafts in ([], [draft("a"), draft("b")], [draft("a")] * 501):
        with pytest.raises(ValueError, match="1 to 500 events of one project"):
            await log.publish(drafts)
    async with running(log.run()):
        assert (await log.publish([draft("a")] * 500)).last == 500


@pytest.mark.gen_test
async def test_a_full_queue_refuses_at_once_and_takes_again_when_it_has_room(db: Database) -> None:
    log = await make_log(db, queue_bytes=1000)
    waiting = [asyncio.ensure_future(log.publish([draft("p1", text="x" * 300)])) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(LogBusyError) as refused:
        await log.publish([draft("p1", text="x" * 300)])
    assert refused.value.retry_after_s >= 1
    async with running(log.run()):
        await asyncio.gather(*waiting)
        await log.publish([draft("p1", text="x" * 5000)])  # alone it may be larger than the queue
        await log.drain()
    assert len(await _stored(log, "p1")) == 3


@pytest.mark.gen_test
async def test_each_of_several_is_stored_once_in_their_order_or_none_is_taken(db: Database) -> None:
    log = await make_log(db, queue_bytes=1000)
    keyed = [(f"k{n}", draft(f"p{n % 2}", n=n)) for n in range(6)]
    async with running(log.run()):
        first = await log.publish_each(keyed[:4])
        # Some are there already, one of them with other content; the rest follows.
        again = await log.publish_each([*keyed[:3], ("k3", draft("p1", n=-3)), *keyed[4:]])
        await log.drain()
    assert [answer.duplicate for answer in first if isinstance(answer, Published)] == [False] * 4
    assert [isinstance(answer, KeyReusedError) for answer in again] == [n == 3 for n in range(6)]
    assert [frame["n"] for frame in await _stored(log, "p0")] == [0, 2, 4]
    assert [frame["n"] for frame in await _stored(log, "p1")] == [1, 3, 5]

    waiting = asyncio.ensure_future(log.publish([draft("p1", n=7, text="x" * 300)]))
    await asyncio.sleep(0)
    with pytest.raises(LogBusyError):
        await log.publish_each([("k8", draft("p1", n=8)), ("k9", draft("p1", text="x" * 900))])
    async with running(log.run()):
        await waiting
        await log.drain()
    assert [frame["n"] for frame in await _stored(log, "p1")] == [1, 3, 5, 7]


@pytest.mark.gen_test
async def test_who_waits_is_told_when_the_writer_stops(mongod: MongodProcess, db: Database) -> None:
    """What was on its way to MongoDB was not, and such a publisher may wait without end."""
    async with cutting_proxy(mongod.uri) as proxy:
        client = connect(proxy.uri)
        log = await make_log(client[db.name])
        proxy.release = asyncio.Event()
        async with running(log.run()):
            under_way = asyncio.ensure_future(log.publish([draft("p1")], timeout_s=math.inf))
            await proxy.held.wait()
            waiting = asyncio.ensure_future(log.publish([draft("p1")], timeout_s=math.inf))
            await asyncio.sleep(0)
        for one in (under_way, waiting):
            with pytest.raises(LogUnavailableError):
                async with asyncio.timeout(20):
                    await one
        proxy.release.set()
        await asyncio.to_thread(client.close)


@pytest.mark.gen_test
async def test_who_gives_up_waiting_may_still_be_heard(db: Database) -> None:
    log = await make_log(db)
    with pytest.raises(LogUnavailableError, match="may still be stored"):
        await log.publish([draft("p1", n=1)], timeout_s=0.01)
    async with running(log.run()):
        await log.drain()
    assert [frame["n"] for frame in await _stored(log, "p1")] == [1]


@pytest.mark.gen_test
async def test_heads_outlive_the_buffer_and_reading_begins_where_it_does(db: Database) -> None:
    log = await make_log(db, buffer_bytes=64 * 1024)
    text = "x" * 900
    async with running(log.run()):
        await log.publish([draft("quiet", n=1), draft("quiet", n=2)])
        for _ in range(40):
            await log.publish([draft("loud", text=text) for _ in range(10)])

        async def is_gone() -> bool:
            return await db[EVENTS].find_one({"project_id": "quiet"}) is None

        await until(is_gone, "the buffer's wrapping")
        assert await log.head("quiet") == 2
        assert await log.oldest("quiet") == 3
        assert await log.horizon("quiet") == Horizon(3, None)
        assert await log.read("quiet", after=0, upto=2, limit=10) == []
        # Another worker, which has never seen the project, goes on counting.
        other = await make_log(db, buffer_bytes=64 * 1024)
        async with running(other.run()):
            assert (await other.publish([draft("quiet", n=3)])).first == 3
        oldest = await log.oldest("loud")
        assert 1 < oldest <= 400
        horizon = await log.horizon("loud")
        assert horizon.oldest == oldest
        assert horizon.stored_at_s is not None
        assert abs(horizon.stored_at_s - time.time()) < 60
        packs = await log.read("loud", after=0, upto=400, limit=1000)
        assert packs[0].first == oldest
        assert packs[-1].last == 400
    assert await log.head("nobody") == 0
    assert await log.oldest("nobody") == 1


@pytest.mark.gen_test
async def test_the_first_event_comes_while_the_oldest_is_asked_for(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest was taken for the one after the first, and the first so for removed.

    `audit verify` reported it: a worker had written down what the buffer held while another one
    stored the first record of all.
    """
    log, other = await make_log(db), await make_log(db)
    read = log._heads.read

    async def slowly(project_id: str, *, durable: bool) -> int:
        await other.publish([draft("a"), draft("a")])
        return await read(project_id, durable=durable)

    async with running(other.run()):
        monkeypatch.setattr(log._heads, "read", slowly)
        assert await log.oldest("a") == 1


@pytest.mark.gen_test
async def test_reading_gives_the_packs_that_hold_what_is_asked_for(db: Database) -> None:
    log = await make_log(db)
    async with running(log.run()):
        for size in (3, 1, 500, 2):
            await log.publish([draft("p1")] * size)

    async def ranges(after: int, upto: int, limit: int = 10_000) -> list[tuple[int, int]]:
        packs = await log.read("p1", after=after, upto=upto, limit=limit)
        return [(pack.first, pack.last) for pack in packs]

    assert await ranges(0, 506) == [(1, 3), (4, 4), (5, 504), (505, 506)]
    assert await ranges(2, 4) == [(1, 3), (4, 4)]
    assert await ranges(503, 504) == [(5, 504)], "a pack that begins long before"
    assert await ranges(506, 600) == []
    assert await ranges(0, 506, limit=4) == [(1, 3), (4, 4)]


@pytest.mark.gen_test
async def test_what_is_stored_is_what_was_published(db: Database) -> None:
    log = await make_log(db)
    fields: dict[str, Any] = {
        "text": "ä\u2028\x00\U0001f600",
        "deep": [{"a": [None, True, 1.5, -(2**60)]}],
        "": "",
    }
    async with running(log.run()):
        await log.publish([draft("p1", **fields)])
    (frame,) = await _stored(log, "p1")
    assert {key: frame[key] for key in fields} == fields
    assert msgspec.json.decode(msgspec.json.encode(frame)) == frame
