"""Pages that are shared, on a log whose moments the test chooses."""

import asyncio

import pytest

from rtserver.delivery import log_pages
from rtserver.delivery.log_pages import KEEP_S, LogPages
from rtserver.model.errors import StoreUnavailableError
from tests.support.fakes import MemoryLog, draft
from tests.support.waiting import until

PACK_EVENTS = 10
EVENTS = 1000
TEXT = "x" * 1000


class _Stage:
    def __init__(self, kept_bytes: int = 1 << 20) -> None:
        self.log = MemoryLog()
        self.now_s = 100.0
        self.pages = LogPages(self.log, kept_bytes, lambda: self.now_s)
        for _ in range(EVENTS // PACK_EVENTS):
            self.log.append("p1", *(draft(text=TEXT) for _ in range(PACK_EVENTS)))

    async def numbers(
        self, seq: int, *, upto: int = EVENTS, limit_bytes: int = 20_000
    ) -> list[int]:
        found = await self.pages.after("p1", seq, upto=upto, limit_bytes=limit_bytes)
        assert sum(len(event.payload) for event in found[:-1]) < limit_bytes
        return [event.seq for event in found]


@pytest.mark.gen_test
async def test_part_by_part_it_gives_all_of_the_log_once_and_reads_little_more() -> None:
    stage = _Stage()
    seq, seen = 37, list[int]()
    while seq < 990:
        part = await stage.numbers(seq, upto=990)
        seen += part
        seq = part[-1]
    assert seen == list(range(38, 991))
    assert stage.log.read_bytes < 1.1 * EVENTS * len(TEXT) + PACK_EVENTS * 2000
    assert await stage.numbers(EVENTS) == []
    assert len(await stage.numbers(5, limit_bytes=1)) == 1, "the first in any case"


@pytest.mark.gen_test
async def test_those_who_come_back_together_share_one_read() -> None:
    stage = _Stage()
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    stage.log.before_read = lambda: gate
    asking = [asyncio.ensure_future(stage.numbers(100 + n % 7)) for n in range(40)]
    await until(lambda: stage.log.reads > 0, "the first read")
    for _ in range(3):
        await asyncio.sleep(0)
    gate.set_result(None)
    found = await asyncio.gather(*asking)
    assert [numbers[0] for numbers in found] == [101 + n % 7 for n in range(40)]
    assert stage.log.reads == 1
    await stage.numbers(103)
    await stage.numbers(101)
    assert stage.log.reads == 1, "who comes a little later finds it too"


@pytest.mark.gen_test
async def test_who_is_elsewhere_waits_for_nobody() -> None:
    stage = _Stage()
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gates = [gate]
    stage.log.before_read = lambda: gates.pop() if gates else None
    stage.log.append("p2", draft())
    held = asyncio.ensure_future(stage.numbers(0))
    await until(lambda: stage.log.reads > 0, "the first read")
    assert [event.seq for event in await stage.pages.after("p2", 0, upto=1, limit_bytes=99)] == [1]
    gate.set_result(None)
    assert (await held)[0] == 1


@pytest.mark.gen_test
async def test_a_read_that_fails_fails_for_all_who_wait_for_it_and_no_longer() -> None:
    stage = _Stage()
    stage.log.failures = 1
    found = await asyncio.gather(*(stage.numbers(0) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [StoreUnavailableError] * 3
    assert (await stage.numbers(0))[0] == 1


@pytest.mark.gen_test
async def test_a_reader_that_is_cancelled_leaves_the_others_to_read() -> None:
    stage = _Stage()
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gates = [gate]
    stage.log.before_read = lambda: gates.pop() if gates else None
    first, second = (asyncio.ensure_future(stage.numbers(0)) for _ in range(2))
    await until(lambda: stage.log.reads > 0, "the first read")
    await asyncio.sleep(0)
    first.cancel()
    assert (await second)[0] == 1


@pytest.mark.gen_test
async def test_what_is_kept_is_bounded_and_given_back() -> None:
    stage = _Stage(kept_bytes=1_200_000)
    for seq in range(0, EVENTS, 20):
        await stage.numbers(seq)
        assert stage.pages.kept_bytes <= 1_200_000
    reads = stage.log.reads
    await stage.numbers(EVENTS - 20)
    assert stage.log.reads == reads
    await stage.numbers(0)
    assert stage.log.reads == reads + 1, "the oldest went first"
    stage.now_s += KEEP_S + 1
    await stage.numbers(0)
    stage.pages.sweep()
    assert stage.pages.kept_bytes > 0, "somebody has just asked for it"
    stage.now_s += KEEP_S + 1
    stage.pages.sweep()
    assert stage.pages.kept_bytes == 0


@pytest.mark.gen_test
async def test_a_page_that_is_larger_than_all_that_is_kept_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = _Stage(kept_bytes=1)
    for seq in range(0, 400, 20):
        assert (await stage.numbers(seq))[0] == seq + 1
    assert stage.log.reads == 1
    monkeypatch.setattr(log_pages, "PAGE_EVENTS", 1)
    for project in range(50):  # small ones are counted as if they were not so small
        stage.log.append(f"small-{project}", draft())
        await stage.pages.after(f"small-{project}", 0, upto=1, limit_bytes=99)
    assert stage.pages.kept_bytes == log_pages.LEAST_BYTES


@pytest.mark.gen_test
async def test_what_was_overwritten_shows_as_a_gap() -> None:
    stage = _Stage()
    stage.log.overwrite("p1", 500)
    assert (await stage.numbers(100))[0] == 501
    stage.log.overwrite("p1", EVENTS)
    assert await stage.numbers(100, upto=400) == []


@pytest.mark.gen_test
async def test_another_life_of_the_log_has_other_pages() -> None:
    stage = _Stage()
    assert len(await stage.numbers(0)) > 5
    stage.log.epoch = "f1f1"
    stage.log.packs.clear()
    stage.log.heads.clear()
    stage.log.append("p1", draft())
    assert await stage.numbers(0, upto=1) == [1]
