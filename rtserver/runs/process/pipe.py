"""Pipes that a command prints into, read as fast as their output is taken and no faster."""

import asyncio
import os
from typing import Protocol, Self

_READ_BYTES = 64 * 1024


class OutputSink(Protocol):
    """Takes what one pipe gives."""

    async def take(self, data: bytes) -> None:
        """Take the next piece; the pipe is not read meanwhile."""

    async def end(self) -> None:
        """The pipe has ended."""


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

    async def take(self, data: bytes) -> None:
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
        write_fd: the other end, for the command; ours is closed by `close_write_end`.
        bytes: how much was read.
        muted: what is read from now on is thrown away.
    """

    def __init__(
        self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport, write_fd: int
    ) -> None:
        self._reader = reader
        self._transport = transport
        self.write_fd = write_fd
        self.bytes = 0
        self._waiting = False
        self._bytes_at_look = -1
        self.muted = False

    @classmethod
    async def open(cls) -> Self:
        """Make a pipe.

        Raises:
            OSError: there are no file descriptors left.
        """
        read_fd, write_fd = os.pipe()
        file = os.fdopen(read_fd, "rb", buffering=0)
        reader = asyncio.StreamReader(limit=_READ_BYTES)
        try:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), file
            )
        except BaseException:
            file.close()
            os.close(write_fd)
            raise
        return cls(reader, transport, write_fd)

    async def pump(self, sink: OutputSink) -> None:
        """Give everything to a sink, until the pipe ends."""
        while True:
            self._waiting = True
            data = await self._reader.read(_READ_BYTES)
            self._waiting = False
            if not data:
                break
            self.bytes += len(data)
            if not self.muted:
                await sink.take(data)
        if not self.muted:
            await sink.end()

    def is_quiet(self) -> bool:
        """Whether nothing has come since this was asked last, and nobody is busy with what came."""
        came, self._bytes_at_look = self.bytes != self._bytes_at_look, self.bytes
        return self._waiting and not came

    def close_write_end(self) -> None:
        """Leave the other end to the command alone, so that the pipe ends when that does."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def close(self) -> None:
        """Read no more; what was read already is still given out, and then the pipe has ended."""
        self._transport.close()
