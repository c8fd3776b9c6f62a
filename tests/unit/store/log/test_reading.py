"""Reading a log in parts that are bounded in bytes, and counting it, on a real MongoDB."""

import asyncio
from typing import Any

import pytest

from rtserver.eventlog.api import READ_BYTES
from rtserver.model.audience import WHOLE_PROJECT, Audience, members_of, viewers_of
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventDraft, EventPack, pack_item
from store.base.client import Database
from store.log import reading
from store.log.collection import EVENTS, pack_document, prepare_log
from store.log.reading import Reader
from tests.support.fakes import draft
from tests.support.waiting import until


class _Log:
    """A log whose documents the test inserts as they are."""

    def __init__(self, db: Database) -> None:
        self.events = db[EVENTS]
        self.reader = Reader(self.events)
        self.head = 0
        self.identity = 0

    async def insert(self, *packs: list[EventDraft]) -> None:
        documents = []
        for drafts in packs:
            self.identity += 1
            items = [pack_item(one) for one in drafts]
            documents.append(pack_document(self.identity, "p1", self.head + 1, items, None))
            self.head += len(drafts)
        await self.events.insert_many(documents)

    async def read(
        self, after: int, *, limit: int = 10_000, limit_bytes: int = READ_BYTES, upto: int = 10_000
    ) -> list[EventPack]:
        return await self.reader.read(
            "p1", "e0", after=after, upto=upto, limit=limit, limit_bytes=limit_bytes
        )

    async def all_in_parts(self, after: int, limit_bytes: int) -> tuple[list[int], int]:
        """The numbers of all events from there on, and how large the largest part was."""
        seqs: list[int] = []
        largest_bytes = 0
        while packs := await self.read(after, limit_bytes=limit_bytes):
            events = [event for pack in packs for event in pack.events(after=after)]
            largest_bytes = max(largest_bytes, sum(len(event.payload) for event in events))
            seqs += [event.seq for event in events]
            after = packs[-1].last
        return seqs, largest_bytes


def _texts(count: int, size: int) -> list[EventDraft]:
    return [draft(text="x" * size) for _ in range(count)]


async def _prepared(db: Database) -> _Log:
    await prepare_log(db, EVENTS, 16 << 20)
    return _Log(db)


@pytest.mark.gen_test
async def test_parts_are_bounded_in_bytes_whatever_the_documents_are(db: Database) -> None:
    log = await _prepared(db)
    await log.insert(*(_texts(1, 10) for _ in range(100)))  # many small
    await log.insert(*(_texts(50, 4_000) for _ in range(5)))  # large ones
    await log.insert(*(_texts(1, 10) for _ in range(30)))
    await log.insert(_texts(400, 5_000))  # one that is larger than a part
    await log.insert(*(_texts(1, 10) for _ in range(3)))
    for after in (0, 137, 500, 600):
        for limit_bytes in (100_000, 500_000):
            seqs, largest_bytes = await log.all_in_parts(after, limit_bytes)
            assert seqs == list(range(after + 1, log.head + 1))
            assert largest_bytes <= max(limit_bytes, 210_000 if after < 350 else 0)


@pytest.mark.gen_test
async def test_many_small_documents_are_read_at_once(db: Database) -> None:
    log = await _prepared(db)
    await log.insert(*(_texts(1, 10) for _ in range(600)))
    packs = await log.read(0, limit=500)
    assert [pack.first for pack in packs] == list(range(1, 501))
    assert [pack.first for pack in await log.read(0, limit=3)] == [1, 2, 3]


@pytest.mark.gen_test
async def test_of_what_is_too_large_a_part_is_read_from_any_place(db: Database) -> None:
    log = await _prepared(db)
    await log.insert(_texts(5, 10), _texts(500, 1_000), _texts(1, 10))
    (pack,) = await log.read(250, limit_bytes=100_000)
    assert (pack.first, len(pack.items)) == (251, pack.last - 250)
    assert 50 < len(pack.items) < 110
    assert pack.events(after=250)[0].seq == 251
    (last,) = await log.read(504, limit_bytes=1, upto=505)
    assert (last.first, last.last) == (505, 505)


@pytest.mark.gen_test
async def test_a_part_ends_before_a_hole(db: Database) -> None:
    log = await _prepared(db)
    await log.insert(_texts(2, 10), _texts(2, 10), _texts(2, 10))
    await log.events.delete_one({"first": 3})
    assert [pack.first for pack in await log.read(0)] == [1]
    assert [pack.first for pack in await log.read(2)] == [5]
    assert await log.read(2, upto=4) == []


@pytest.mark.gen_test
async def test_what_somebody_may_see_is_counted_without_its_text(db: Database) -> None:
    log = await _prepared(db)
    few = members_of("a", frozenset({"ada", "ben"}))
    audiences = [viewers_of("a"), WHOLE_PROJECT, few, WHOLE_PROJECT, viewers_of("b")]
    drafts = [EventDraft("p1", "test.event", {}, one) for one in audiences * 20]
    await log.insert(drafts[:33], drafts[33:34], drafts[34:])
    sights: list[Any] = [
        lambda _audience: True,
        lambda audience: audience == viewers_of("b"),
        lambda audience: "ben" in audience.users,
        lambda audience: audience.proposal_id is None,
    ]
    for after, upto in ((0, 100), (7, 100), (32, 35), (33, 34), (0, 9), (100, 100)):
        of_log = [one.audience for one in drafts[after:upto]]
        counts = await asyncio.gather(
            *(log.reader.count(("p1", after, upto), sees) for sees in sights)
        )
        assert counts == [sum(map(sees, of_log)) for sees in sights]


@pytest.mark.gen_test
async def test_those_who_count_the_same_share_the_work(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await _prepared(db)
    await log.insert(_texts(10, 10))
    ranges: list[tuple[int, int]] = []
    audiences = reading.audiences

    def counted(collection: Any, project_id: str, *, after: int, upto: int) -> Any:
        ranges.append((after, upto))
        return audiences(collection, project_id, after=after, upto=upto)

    monkeypatch.setattr(reading, "audiences", counted)
    counts = await asyncio.gather(*(log.reader.count(("p1", 0, 10), _anybody) for _ in range(40)))
    assert counts == [10] * 40
    assert len(ranges) <= 2


def _anybody(_audience: Audience) -> bool:
    return True


@pytest.mark.gen_test
async def test_few_read_at_once_and_nobody_waits_for_ever(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await _prepared(db)
    await log.insert(_texts(3, 10))
    gate = asyncio.Event()
    under_way = 0
    read_documents = reading.read_documents

    async def slowly(*where: Any, **what: Any) -> Any:
        nonlocal under_way
        under_way += 1
        await gate.wait()
        return await read_documents(*where, **what)

    monkeypatch.setattr(reading, "read_documents", slowly)
    held = [asyncio.ensure_future(log.read(0)) for _ in range(reading.MAX_READS + 3)]
    await until(lambda: under_way == reading.MAX_READS, "all turns taken")
    monkeypatch.setattr(reading, "TURN_S", 0.01)
    with pytest.raises(StoreUnavailableError):
        await log.read(0)
    assert under_way == reading.MAX_READS
    gate.set()
    assert all(len(packs) == 1 for packs in await asyncio.gather(*held))
