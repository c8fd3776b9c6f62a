"""Pipes that a command prints into, read in the order in which it printed, as fast as it is taken.

What was printed into two pipes has no common order: the kernel says which of them had something
first, and no more. So both are read at once, as soon as there is something, into one row.
"""

import asyncio
import contextlib
import fcntl
import os
import select
import struct
import termios
from collections import deque
from typing import Protocol

_READ_BYTES = 64 * 1024
_PAGE_BYTES = 4096
# Linux's largest for everybody (pipe(7), pipe-max-size). Node.js does not wait for a reader: what
# does not fit into the pipe when it calls process.exit is lost.
PIPE_BYTES = 1024 * 1024
# What was read and is not taken yet; past it the pipes, and then the command, wait.
_MAX_WAITING_BYTES = 256 * 1024
# How often a sink is told that time has passed.
_TICK_S = 0.25


class OutputSink(Protocol):
    """Takes what one pipe gives."""

    async def take(self, data: bytes, *, is_all: bool) -> None:
        """Take the next piece; the pipes are not read far beyond it meanwhile.

        Args:
            data: the piece.
            is_all: no more was in the pipe when it was read.
        """

    async def end(self) -> None:
        """The pipe has ended."""


class Ticker(Protocol):
    """Is told now and then that time has passed, whether something came or not."""

    async def show_open(self, now_s: float) -> None:
        """It is so late, by the loop's clock."""


class Capture:
    """Keeps the beginning of what a pipe gives.

    Args:
        max_bytes: how much is kept.

    Attributes:
        kept: the beginning.
        truncated: there was more.
    """

    def __init__(self, max_bytes: int) -> None:
        self._room = max_bytes
        self.kept = bytearray()
        self.truncated = False

    async def take(self, data: bytes, *, is_all: bool) -> None:  # noqa: ARG002 - a sink's signature
        """Take the next bytes."""
        self.truncated = self.truncated or len(data) > self._room
        self.kept += data[: self._room]
        self._room -= min(self._room, len(data))

    async def end(self) -> None:
        """Nothing is held back, so nothing is left to do."""


class OutputPipe:
    """The reading end of a pipe, in our own hands.

    The pipes that asyncio makes for a process can't be closed while another process still holds
    them, and before Python 3.12 `Process.wait` waits for them too.

    Attributes:
        write_fd: the other end, for the command. Ours is closed by `close_write_end`, once the
            command has ended: until then it tells whether that waits where the pipe is full.
        bytes: how much was read.
        has_ended: nothing more comes of it.
    """

    def __init__(self) -> None:
        """Make a pipe.

        Raises:
            OSError: there are no file descriptors left.
        """
        self._read_fd, self.write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        self._size = _enlarge(self._read_fd)
        self.bytes = 0
        self.has_ended = False
        # How much had come when the pipe was full, last time.
        self._full_at = -1
        # How much had come when it was all but full, last time.
        self._nearly_full_at = -1
        # More came after that; and the command has asked not to be held up then.
        self._has_waited = False
        self._never_waits = False
        self._was_full_at_end = False

    def fileno(self) -> int:
        """The reading end."""
        return self._read_fd

    def read(self) -> tuple[bytes, bool]:
        """What is there, or the next part of it, and whether that is all; empty at the pipe's end.

        Raises:
            BlockingIOError: nothing is there.
        """
        # Small pieces leave room in the kernel's pages that cannot be used.
        was_full = 2 * _unread_bytes(self._read_fd) >= self._size and self._is_full()
        data = os.read(self._read_fd, _READ_BYTES)
        self.bytes += len(data)
        left = _unread_bytes(self._read_fd)
        # More than the pipe holds at once: what is over was written after this read made room.
        has_gone_on = left + len(data) > self._size or -1 < self._nearly_full_at < self.bytes + left
        self._has_waited = self._has_waited or has_gone_on
        if self.write_fd >= 0:  # the flag is the open file's, which the command shares
            flags = fcntl.fcntl(self.write_fd, fcntl.F_GETFL)
            self._never_waits = self._never_waits or bool(flags & os.O_NONBLOCK)
        if was_full or left + len(data) > self._size - _PAGE_BYTES:
            self._full_at = self.bytes + left
        if left + len(data) > self._size - 2 * _READ_BYTES:
            self._nearly_full_at = self.bytes + left
        return data, left == 0

    @property
    def may_have_lost(self) -> bool:
        """Whether what came last had filled the pipe, by one that does not wait for its reader."""
        does_not_wait = self._never_waits or not self._has_waited
        return self.has_ended and self._full_at == self.bytes and does_not_wait

    def _is_full(self) -> bool:
        """Whether a writer would have to wait; when the command has ended, whether it would have.

        The latter once: then there is room, and nobody who fills it.
        """
        if self.write_fd < 0:
            was_full, self._was_full_at_end = self._was_full_at_end, False
            return was_full
        poll = select.poll()
        poll.register(self.write_fd, select.POLLOUT)
        return not poll.poll(0)

    def close_write_end(self) -> None:
        """Leave the other end to the command alone, so that the pipe ends when that does."""
        if self.write_fd >= 0:
            self._was_full_at_end = self._is_full()
            os.close(self.write_fd)
            self.write_fd = -1

    def close(self) -> None:
        """Let go of both ends."""
        self.close_write_end()
        if self._read_fd >= 0:
            os.close(self._read_fd)
            self._read_fd = -1


