"""Sockets of Tornado: all that reaches into it for speed and for close codes.

tests/unit/handlers/base/test_tornado_socket.py fails when a Tornado release changes underneath.

What is used beyond Tornado's public interface, and why:

- `IOStream.socket`, while `IOStream.writing()` is false: a frame that the socket takes at once is
  sent without a future and without a copy. Measured on the design's machine: 212,000 sends a
  second against 124,000 through `IOStream.write`.
- `WebSocketProtocol13._write_frame`: whether Tornado is in the middle of a write of its own (a
  pong, a close frame) is noted where it begins. To ask the stream before each send means to fetch
  five more objects of a connection from memory that is cold by then: a fifth of what a send costs.
- `HTTP1Connection._disconnect_on_finish`: without it a response without a length never ends for an
  HTTP/1.0 client that asked for keep-alive.
- `HTTPHeaders._as_list` and `_combined_cache`: what the opening's headers hold would stay for the
  whole life of a connection, for removing them one by one gives no room back.
- `WebSocketProtocol13.close` and `_abort`: Tornado answers a message beyond `max_message_size`
  with close code 1009 and drops the connection at once, so that the client never sees a reason.
- `WebSocketProtocol13._receive_frame`, `_handle_message`, `_frame_mask`: Tornado echoes whatever
  close code it is sent, also those that must not be sent, and takes frames without a mask. It tells
  nobody of parts of messages, and takes a client's frames apart for 5 s after it closed.
- `IOStream._read_buffer_size`: Tornado takes hundreds of frames apart before it lets others have a
  turn, which takes 10 ms. Here those that came with another one wait for one.
- `IOStream._read_buffer` and `_consume`: a text message that has come in whole is taken out in one
  step, where Tornado asks the stream three or four times, each time with a future.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

from tornado.httputil import HTTPHeaders
from tornado.iostream import IOStream, StreamClosedError
from tornado.util import _websocket_mask
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler, WebSocketProtocol13, _WebSocketParams

from handlers.base.tornado_body import discard, say_the_end

PROTOCOL_ERROR = 1002
BAD_PAYLOAD = 1007
MESSAGE_TOO_BIG = 1009
TEXT_FRAME, CLOSE_FRAME, PING_FRAME = 0x1, 0x8, 0x9
WHOLE_TEXT = 0x80 | TEXT_FRAME
"""The first byte of a text message in one frame: the last of it, without extensions."""
MASKED = 0x80
LONG_LENGTH, LONGEST_LENGTH = 126, 127
MASK_BYTES = 4
FRAMES_AFTER_CLOSE = 250
"""So many are read of a client that was sent a close frame, and can't know it yet."""
FRAMES_AT_LEISURE, LEISURE_S = 4, 0.05
"""After so many of these there is a pause: nobody waits for what is read of them."""
PUBLISHER_FRAMES_IN_TURN = 32
"""So many of one that may send as fast as it can go together: about a millisecond's worth."""
DISCARD_BYTES = 64 * 1024 * 1024
DISCARD_S = 5.0


class StreamSink:
    """`rtserver.delivery.send_buffer.Sink` on a Tornado stream."""

    __slots__ = ("_socket", "_stream", "fileno", "send_now")

    send_now: Callable[[bytes], int]
    """Sends what the socket takes at once: the socket's own `send`, less a call for each frame."""
    fileno: Callable[[], int]
    """The socket's own, which knows when it is closed."""

    def __init__(self, stream: IOStream) -> None:
        self._stream = stream
        # TLS records are made by the stream; only a plain socket may be written to directly.
        is_plain = not stream.closed() and not isinstance(stream.socket, ssl.SSLSocket)
        self._socket = stream.socket if is_plain else None
        self._open()
        if stream.writing():
            self.keep_behind(stream.write(b""))

    def keep_behind(self, writing: "asyncio.Future[None]") -> None:
        """Send nothing past a write of the stream that is under way."""
        if not writing.done():
            self._shut()
            writing.add_done_callback(self._written)

    def _written(self, _writing: "asyncio.Future[None]") -> None:
        if not self._stream.writing():
            self._open()

    def _open(self) -> None:
        if self._socket is None:
            self._shut()
        else:
            self.send_now, self.fileno = self._socket.send, self._socket.fileno

    def _shut(self) -> None:
        self.send_now, self.fileno = _nothing_now, _no_descriptor

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        """Write all of it, in its own time."""
        try:
            writing = self._stream.write(data)
        except StreamClosedError as error:
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            failed.exception()  # retrieved: a waiter gets it, and nobody need wait
            return failed
        self.keep_behind(writing)
        return writing


def _nothing_now(_data: bytes) -> int:
    """What a socket takes that may not be written to past its stream."""
    return 0


def _no_descriptor() -> int:
    return -1


def detect_dead_peer(stream: IOStream, after_s: float) -> None:
    """Have the kernel end a connection whose peer acknowledges nothing for so long.

    For streams, which have no pong: a peer that vanished is found by what is sent next.
    """
    if stream.closed():
        return
    if hasattr(socket, "TCP_USER_TIMEOUT") and stream.socket.family != socket.AF_UNIX:
        timeout_ms = max(1, round(after_s * 1000))
        stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)


def empty_headers(headers: HTTPHeaders) -> None:
    """Let go of what headers hold, and of the room that they took."""
    headers._as_list, headers._combined_cache = {}, {}  # noqa: SLF001 - see the module


