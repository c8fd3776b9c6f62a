"""Request bodies: asked about before they are read, and what reaches into Tornado for that.

tests/unit/handlers/base/test_tornado_body.py fails when a Tornado release changes underneath.

By itself Tornado takes in a whole body before it asks a handler anything. And it closes a
connection whose request was answered before its body had come in: where data is unread in the
socket by then, the kernel resets the connection, and a client that is still sending never sees the
answer. So what a stranger still sends is read from the detached connection, without haste, and the
connection ends. For who has a token `HTTP1Connection.finish` is let believe that the body was read;
Tornado, which does not deliver the body of a request that was answered, then reads over it.
"""

import asyncio
import contextlib
import socket
from asyncio import Future
from collections.abc import Iterator
from typing import Any

from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.web import RequestHandler, stream_request_body

MAX_BODY_BYTES = 4 * 1024 * 1024
UNUSED_BODY_BYTES = 64 * 1024
"""So long may a body be that a request has no use for."""
DISCARD_BYTES = 2 * MAX_BODY_BYTES
"""Of a body that nobody wants, so much is read and thrown away; beyond it the connection ends."""
DISCARD_S = 10.0
DISCARD_PAUSE_S = 0.005
"""After each 64 KiB that are thrown away: who sends as fast as it can is to wait, not others."""
MAX_LENGTH_DIGITS = 18


@stream_request_body
class EarlyHandler(RequestHandler):
    """A handler whose `prepare` comes before the request's body.

    It may answer there; what still comes of the body is then thrown away, within bounds.

    Attributes:
        max_body_bytes: so much of a body is kept, as `received`.
        discard_bytes: so much is read of one that is not.
        goes_on: whether the connection goes on after a body that was not wanted.
        is_too_large: whether there was more of it.
    """

    max_body_bytes: int = 0
    discard_bytes: int = DISCARD_BYTES
    goes_on = False
    is_too_large = False
    _received: bytearray | None = None
    _prepared_future: Any
    """Tornado's, which waits for it before it reads the body."""

    @property
    def received(self) -> bytearray:
        """The body, as far as it came in and is kept."""
        return bytearray() if self._received is None else self._received

    @property
    def announced_bytes(self) -> int | None:
        """The body's length as the request says it; None where that shows only in the end.

        Tornado refuses what is no length.
        """
        headers = self.request.headers
        if "Transfer-Encoding" in headers:
            return None
        length = headers.get("Content-Length", "")
        return int(length[:MAX_LENGTH_DIGITS]) if length.isascii() and length.isdigit() else 0

    def expect_body(self) -> None:
        """Let the body come in, up to the bound of this handler instead of the server's."""
        connection = self.request.connection
        if isinstance(connection, HTTP1Connection):
            connection.set_max_body_size(max(self.discard_bytes, self.max_body_bytes))

    async def data_received(self, chunk: bytes) -> None:
        """Gather the body, up to its bound; the rest is thrown away."""
        if self._received is None:
            self._received = bytearray()
        if len(self._received) + len(chunk) > self.max_body_bytes:
            self.is_too_large = True
            self._received.clear()
        if not self.is_too_large:
            self._received.extend(chunk)
        await asyncio.sleep(0)  # Tornado goes on for four times as much before others have a turn

    def on_connection_close(self) -> None:
        """The client left, perhaps amid the body; those mixed in do not all tell Tornado."""
        coming: Future[None] = self.request._body_future  # noqa: SLF001 - see the module
        if not coming.done():
            coming.set_exception(StreamClosedError())
            coming.exception()
        super().on_connection_close()

    def finish(self, chunk: Any = None) -> "Future[None]":
        """Answer; what is still to come of the body is thrown away, so that the answer is seen."""
        connection = self.request.connection
        if not isinstance(connection, HTTP1Connection) or connection._read_finished:  # noqa: SLF001
            return super().finish(chunk)
        announced_bytes = self.announced_bytes
        if announced_bytes == 0:
            with _read(connection):
                return super().finish(chunk)
        closes = connection._disconnect_on_finish  # noqa: SLF001
        is_far_too_long = announced_bytes is not None and announced_bytes > self.discard_bytes
        # Who asks by `Expect` whether to send it will not, or may: that cannot be known.
        goes_on = self.goes_on and not (
            closes or is_far_too_long or "Expect" in self.request.headers
        )
        if not (goes_on or self._headers_written):
            self.set_header("Connection", "close")
        connection._disconnect_on_finish = False  # noqa: SLF001
        with _read(connection):
            answered = super().finish(chunk)
        if goes_on:
            self.expect_body()
            connection.set_body_timeout(DISCARD_S)
        elif connection.stream.writing():  # to a client that does not read
            connection._disconnect_on_finish = True  # noqa: SLF001
        else:
            self.end(connection.detach())
        return answered

    def end(self, stream: IOStream) -> None:
        """End a connection whose client may still be sending."""
        stream.close()


async def discard(stream: IOStream, at_most_bytes: int, for_s: float) -> None:
    """Read what a client still sends, and throw it away.

    Closing a socket with unread data resets it, and the client would not get to read what was
    sent to it last.
    """
    received_bytes = 0
    with contextlib.suppress(StreamClosedError, TimeoutError):  # there is nothing more to wait for
        async with asyncio.timeout(for_s):
            while received_bytes < at_most_bytes:
                received_bytes += len(await stream.read_bytes(65536, partial=True))
                await asyncio.sleep(DISCARD_PAUSE_S)


def say_the_end(stream: IOStream) -> None:
    """Let a client see that nothing more comes, while what it sends is still read."""
    if not (stream.closed() or stream.writing() or isinstance(stream, SSLIOStream)):
        with contextlib.suppress(OSError):  # the client was first
            stream.socket.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def _read(connection: HTTP1Connection) -> Iterator[None]:
    """Within this, a request's body is taken for read."""
    connection._read_finished = True  # noqa: SLF001
    try:
        yield
    finally:
        connection._read_finished = False  # noqa: SLF001
