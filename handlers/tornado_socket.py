"""All that reaches into Tornado for speed and for close codes.

tests/unit/test_tornado_socket.py fails when a Tornado release changes underneath.

What is used beyond Tornado's public interface, and why:

- `IOStream.socket`, while `IOStream.writing()` is false: a frame that the socket takes at once is
  sent without a future and without a copy. Measured on the design's machine: 212,000 sends a
  second against 124,000 through `IOStream.write`.
- `WebSocketProtocol13.close` and `_abort`: Tornado answers a message beyond `max_message_size`
  with close code 1009 and drops the connection at once, so that the client never sees a reason.
"""

import asyncio
import ssl
from typing import Any

from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketHandler, WebSocketProtocol13, _WebSocketParams

MESSAGE_TOO_BIG = 1009
DISCARD_BYTES = 64 * 1024 * 1024
DISCARD_S = 5.0


class StreamSink:
    """`rtserver.outbox.Sink` on a Tornado stream."""

    __slots__ = ("_direct", "_stream")

    def __init__(self, stream: IOStream) -> None:
        self._stream = stream
        # TLS records are made by the stream; only a plain socket may be written to directly.
        self._direct = not isinstance(stream.socket, ssl.SSLSocket)

    def send_now(self, data: bytes) -> int:
        """Send what the socket takes at once; how many bytes that was."""
        stream = self._stream
        if not self._direct or stream.closed() or stream.writing():
            return 0
        try:
            return stream.socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            return 0  # the stream notices the broken connection by itself, in `write` or reading

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        """Write all of it, in its own time."""
        try:
            return self._stream.write(data)
        except StreamClosedError as error:
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            failed.exception()  # retrieved: whoever waits gets it, nobody need
            return failed


class SessionProtocol(WebSocketProtocol13):
    """Tells its handler of a message that is too big, and lets it say so to the client."""

    def __init__(self, handler: Any, params: _WebSocketParams) -> None:
        super().__init__(handler, False, params)
        self._discarding = False

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close; a message that was too big is the handler's to answer."""
        if code == MESSAGE_TOO_BIG and not self._discarding and not self.server_terminated:
            self._discarding = True
            self.handler.on_message_too_big()  # type: ignore[attr-defined]
            return
        super().close(code, reason)

    def _abort(self) -> None:
        if self._discarding and not self.stream.closed():
            # Closing a socket with unread data resets it, and the client would not get to read
            # why. So what it still sends is read and thrown away, within bounds.
            self._discarding = False
            self.client_terminated = True
            self.handler.discard_input(self._discard())  # type: ignore[attr-defined]
            return
        super()._abort()

    async def _discard(self) -> None:
        received_bytes = 0
        try:
            async with asyncio.timeout(DISCARD_S):
                while received_bytes < DISCARD_BYTES:
                    received_bytes += len(await self.stream.read_bytes(65536, partial=True))
        except (StreamClosedError, TimeoutError):
            pass  # either way there is nothing more to wait for
        super()._abort()


def protocol_of(handler: WebSocketHandler, max_message_bytes: int) -> SessionProtocol:
    """The protocol object of a connection: without compression, without Tornado's own pings."""
    params = _WebSocketParams(
        ping_interval=None,
        ping_timeout=None,
        max_message_size=max_message_bytes,
        compression_options=None,
    )
    return SessionProtocol(handler, params)
