"""One batch to many connections, by one thread or two."""

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver import sending
from rtserver.outbox import Outbox
from rtserver.sending import Sender
from tests.unit.fakes import FakeSink
from tests.unit.waiting import until

LIMIT_BYTES = 100


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    """One that lets a second thread help with as few as two connections."""
    monkeypatch.setattr(sending, "LEAST_SHARED", 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    one = Sender()
    yield one
    one.close()


def _outboxes(rooms: list[int], overflows: list[int]) -> tuple[Outbox, ...]:
    return tuple(
        Outbox(FakeSink(room=room), LIMIT_BYTES, lambda n=n: overflows.append(n))  # type: ignore[misc]
        for n, room in enumerate(rooms)
    )


def _taken(outbox: Outbox) -> bytes:
    sink = outbox._sink
    assert isinstance(sink, FakeSink)
    return bytes(sink.received)


@given(
    rooms=st.lists(st.integers(0, 200), min_size=1, max_size=40),
    sizes=st.lists(st.integers(1, 70), min_size=1, max_size=6),
    least=st.sampled_from([1, 1_000]),
)
def test_each_gets_what_it_gets_when_they_are_sent_to_one_after_the_other(
    rooms: list[int], sizes: list[int], least: int
) -> None:
    async def scenario() -> None:
        overflows: tuple[list[int], list[int]] = ([], [])
        ours, theirs = (_outboxes(rooms, fallen) for fallen in overflows)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sending, "LEAST_SHARED", least)
            patch.setattr(sending, "REST_FACTOR", 0.0)
            sender = Sender()
            for number, size in enumerate(sizes):
                data = bytes([number]) * size
                sender.send(ours, data)
                for outbox in theirs:
                    outbox.send(data)
            sender.close()
        assert sorted(overflows[0]) == sorted(overflows[1])
        for one, other in zip(ours, theirs, strict=True):
            assert _taken(one) == _taken(other)
            assert one.pending_bytes == other.pending_bytes

    asyncio.run(scenario())


class _Meeting:
    """A socket at which one thread waits until another one is at another such socket."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self._barrier = barrier
        self.by = ""

    def send_now(self, data: bytes) -> int:
        self.by = threading.current_thread().name
        self._barrier.wait(30)
        return len(data)

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        raise AssertionError("everything was sent")


def test_two_threads_send_at_the_same_time(sender: Sender) -> None:
    barrier = threading.Barrier(2)
    sinks = [_Meeting(barrier) for _ in range(2)]
    sender.send([Outbox(sink, LIMIT_BYTES, lambda: None) for sink in sinks], b"x")
    assert {sink.by.partition("_")[0] for sink in sinks} == {"MainThread", "fanout"}


@pytest.mark.gen_test
async def test_there_is_one_thread_where_little_time_passed_since(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "REST_FACTOR", 1e9)
    outboxes = _outboxes([200] * 50, [])
    sender.send(outboxes, b"first")
    monkeypatch.setattr(sender._helper, "submit", None)  # whoever asks for help fails
    sender.send(outboxes, b"second")
    assert {_taken(outbox) for outbox in outboxes} == {b"firstsecond"}


def test_on_one_processor_there_is_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "LEAST_SHARED", 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    sender = Sender()
    monkeypatch.setattr(sender._helper, "submit", None)  # whoever asks for help fails
    outboxes = _outboxes([200] * 50, [])
    sender.send(outboxes, b"x")
    assert {_taken(outbox) for outbox in outboxes} == {b"x"}
    sender.close()


@pytest.mark.gen_test
async def test_what_a_socket_did_not_take_is_written_on_the_loop(sender: Sender) -> None:
    outboxes = _outboxes([0, 3, 10, 0], [])
    sender.send(outboxes, b"abcdef")
    assert [_taken(outbox) for outbox in outboxes] == [b"", b"abc", b"abcdef", b""]
    for outbox in outboxes:
        sink = outbox._sink
        assert isinstance(sink, FakeSink)
        for _ in range(len(sink.writes)):
            sink.finish_write()
    await until(lambda: {_taken(outbox) for outbox in outboxes} == {b"abcdef"}, "the rest")
