"""Request bodies: asked about before they are read, and what reaches into Tornado for that.

tests/unit/handlers/base/test_tornado_body.py fails when a Tornado release changes underneath.

By itself Tornado takes in a whole body before it asks a handler anything. And it closes a
connection whose request was answered before its body had come in: where data is unread in the
socket by then, the kernel resets the connection, and a client that is still sending never sees the
answer. So `HTTP1Connection.finish` is let believe that the body was read; Tornado, which does not
deliver the body of a request that was answered, then reads over it.
"""

import contextlib
import socket
from asyncio import Future
from collections.abc import Iterator
from typing import Any

from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.web import RequestHandler, stream_request_body

MAX_BODY_BYTES = 4 * 1024 * 1024
DISCARD_BYTES = 2 * MAX_BODY_BYTES
"""Of a body that nobody wants, so much is read and thrown away; beyond it the connection ends."""
DISCARD_S = 10.0
MAX_LENGTH_DIGITS = 18


@stream_request_body
class EarlyHandler(RequestHandler):
    """A handler whose `prepare` comes before the request's body.

    It may answer there; what was announced of the body is then read over, within bounds.

    Attributes:
        max_body_bytes: so much of a body is kept, as `received`.
        discard_bytes: so much is read over, at least.
        is_too_large: whether there was more of it.
    """

    max_body_bytes: int = 0
    discard_bytes: int = DISCARD_BYTES
    is_too_large = False
    _received: bytearray | None = None

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

    def data_received(self, chunk: bytes) -> None:
        """Gather the body, up to its bound; the rest is thrown away."""
        if self._received is None:
            self._received = bytearray()
        if len(self._received) + len(chunk) > self.max_body_bytes:
            self.is_too_large = True
            self._received.clear()
        if not self.is_too_large:
            self._received.extend(chunk)

    def on_connection_close(self) -> None:
        """The client left, perhaps amid the body; those mixed in do not all tell Tornado."""
        coming: Future[None] = self.request._body_future  # noqa: SLF001 - see the module
        if not coming.done():
            coming.set_exception(StreamClosedError())
            coming.exception()
        super().on_connection_close()

    def finish(self, chunk: Any = None) -> "Future[None]":
        """Answer; a body that is still to come is read over, unless it is far too long."""
        connection = self.request.connection
        if not isinstance(connection, HTTP1Connection) or connection._read_finished:  # noqa: SLF001
            return super().finish(chunk)
        announced_bytes = self.announced_bytes
        if announced_bytes == 0:
            with _read(connection):
                return super().finish(chunk)
        # Who asks by `Expect` whether to send it will not, or may: that cannot be known.
        is_far_too_long = announced_bytes is not None and announced_bytes > self.discard_bytes
        cuts_off = is_far_too_long or "Expect" in self.request.headers
        ends = cuts_off or connection._disconnect_on_finish  # noqa: SLF001
        if ends and not self._headers_written:
            self.set_header("Connection", "close")
        if cuts_off:
            return super().finish(chunk)
        self.expect_body()
        connection.set_body_timeout(DISCARD_S)
        connection._disconnect_on_finish = False  # noqa: SLF001
        with _read(connection):
            answered = super().finish(chunk)
        if ends:
            _say_the_end(connection.stream)
        return answered


@contextlib.contextmanager
def _read(connection: HTTP1Connection) -> Iterator[None]:
    """Within this, a request's body is taken for read."""
    connection._read_finished = True  # noqa: SLF001
    try:
        yield
    finally:
        connection._read_finished = False  # noqa: SLF001


def _say_the_end(stream: IOStream) -> None:
    """Let a client see the end of the connection while its own part is still read."""
    if not stream.closed() and not stream.writing() and not isinstance(stream, SSLIOStream):
        with contextlib.suppress(OSError):  # the client was first
            stream.socket.shutdown(socket.SHUT_WR)
