import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.delivery.send_buffer import Outbox
from tests.support.fakes import FakeSink

LIMIT_BYTES = 100


def _run(scenario: Callable[[], Awaitable[None]]) -> None:
    """For properties, which run a scenario many times."""

    async def main() -> None:
        await scenario()

    asyncio.run(main())


async def _settle() -> None:
    """Let callbacks of futures run, and what they start."""
    for _ in range(3):
        await asyncio.sleep(0)


STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 60)),
    st.tuples(st.just("room"), st.integers(0, 80)),
    st.tuples(st.just("finish"), st.just(0)),
)


@given(st.lists(STEPS, max_size=60))
def test_bytes_come_out_as_they_went_in_however_the_socket_takes_them(
    steps: list[tuple[str, int]],
) -> None:
    async def scenario() -> None:
        overflows: list[int] = []
        sink = FakeSink(room=0)
        outbox = Outbox(sink, LIMIT_BYTES, lambda: overflows.append(outbox.pending_bytes))
        accepted = bytearray()
        number = 0
        for step, size in steps:
            if step == "send":
                number += 1
                chunk = bytes([number % 256]) * size
                fits = not outbox.pending_bytes or outbox.pending_bytes + size <= LIMIT_BYTES
                if fits and not overflows:
                    accepted += chunk
                outbox.send(chunk)
            elif step == "room":
                sink.room = size
            elif sink.writes:
                sink.finish_write()
                await _settle()
            assert accepted.startswith(sink.received)
            assert outbox.pending_bytes == len(accepted) - len(sink.received)
            assert outbox.pending_bytes <= max(LIMIT_BYTES, 60)
            assert len(overflows) <= 1
        while sink.writes:
            sink.finish_write()
            await _settle()
        assert sink.received == accepted
        assert outbox.pending_bytes == 0

    _run(scenario)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(0, 40), st.booleans())
def test_last_words_follow_what_waits_and_nothing_follows_them(
    sizes: list[int], room: int, drop: bool
) -> None:
    async def scenario() -> None:
        sink = FakeSink(room)
        outbox = Outbox(sink, sum(sizes), lambda: None)
        for number, size in enumerate(sizes, start=1):
            outbox.send(bytes([number]) * size)
        chunks = b"".join(bytes([number]) * size for number, size in enumerate(sizes, start=1))
        begun = len(sink.received) + sum(len(data) for data, _ in sink.writes)
        words = b"\xff" * (sum(sizes) * 3)  # past the limit
        outbox.last_words(words, drop_waiting=drop)
        outbox.send(b"too late")
        while sink.writes:
            sink.finish_write()
            await _settle()
        # The first write is cut off nowhere, or a frame would be.
        assert sink.received == (chunks[:begun] if drop else chunks) + words
        assert outbox.pending_bytes == 0

    _run(scenario)


@pytest.mark.gen_test
async def test_an_overflow_is_told_once_and_leaves_no_hole() -> None:
    """What is dropped must be the end: a smaller chunk that fits would come after a hole."""
    overflows: list[None] = []
    sink = FakeSink(room=0)
    outbox = Outbox(sink, 10, lambda: overflows.append(None))
    outbox.send(b"12345")
    outbox.send(b"678901")  # overflows
    outbox.send(b"abc")  # would fit
    outbox.send(b"1234567890")
    assert len(overflows) == 1
    sink.finish_write()
    await _settle()
    assert sink.received == b"12345"
    assert not sink.writes


@pytest.mark.gen_test
async def test_waiting_chunks_are_written_together_and_shared_not_copied() -> None:
    sink = FakeSink(room=0)
    outbox = Outbox(sink, 100, lambda: None, separator=b",")
    for chunk in (b"a", b"b", b"c"):
        outbox.send(chunk)
    sink.finish_write()
    await _settle()
    assert [data for data, _ in sink.writes] == [b"b,c"]
    assert outbox.pending_bytes == 2, "separators are not counted"
    sink.finish_write()
    await _settle()
    assert outbox.pending_bytes == 0


@pytest.mark.gen_test
async def test_a_socket_that_takes_all_never_queues() -> None:
    sink = FakeSink()
    outbox = Outbox(sink, 10, lambda: None)
    for _ in range(5):
        outbox.send(b"x" * 1000)
    assert (sink.sends, sink.writes, outbox.pending_bytes) == (5, [], 0)


@pytest.mark.gen_test
async def test_a_lost_connection_wakes_who_waits_and_takes_nothing_more() -> None:
    sink = FakeSink(room=0)
    outbox = Outbox(sink, 100, lambda: None)
    outbox.send(b"abc")
    outbox.send(b"def")
    waiting = asyncio.ensure_future(outbox.drained())
    await asyncio.sleep(0)
    sink.break_write()
    async with asyncio.timeout(5):
        await waiting
    outbox.send(b"ghi")
    outbox.last_words(b"jkl")
    assert sink.received == b""
    assert not sink.writes
    assert outbox.pending_bytes == 0


def test_one_that_is_closed_keeps_its_owner_no_longer() -> None:
    """Else each connection that ended would wait for the collector, which seldom comes."""

    class Owner:
        def __init__(self) -> None:
            self.outbox = Outbox(FakeSink(), 100, self.overflowed)

        def overflowed(self) -> None:
            """Nobody asks."""

    gc.disable()
    try:
        owner = Owner()
        gone = weakref.ref(owner)
        owner.outbox.close()
        del owner
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.gen_test
async def test_closing_under_a_write_in_flight_counts_nothing_twice() -> None:
    sink = FakeSink(room=0)
    outbox = Outbox(sink, 100, lambda: None)
    outbox.send(b"abc")
    outbox.send(b"def")
    outbox.close()
    sink.finish_write()
    await _settle()
    assert outbox.pending_bytes == 0
    assert not sink.writes


@pytest.mark.gen_test
async def test_drained_returns_as_soon_as_little_enough_waits() -> None:
    sink = FakeSink(room=0)
    outbox = Outbox(sink, 100, lambda: None)
    await outbox.drained()
    outbox.send(b"x" * 50)
    outbox.send(b"y" * 30)
    half, all_ = asyncio.ensure_future(outbox.drained(30)), asyncio.ensure_future(outbox.drained())
    await asyncio.sleep(0)
    assert not half.done()
    sink.finish_write()
    await _settle()
    assert (half.done(), all_.done()) == (True, False)
    sink.finish_write()
    await _settle()
    assert all_.done()


@pytest.mark.gen_test
async def test_one_who_gives_up_waiting_does_not_disturb_the_others() -> None:
    sink = FakeSink(room=0)
    outbox = Outbox(sink, 100, lambda: None)
    outbox.send(b"abc")
    impatient, patient = (asyncio.ensure_future(outbox.drained()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait([impatient])
    sink.finish_write()
    async with asyncio.timeout(5):
        await patient
