"""What becomes of a client that says where it left off, on a log whose moments the test chooses."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtserver.delivery.feed import Feed
from rtserver.delivery.resume import AHEAD_WAIT_S, ResumeOutcome, Resumption, Sight, decide
from rtserver.model.audience import viewers_of
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventDraft, EventPack
from tests.support.fakes import EPOCH, MemoryLog, draft
from tests.support.waiting import until

EVERYTHING = Sight.by_audience(lambda _audience: True)


def _feed(log: MemoryLog, *, remember: int = 0) -> Feed:
    """The project as a worker sees it whose tail has come as far as the log."""
    feed = Feed("p1", 1 << 20)
    feed.seq = log.heads.get("p1", 0)
    if remember:
        events = [event for pack in log.packs["p1"] for event in pack.events()]
        feed.recent.extend(events[-remember:])
    return feed


def _log(count: int, *, overwritten: int = 0) -> MemoryLog:
    log = MemoryLog()
    for _ in range(count):
        log.append("p1", draft())
    log.overwrite("p1", overwritten)
    return log


async def _decide(
    log: MemoryLog,
    position: str | None,
    *,
    remember: int = 0,
    sight: Sight = EVERYTHING,
) -> Resumption:
    return await decide(log, _feed(log, remember=remember), position, sight)


@pytest.mark.gen_test
@pytest.mark.parametrize("position", [None, ""])
async def test_who_asks_for_nothing_begins_at_the_tip(position: str | None) -> None:
    for count in (0, 5):
        found = await _decide(_log(count), position)
        assert found == Resumption(ResumeOutcome.FRESH, count, count)


@pytest.mark.gen_test
async def test_at_the_tip_nothing_is_missed_however_old_it_is() -> None:
    for log in (_log(5), _log(5, overwritten=5)):
        found = await _decide(log, f"{EPOCH}-5")
        assert found == Resumption(ResumeOutcome.NOTHING_MISSED, 5, 5, requested=f"{EPOCH}-5")
    found = await _decide(MemoryLog(), f"{EPOCH}-0")
    assert found.outcome is ResumeOutcome.NOTHING_MISSED


@pytest.mark.gen_test
@pytest.mark.parametrize("remember", [0, 2, 5])
async def test_what_came_since_is_replayed_from_memory_or_from_the_log(remember: int) -> None:
    for seq in range(5):
        found = await _decide(_log(5), f"{EPOCH}-{seq}", remember=remember)
        assert found == Resumption(
            ResumeOutcome.REPLAYED, seq, 5, requested=f"{EPOCH}-{seq}", replayed=5 - seq
        )


@pytest.mark.gen_test
async def test_only_what_the_client_may_see_is_counted() -> None:
    log = MemoryLog()
    for n in range(10):
        audience = viewers_of("a" if n % 3 else "b")
        log.append("p1", EventDraft("p1", "test.event", {"n": n}, audience))
    for remember in (0, 4, 10):
        found = await _decide(
            log,
            f"{EPOCH}-1",
            remember=remember,
            sight=Sight.by_audience(viewers_of("b").__eq__),
        )
        assert (found.outcome, found.replayed, found.from_seq) == (ResumeOutcome.REPLAYED, 3, 1)
    found = await _decide(log, f"{EPOCH}-9", sight=Sight.by_audience(viewers_of("a").__eq__))
    assert (found.outcome, found.replayed) == (ResumeOutcome.REPLAYED, 0)


@pytest.mark.gen_test
@pytest.mark.parametrize("remember", [0, 3])
async def test_past_the_buffer_the_loss_is_exact(remember: int) -> None:
    log = _log(10, overwritten=6)  # 7 is the oldest
    found = await _decide(log, f"{EPOCH}-5", remember=remember)
    assert found == Resumption(
        ResumeOutcome.LOST, 10, 10, requested=f"{EPOCH}-5", lost=5, oldest_seq=7
    )
    found = await _decide(log, f"{EPOCH}-6", remember=remember)
    assert (found.outcome, found.replayed) == (ResumeOutcome.REPLAYED, 4), "7 follows 6"


@pytest.mark.gen_test
async def test_when_everything_is_overwritten_there_is_no_oldest() -> None:
    found = await _decide(_log(10, overwritten=10), f"{EPOCH}-3")
    assert found == Resumption(
        ResumeOutcome.LOST, 10, 10, requested=f"{EPOCH}-3", lost=7, oldest_seq=None
    )


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "position", ["zzzz-3", f"{EPOCH}-99", "nonsense", "-", f"{EPOCH}-", "x" * 10_000, "\x00"]
)
async def test_a_position_of_no_life_of_this_log_is_lost_without_a_count(position: str) -> None:
    found = await _decide(_log(10, overwritten=2), position)
    assert (found.outcome, found.lost, found.oldest_seq) == (ResumeOutcome.LOST, None, 3)
    assert (found.from_seq, found.tip_seq) == (10, 10)
    assert found.requested is not None
    assert len(found.requested) <= 128, "what was sent is not repeated at any length"


@pytest.mark.gen_test
async def test_a_client_that_saw_more_than_this_worker_waits_for_its_tail() -> None:
    """The client was on a worker that is faster. It has missed nothing, and loses nothing."""
    log = _log(10)
    for reach, outcome in ((8, ResumeOutcome.NOTHING_MISSED), (10, ResumeOutcome.REPLAYED)):
        feed = _feed(log)
        feed.seq = 5
        deciding = asyncio.ensure_future(decide(log, feed, f"{EPOCH}-8", EVERYTHING))
        await until(lambda: log.reads > 0, "the question for the head")
        assert not deciding.done()
        feed.seq = reach
        found = await deciding
        assert (found.outcome, found.from_seq, found.tip_seq) == (outcome, 8, reach)
        assert found.replayed == reach - 8


@pytest.mark.gen_test
async def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtserver.delivery.resume.AHEAD_WAIT_S", AHEAD_WAIT_S / 50)
    log = _log(10)
    feed = _feed(log)
    feed.seq = 5
    with pytest.raises(StoreUnavailableError):
        await decide(log, feed, f"{EPOCH}-8", EVERYTHING)


@pytest.mark.gen_test
async def test_what_a_primary_remembers_that_was_cut_off_is_not_taken_for_a_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = _log(10)
    feed = _feed(log)
    feed.seq = 5
    head = log.head

    async def of_a_stale_primary(project_id: str, *, newest: bool = False) -> int:
        seq = await head(project_id)
        feed.seq = seq  # the tail goes on meanwhile
        return seq if newest else 5

    monkeypatch.setattr(log, "head", of_a_stale_primary)
    found = await decide(log, feed, f"{EPOCH}-8", EVERYTHING)
    assert (found.outcome, found.replayed) == (ResumeOutcome.REPLAYED, 2)


@pytest.mark.gen_test
async def test_a_log_that_cannot_be_read_is_said_so() -> None:
    log = _log(10)
    log.failures = 1
    with pytest.raises(StoreUnavailableError):
        await _decide(log, f"{EPOCH}-3")


@pytest.mark.gen_test
async def test_after_a_gap_of_the_worker_itself_memory_is_not_taken_for_the_log() -> None:
    """It said that everything had been replayed, and replayed nothing."""
    log = _log(10, overwritten=8)
    feed = Feed("p1", 1 << 20)
    feed.recent.extend(
        EventPack("p1", EPOCH, 1, 3, [p.items[0] for p in _log(3).packs["p1"]]).events()
    )
    feed.seq = 10  # 4 to 8 were overwritten before this worker could read them
    found = await decide(log, feed, f"{EPOCH}-3", EVERYTHING)
    assert (found.outcome, found.lost) == (ResumeOutcome.LOST, 7)


@settings(max_examples=60)
@given(
    count=st.integers(0, 30),
    overwritten=st.integers(0, 30),
    remember=st.integers(0, 30),
    seq=st.integers(0, 40),
)
def test_replayed_and_lost_add_up(count: int, overwritten: int, remember: int, seq: int) -> None:
    async def scenario() -> None:
        log = _log(count, overwritten=min(overwritten, count))
        oldest = min(overwritten, count) + 1
        kept = min(remember, count - oldest + 1)
        found = await _decide(log, f"{EPOCH}-{seq}", remember=kept)
        if seq > count:
            assert (found.outcome, found.lost) == (ResumeOutcome.LOST, None)
        elif seq == count:
            assert found.outcome is ResumeOutcome.NOTHING_MISSED
        elif seq + 1 >= oldest:
            assert found.outcome is ResumeOutcome.REPLAYED
            assert found.replayed == count - seq
        else:
            assert found.outcome is ResumeOutcome.LOST
            assert found.lost == count - seq
        assert found.tip_seq == count

    asyncio.run(scenario())


@pytest.mark.gen_test
async def test_what_was_missed_is_counted_part_by_part_and_never_read() -> None:
    log = MemoryLog()
    for _ in range(25):
        log.append("p1", *(draft() for _ in range(1000)))
    ranges: list[tuple[int, int]] = []
    count = log.count

    async def noted(project_id: str, *, after: int, upto: int, **sees: Any) -> int:
        ranges.append((after, upto))
        return await count(project_id, after=after, upto=upto, **sees)

    log.count = noted  # type: ignore[method-assign]
    feed = _feed(log)
    found = [await decide(log, feed, f"{EPOCH}-{seq}", EVERYTHING) for seq in (3, 7, 12_000)]
    assert [one.replayed for one in found] == [24_997, 24_993, 13_000]
    shared = [(10_000, 20_000), (20_000, 25_000)]
    assert ranges == [(3, 10_000), *shared, (7, 10_000), *shared, (12_000, 20_000), shared[-1]]
    assert log.read_bytes == 0


@pytest.mark.gen_test
async def test_who_looks_at_the_events_themselves_has_them_counted_so() -> None:
    log = _log(5_000)
    even = Sight(lambda event: event.seq % 2 == 0)
    found = await decide(log, _feed(log), f"{EPOCH}-1001", even)
    assert (found.outcome, found.replayed) == (ResumeOutcome.REPLAYED, 2_000)
