"""Send buffer: what waits to be written to one connection, bounded in bytes.

A socket that takes everything at once never gets here with more than a function call: what is
handed in is sent on the socket itself. What the socket does not take is written by the sink, one
write in flight at a time, and the rest waits. Chunks are shared between connections: a waiting
batch costs a reference, not a copy.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Protocol


class Sink(Protocol):
    """The socket under an outbox."""

    def fileno(self) -> int:
        """What `send_now` sends on, as a file descriptor; -1 where it would send nothing."""

    def send_now(self, data: bytes) -> int:
        """Send what the socket takes at once; how many bytes that was.

        Raises:
            OSError: it takes none. What is wrong with it, if anything, `write` tells.
        """

    def write(self, data: "bytes | memoryview") -> "asyncio.Future[None]":
        """Write all of it, in its own time. The future fails when the connection is gone."""


class Outbox:
    """A bounded queue in front of a `Sink`.

    Attributes:
        pending_bytes: what is not on the socket yet, the write in flight included.
    """

    __slots__ = (
        "_closed",
        "_drained",
        "_limit_bytes",
        "_on_overflow",
        "_queue",
        "_separator",
        "_sink",
        "_taking",
        "pending_bytes",
    )

    def __init__(
        self,
        sink: Sink,
        limit_bytes: int,
        on_overflow: Callable[[], None],
        separator: bytes = b"",
    ) -> None:
        """Make an outbox.

        Args:
            sink: where the bytes go.
            limit_bytes: more waiting than this is an overflow. Where nothing waits, one chunk is
                taken whatever its size.
            on_overflow: called once, for the first overflow. What overflowed is dropped, and so is
                all that comes later but `last_words`: a stream may end early, never have a hole.
            separator: stands between what is sent in one write.
        """
        self._sink = sink
        self._limit_bytes = limit_bytes
        self._on_overflow = on_overflow
        self._separator = separator
        self._queue: list[bytes] | None = None
        self._drained: list[asyncio.Future[None]] | None = None
        self._taking = True
        self._closed = False
        self.pending_bytes = 0

    def send(self, data: bytes) -> None:
        """Send, or keep until the socket takes it."""
        if not self._taking:
            return
        try:
            sent = 0 if self.pending_bytes else self._sink.send_now(data)
        except OSError:
            sent = 0
        if sent < len(data):
            self.send_rest(data, sent)

    def send_rest(self, data: bytes, sent: int) -> None:
        """Queue the bytes that a partial send left over."""
        if self.pending_bytes:
            if self.pending_bytes + len(data) > self._limit_bytes:
                self._taking = False
                self._on_overflow()
                return
            if self._queue is None:
                self._queue = []
            self._queue.append(data)
            self.pending_bytes += len(data)
            return
        rest = memoryview(data)[sent:] if sent else data
        self.pending_bytes = len(rest)
        self._write(rest, len(rest))

    def _write(self, data: "bytes | memoryview", size_bytes: int) -> None:
        future = self._sink.write(data)
        future.add_done_callback(lambda done: self._written(done, size_bytes))

    def _written(self, done: "asyncio.Future[None]", size_bytes: int) -> None:
        if done.cancelled() or done.exception() is not None:
            self.close()  # the connection is gone; its handler learns of it by itself
        if self._closed:
            return
        self.pending_bytes -= size_bytes
        queue, self._queue = self._queue, None
        if queue:
            # Separators are not counted: what is counted must come out even.
            self._write(self._separator.join(queue), sum(map(len, queue)))
        self._wake()

    def last_words(self, data: bytes, *, drop_waiting: bool = False) -> None:
        """Send this after what waits, however much that is, and take nothing more.

        Args:
            data: whole frames.
            drop_waiting: forget what no write has begun on, so that this comes sooner.
        """
        if self._closed:
            return
        if drop_waiting:
            queue, self._queue = self._queue, None
            self.pending_bytes -= sum(map(len, queue or ()))
        self._limit_bytes = sys.maxsize
        self._taking = True
        self.send(data)
        self._taking = False

    def close(self) -> None:
        """Take nothing more, and let nobody wait."""
        self._taking = False
        self._closed = True
        self._on_overflow = _nothing  # nothing is taken any more, and its owner is in no cycle
        self._queue = None
        self.pending_bytes = 0
        self._wake()

    def _wake(self) -> None:
        waiters, self._drained = self._drained, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def drained(self, below_bytes: int = 0) -> None:
        """Return when at most so much is waiting, or the outbox is closed. No time-out here."""
        while self.pending_bytes > below_bytes and not self._closed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._drained is None:
                self._drained = []
            self._drained.append(waiter)
            await waiter


def descriptors(outboxes: Sequence[Outbox]) -> list[int]:
    """For each what may be sent on now, past its `send`; -1 where that would not be right.

    They hold for the moment only: what is closed gives its number to what is opened next.
    """
    return [
        -1 if outbox.pending_bytes or not outbox._taking else outbox._sink.fileno()  # noqa: SLF001
        for outbox in outboxes
    ]


def _nothing() -> None:
    """For an outbox that cannot overflow any more."""
