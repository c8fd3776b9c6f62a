"""Sends through the kernel's ring: real sockets, and what each of them did with its send."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.delivery import io_uring as send_ring
from rtserver.delivery.io_uring import NoRingError, SendRing
from rtserver.delivery.sender import open_ring

ENTRIES = 8
OPEN = Path("/proc/self/fd")


def _ring(entries: int = ENTRIES) -> SendRing:
    try:
        return SendRing(entries)
    except NoRingError as error:
        pytest.skip(f"this kernel gives no ring: {error}")


@pytest.fixture
def ring() -> Iterator[SendRing]:
    one = _ring()
    yield one
    if one.failure != "closed":
        one.close()


class Pair:
    """A connected pair of sockets, of which `near` is sent on."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)

    def received(self) -> bytes:
        """What has come over."""
        found = b""
        try:
            while data := self.far.recv(1 << 20):
                found += data
        except BlockingIOError:
            pass
        return found

    def close(self) -> None:
        self.near.close()
        self.far.close()


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """More than the ring takes at a time."""
    made = [Pair() for _ in range(ENTRIES * 2 + 3)]
    yield made
    for pair in made:
        pair.close()


def _fds(pairs: list[Pair]) -> list[int]:
    return [pair.near.fileno() for pair in pairs]


@given(counts=st.lists(st.integers(0, ENTRIES * 2 + 3), min_size=1, max_size=40))
def test_each_gets_all_of_it_in_order_however_many_they_are(counts: list[int]) -> None:
    ring = _ring()
    pairs = [Pair() for _ in range(ENTRIES * 2 + 3)]
    sent = [b""] * len(pairs)
    try:
        for turn, count in enumerate(counts):
            data = b"<%d>" % turn
            assert (
                list(ring.send(_fds(pairs[-count:] if count else []), data)) == [len(data)] * count
            )
            for index in range(len(pairs) - count, len(pairs)):
                sent[index] += data
        assert [pair.received() for pair in pairs] == sent
        assert ring.failure is None
    finally:
        ring.close()
        for pair in pairs:
            pair.close()


def test_each_says_for_itself_how_far_it_came(ring: SendRing, pairs: list[Pair]) -> None:
    full, gone, closed, busy = pairs[1], pairs[4], pairs[9], pairs[13]
    while True:
        try:
            full.near.send(b"x" * 65536)
        except BlockingIOError:
            break
    gone.far.close()
    fds = _fds(pairs)
    closed.near.close()
    fds[9] = closed.near.fileno()
    assert fds[9] == -1
    busy.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    data = os.urandom(100_000)
    taken = list(ring.send(fds, data))
    assert (taken[1], taken[4], taken[9]) == (-errno.EAGAIN, -errno.EPIPE, -errno.EBADF)
    assert 0 < taken[13] < len(data)
    assert busy.received() == data[: taken[13]]
    others = [n for n in range(len(pairs)) if n not in (1, 4, 9, 13)]
    assert [taken[n] for n in others] == [len(data)] * len(others)
    assert all(pairs[n].received() == data for n in others)
    # What one of them could not do says nothing of the next time.
    assert list(ring.send(_fds(pairs[14:]), b"y")) == [1] * len(pairs[14:])
    assert ring.failure is None


def test_a_ring_that_fails_says_so_and_sends_nothing(ring: SendRing, pairs: list[Pair]) -> None:
    os.close(ring._fd)
    ring._fd = os.open(os.devnull, os.O_RDONLY)  # no ring any more
    assert list(ring.send(_fds(pairs), b"x")) == [-errno.EAGAIN] * len(pairs)
    assert ring.failure is not None
    assert all(pair.received() == b"" for pair in pairs)


def test_where_the_kernel_has_none_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_ring, "_SETUP", 100_000)  # no such system call
    with pytest.raises(NoRingError, match="not implemented"):
        SendRing()
    assert open_ring() is None


def test_nothing_of_a_ring_is_left_open(pairs: list[Pair]) -> None:
    before = len(list(OPEN.iterdir()))
    for _ in range(3):
        ring = _ring()
        ring.send(_fds(pairs), b"x")
        ring.close()
    assert len(list(OPEN.iterdir())) == before
