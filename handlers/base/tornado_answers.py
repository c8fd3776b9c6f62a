"""Answers on their way: what their readers have not taken yet, and the end of those who take none.

Tornado keeps an answer until its connection has taken all of it, however long that is. What is used
beyond its public interface, which tests/unit/handlers/base/test_tornado_answers.py watches:

- `IOStream._write_buffer` and `_total_write_done_index`: how much waits, and how much was written.
- `HTTP1Connection._pending_write`: done when what a request was answered is written, or never will
  be. The futures that Tornado gives out stay open where the connection is closed meanwhile.
- `HTTPServer._connections`: those that there are.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from dataclasses import dataclass, field

import structlog
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection
from tornado.iostream import IOStream

from handlers.base.metrics import HttpMetrics
from rtserver.sessions.request_rates import TooOftenError

RETRY_AFTER_S = 5
LEAST_TAKEN_BYTES = 4 * 1024
"""Who takes less than this in the whole time is not reading: a byte now and then holds an answer
for days."""
LOOKS = 4
"""In the time that a reader has."""
RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: what the kernel holds of an answer that nobody reads is dropped with it."""

_log = structlog.get_logger()


class UnreadError(TooOftenError):
    """Somebody asks for more, and has not read what there is."""

    reason = "unread_answers"


@dataclass(slots=True, eq=False)
class _Reader:
    """One who has been sent something and has not read all of it.

    Attributes:
        writes: the answers on their way, each with its connection.
        was_refused: whether this was told in a record already.
    """

    writes: dict["asyncio.Future[None]", IOStream] = field(default_factory=dict)
    was_refused: bool = False


class UnreadAnswers:
    """Knows what each reader has not taken yet, and refuses more to those who have enough."""

    def __init__(self, limit_bytes: int) -> None:
        """Make it.

        Args:
            limit_bytes: of one reader. Where nothing waits, one answer may have any size.
        """
        self._limit_bytes = limit_bytes
        self._readers: dict[str, _Reader] = {}

    def __len__(self) -> int:
        return len(self._readers)

    def sent(self, who: str, connection: HTTPConnection | None) -> None:
        """Note that somebody was sent something."""
        if not isinstance(connection, HTTP1Connection):
            return
        writing: asyncio.Future[None] | None = connection._pending_write  # noqa: SLF001
        if writing is None or writing.done():
            return
        reader = self._readers.setdefault(who, _Reader())
        if writing not in reader.writes:
            reader.writes[writing] = connection.stream
            writing.add_done_callback(lambda done: self._taken(who, done))

    def _taken(self, who: str, writing: "asyncio.Future[None]") -> None:
        reader = self._readers[who]
        del reader.writes[writing]
        if not reader.writes:
            del self._readers[who]

    def unread_bytes(self, who: str) -> int:
        """What somebody has not taken, beyond what the kernel holds."""
        reader = self._readers.get(who)
        if reader is None:
            return 0
        return sum(len(stream._write_buffer or ()) for stream in set(reader.writes.values()))  # noqa: SLF001

    def check(self, who: str, more_bytes: int) -> None:
        """See that somebody may be sent more.

        Raises:
            UnreadError: too much was not read yet.
        """
        unread_bytes = self.unread_bytes(who)
        if not unread_bytes or unread_bytes + more_bytes <= self._limit_bytes:
            return
        reader = self._readers[who]
        is_news, reader.was_refused = not reader.was_refused, True
        raise UnreadError(
            "Read the answers that are on their way, then ask for more",
            RETRY_AFTER_S,
            is_news=is_news,
        )


def taken_bytes(stream: IOStream) -> int:
    """How much a reader has taken of what was ever sent on a connection.

    What the kernel holds is not taken: it takes megabytes off our hands at once, and then nothing
    for a minute where the reader is slow.
    """
    written_bytes: int = stream._total_write_done_index  # noqa: SLF001
    if sys.platform != "linux":
        return written_bytes
    with contextlib.suppress(OSError):
        queued = fcntl.ioctl(stream.fileno(), termios.TIOCOUTQ, bytes(4))
        written_bytes -= struct.unpack("i", queued)[0]
    return written_bytes


class WriteTimeouts:
    """Ends the connections on which an answer waits and nobody reads, whatever handler wrote it."""

    def __init__(self, server: HTTPServer, timeout_s: float, metrics: HttpMetrics) -> None:
        """Make it.

        Args:
            server: whose connections.
            timeout_s: how long a reader may take nothing.
            metrics: count those that were ended.
        """
        self._server = server
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._taken: dict[IOStream, tuple[int, float]] = {}

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._timeout_s / LOOKS)
            self.look(loop.time())

    def look(self, now_s: float) -> None:
        """End what has stood still for too long by now."""
        known, self._taken = self._taken, {}
        for connection in list(self._server._connections):  # noqa: SLF001
            stream = connection.stream
            if not stream.writing():
                continue
            present = (taken_bytes(stream), now_s)
            before = known.get(stream, present)
            if present[0] - before[0] >= LEAST_TAKEN_BYTES:
                before = present
            if now_s - before[1] < self._timeout_s:
                self._taken[stream] = before
            else:
                self._end(stream)

    def _end(self, stream: IOStream) -> None:
        _log.info("answer_not_read", unread_bytes=len(stream._write_buffer))  # noqa: SLF001
        self._metrics.http_write_timeouts_total.inc()
        with contextlib.suppress(OSError):  # the client was first
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        stream.close()
