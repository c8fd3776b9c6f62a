"""One batch to many connections, with and without a ring."""

import asyncio
import errno
from array import array
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.delivery.io_uring import ENTRIES, SendRing
from rtserver.delivery.send_buffer import Outbox
from rtserver.delivery.sender import LEAST_TOGETHER, Sender
from tests.support.fakes import FakeSink
from tests.support.recorder import LogRecorder
from tests.support.waiting import until

LIMIT_BYTES = 100


class FakeRing:
    """Sends to sinks by the numbers that they show."""

    def __init__(self) -> None:
        self.sinks: list[FakeSink] = []
        self.failure: str | None = None
        self.fails_next = False
        self.closed = False
        self.calls = 0

    def sink(self, room: int) -> FakeSink:
        """One that it knows."""
        sink = FakeSink(room=room)
        sink.number = len(self.sinks)
        self.sinks.append(sink)
        return sink

    def send(self, fds: Sequence[int], data: bytes) -> "array[int]":
        self.calls += 1
        if self.fails_next:
            self.failure = "taken away"
            return array("i", [-errno.EAGAIN] * len(fds))
        return array("i", [self._send(fd, data) for fd in fds])

    def _send(self, fd: int, data: bytes) -> int:
        if fd < 0:
            return -errno.EBADF
        return self.sinks[fd].send_now(data) or -errno.EAGAIN

    def close(self) -> None:
        self.closed = True


def _sender(ring: FakeRing) -> Sender:
    return Sender(cast(SendRing, ring))


def _outboxes(
    rooms: Sequence[int], overflows: list[int], ring: FakeRing | None = None
) -> tuple[Outbox, ...]:
    sink = (lambda room: FakeSink(room=room)) if ring is None else ring.sink
    return tuple(
        Outbox(sink(room), LIMIT_BYTES, lambda n=n: overflows.append(n))  # type: ignore[misc]
        for n, room in enumerate(rooms)
    )


def _sink(outbox: Outbox) -> FakeSink:
    sink = outbox._sink
    assert isinstance(sink, FakeSink)
    return sink


def _taken(outbox: Outbox) -> bytes:
    return bytes(_sink(outbox).received)


@given(
    rooms=st.lists(st.integers(0, 200), min_size=LEAST_TOGETHER, max_size=40),
    steps=st.lists(st.integers(1, 70) | st.none(), min_size=1, max_size=8),
    closed=st.sets(st.integers(0, 39), max_size=3),
)
def test_each_gets_what_it_gets_when_they_are_sent_to_one_after_the_other(
    rooms: list[int], steps: list[int | None], closed: set[int]
) -> None:
    async def scenario() -> None:
        overflows: tuple[list[int], list[int]] = ([], [])
        ring = FakeRing()
        ours, theirs = _outboxes(rooms, overflows[0], ring), _outboxes(rooms, overflows[1])
        sender = _sender(ring)
        for number, size in enumerate(steps):
            if size is not None:
                sender.send(ours, bytes([number]) * size)
                Sender().send(theirs, bytes([number]) * size)
                continue
            # Some time passes: what waits is written, and some connections end.
            for outboxes in (ours, theirs):
                for index, outbox in enumerate(outboxes):
                    if index in closed:
                        outbox.close()
                    elif _sink(outbox).writes:
                        _sink(outbox).finish_write()
            await asyncio.sleep(0)
        assert sorted(overflows[0]) == sorted(overflows[1])
        for one, other in zip(ours, theirs, strict=True):
            assert _taken(one) == _taken(other)
            assert one.pending_bytes == other.pending_bytes

    asyncio.run(scenario())


@pytest.mark.gen_test
async def test_many_go_together_and_few_by_themselves() -> None:
    ring = FakeRing()
    outboxes = _outboxes([200] * LEAST_TOGETHER, [], ring)
    _sender(ring).send(outboxes, b"x")
    assert ring.calls == 1
    _sender(ring).send(outboxes[1:], b"y")
    assert ring.calls == 1
    assert [_taken(outbox) for outbox in outboxes] == [b"x"] + [b"xy"] * (LEAST_TOGETHER - 1)


@pytest.mark.gen_test
async def test_the_first_of_very_many_do_not_wait_for_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ring = FakeRing()
    outboxes = _outboxes([200] * (2 * ENTRIES + LEAST_TOGETHER), [], ring)
    last = _sink(outboxes[-1])
    calls_before: list[int] = []

    def asked() -> int:
        calls_before.append(ring.calls)
        return last.number

    monkeypatch.setattr(last, "fileno", asked)
    _sender(ring).send(outboxes, b"x")
    assert calls_before == [2]  # only then: a descriptor holds for the moment
    assert ring.calls == 3
    assert {_taken(outbox) for outbox in outboxes} == {b"x"}


@pytest.mark.gen_test
async def test_what_a_socket_did_not_take_is_written_in_its_own_time() -> None:
    ring = FakeRing()
    outboxes = _outboxes([0, 3, 10, 0, 10, 10, 10, 10], [], ring)
    _sender(ring).send(outboxes, b"abcdef")
    assert [_taken(outbox) for outbox in outboxes[:4]] == [b"", b"abc", b"abcdef", b""]
    for outbox in outboxes:
        for _ in range(len(_sink(outbox).writes)):
            _sink(outbox).finish_write()
    await until(lambda: {_taken(outbox) for outbox in outboxes} == {b"abcdef"}, "the rest")


@pytest.mark.gen_test
async def test_where_the_ring_fails_nobody_misses_anything(logs: LogRecorder) -> None:
    ring = FakeRing()
    outboxes = _outboxes([200] * LEAST_TOGETHER, [], ring)
    sender = _sender(ring)
    sender.send(outboxes, b"1")
    ring.fails_next = True
    sender.send(outboxes, b"2")
    sender.send(outboxes, b"3")
    assert {_taken(outbox) for outbox in outboxes} == {b"123"}
    assert (ring.closed, ring.calls) == (True, 2)
    assert [line for line in logs.lines if "send_ring_failed" in str(line)]