def compact(thing: object) -> None:
    """Give back the room that an object's attributes could still grow into.

    A dict that outgrew the one shared by its class has room for three times as many keys.
    """
    thing.__dict__ = dict(thing.__dict__)


def stream_of(handler: RequestHandler) -> IOStream:
    """The connection under a request that is being answered."""
    stream: IOStream = handler.request.connection.stream  # type: ignore[union-attr]
    return stream


def end_with_response(handler: RequestHandler) -> None:
    """Let the connection end with the response that is being made."""
    handler.request.connection._disconnect_on_finish = True  # type: ignore[union-attr]  # noqa: SLF001


def close_frame_error(payload: bytes) -> int | None:
    """What is wrong with the close frame of a client, as the code to answer it with.

    None where nothing is. RFC 6455 section 7.4: codes below 1000 are not used, those up to 2999
    are the protocol's, of which the registry has given some; 1004 to 1006 and 1015 never stand in
    a frame. Section 5.5.1: a frame has no payload, or a code and a reason in UTF-8.
    """
    if not payload:
        return None
    code = int.from_bytes(payload[:2], "big")
    usable = 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
    if len(payload) == 1 or not usable:
        return PROTOCOL_ERROR
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return BAD_PAYLOAD
    return None


class SessionProtocol(WebSocketProtocol13):
    """Tells its handler of a message that is too big, and refuses what the RFC says it must."""

    _frames_after_close = 0

    def __init__(self, handler: Any, params: _WebSocketParams) -> None:
        super().__init__(handler, False, params)
        self._discarding = False
        # Whether the frame that is being read brings no message. Set here, before `compact`.
        self._is_bare = False
        self._frames_in_turn = 0
        self.most_frames_in_turn = 1
        self.sink: StreamSink | None = None

    def _write_frame(
        self, fin: bool, opcode: int, data: bytes, flags: int = 0
    ) -> "asyncio.Future[None]":
        writing = super()._write_frame(fin, opcode, data, flags)
        if self.sink is not None:
            self.sink.keep_behind(writing)
        return writing

    async def _receive_frame(self) -> None:
        if self.stream._read_buffer_size:  # noqa: SLF001 - it sent more than one at once
            self._frames_in_turn += 1
            if self._frames_in_turn >= self.most_frames_in_turn:
                self._frames_in_turn = 0
                await self.handler.await_turn()  # type: ignore[attr-defined]
        if not self.server_terminated and (text := self._whole_text()) is not None:
            handled = self._handle_message(TEXT_FRAME, text)
            if handled is not None:
                await handled
            return
        self._frame_mask = None  # so that each frame has to bring its own
        self._is_bare = True
        await super()._receive_frame()
        if not (self._is_masked() or self.client_terminated):
            self._fail(PROTOCOL_ERROR)  # a fragment that was not looked at below
        elif self.server_terminated:
            self._frames_after_close += 1
            if self._frames_after_close % FRAMES_AT_LEISURE == 0:
                await asyncio.sleep(LEISURE_S)
            if self._frames_after_close > FRAMES_AFTER_CLOSE:
                self._discarding = True
                self._abort()
        elif self._is_bare:
            self.handler.on_bare_frame()  # type: ignore[attr-defined]

    def _whole_text(self) -> bytes | None:
        """Take out a text message that is there as a whole; None where there is none.

        Whatever else there is stays, for Tornado to take apart or refuse.
        """
        stream = self.stream
        buffer: bytearray = stream._read_buffer  # noqa: SLF001 - see the module
        there_bytes = len(buffer)
        if there_bytes < 2 + MASK_BYTES or buffer[0] != WHOLE_TEXT or not buffer[1] & MASKED:
            return None
        size_bytes, begin = buffer[1] & ~MASKED, 2
        if size_bytes == LONGEST_LENGTH or self._fragmented_message_buffer is not None:
            return None
        if size_bytes == LONG_LENGTH:
            size_bytes, begin = int.from_bytes(buffer[2:4]), 4
        end = begin + MASK_BYTES + size_bytes
        if size_bytes > self.params.max_message_size or there_bytes < end:
            return None
        frame = stream._consume(end)  # noqa: SLF001 - the same
        self._wire_bytes_in += end
        self._frame_mask = frame[begin : begin + MASK_BYTES]
        return _websocket_mask(self._frame_mask, frame[begin + MASK_BYTES :])

    def _handle_message(self, opcode: int, data: bytes) -> "asyncio.Future[None] | None":
        self._is_bare = opcode == PING_FRAME
        error = close_frame_error(data) if opcode == CLOSE_FRAME else None
        if not self._is_masked():
            error = PROTOCOL_ERROR  # section 5.1: whatever a client sends is masked
        if error is None or self.client_terminated:
            return super()._handle_message(opcode, data)
        self._fail(error)
        return None

    def _is_masked(self) -> bool:
        return self._frame_mask is not None

    def _fail(self, code: int) -> None:
        self.client_terminated = True  # section 7.1.7: nothing more that it sends is looked at
        self.close(code)

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
        if self.server_terminated:
            # It sees the end, and need not wait for one that takes no notice of its own.
            say_the_end(self.stream)
        await discard(self.stream, DISCARD_BYTES, DISCARD_S)
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