class OutputPipes:
    """Pipes that are read in one row.

    Attributes:
        pipes: one for each sink.
        muted: what is read from now on is thrown away.
    """

    def __init__(self, count: int) -> None:
        """Make pipes.

        Raises:
            OSError: there are no file descriptors left.
        """
        self.pipes: list[OutputPipe] = []
        self.muted = False
        # Of which pipe, what, and whether that was all.
        self._row: deque[tuple[int, bytes, bool]] = deque()
        self._waiting_bytes = 0
        self._has_come = asyncio.Event()
        self._reading: set[int] = set()
        self._is_idle = False
        self._bytes_at_look = [-1] * count
        try:
            for _ in range(count):
                self.pipes.append(OutputPipe())
        except OSError:
            self.close()
            raise

    @property
    def bytes(self) -> int:
        """How much was read of all of them."""
        return sum(pipe.bytes for pipe in self.pipes)

    async def pump(self, sinks: list[OutputSink], ticker: Ticker | None = None) -> None:
        """Give everything to the sinks, until all pipes have ended."""
        loop = asyncio.get_running_loop()
        left = len(sinks)
        tick_at_s = loop.time() + _TICK_S
        self._read_on()
        while left:
            if not self._row:
                self._has_come.clear()
                self._is_idle = True
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(tick_at_s if ticker else None):
                        await self._has_come.wait()
                self._is_idle = False
            if ticker and loop.time() >= tick_at_s:
                tick_at_s = loop.time() + _TICK_S
                if not self.muted:
                    await ticker.show_open(loop.time())
            if not self._row:
                continue
            index, data, is_all = self._row.popleft()
            self._waiting_bytes -= len(data)
            self._read_on()
            left -= not data
            if self.muted:
                continue
            await (sinks[index].take(data, is_all=is_all) if data else sinks[index].end())

    def look(self) -> list[bool]:
        """Of each pipe: whether nothing came since the last look, and nobody is busy with it."""
        came = [pipe.bytes for pipe in self.pipes]
        quiet = [
            self._is_idle and not self._row and now == before
            for now, before in zip(came, self._bytes_at_look, strict=True)
        ]
        self._bytes_at_look = came
        return quiet

    def end(self, index: int) -> None:
        """Read no more of a pipe; what was read already is still given out."""
        pipe = self.pipes[index]
        if pipe.has_ended:
            return
        self._stop_reading(index)
        self._add_end(index)

    def close_write_ends(self) -> None:
        """Leave the other ends to what is left of the command."""
        for pipe in self.pipes:
            pipe.close_write_end()

    def close(self) -> None:
        """Let go of all pipes."""
        for index, pipe in enumerate(self.pipes):
            self._stop_reading(index)
            pipe.close()

    def _read_on(self) -> None:
        if self._waiting_bytes >= _MAX_WAITING_BYTES:
            return
        loop = asyncio.get_running_loop()
        for index, pipe in enumerate(self.pipes):
            if index not in self._reading and not pipe.has_ended:
                self._reading.add(index)
                loop.add_reader(pipe.fileno(), self._read, index)

    def _stop_reading(self, index: int) -> None:
        if index in self._reading:
            self._reading.discard(index)
            asyncio.get_running_loop().remove_reader(self.pipes[index].fileno())

    def _read(self, index: int) -> None:
        if self._waiting_bytes >= _MAX_WAITING_BYTES:
            for reading in tuple(self._reading):
                self._stop_reading(reading)
            return
        try:
            data, is_all = self.pipes[index].read()
        except BlockingIOError:
            return
        if data:
            self._waiting_bytes += len(data)
            # What waits is joined: each part that is given out may cost its taker a write to the
            # log, and a command that prints line by line makes a part of each line.
            if self._row:
                last, waiting, _ = self._row[-1]
                if last == index and waiting and len(waiting) + len(data) <= _READ_BYTES:
                    self._row.pop()
                    data = waiting + data
            self._row.append((index, data, is_all))
            self._has_come.set()
        else:
            self.end(index)

    def _add_end(self, index: int) -> None:
        self.pipes[index].has_ended = True
        self._row.append((index, b"", True))
        self._has_come.set()


def _enlarge(fd: int) -> int:
    """Let a pipe hold as much as it may; how much that is.

    A user has 64 MiB of pipes at most (pipe-user-pages-soft), past which they stay as they are.
    """
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)


def _unread_bytes(fd: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0])
