"""The WebSocket protocol of Safari 5 and Opera 11: draft-ietf-hybi-thewebsocketprotocol-00.

Known as hixie-76. SockJS servers speak it for browsers of before RFC 6455. A message is UTF-8 text
between 0x00 and 0xFF; there are no pings, no close codes and no binary messages.
"""

import asyncio
import hashlib
import struct
from typing import Any

from tornado.httputil import HTTPHeaders
from tornado.iostream import IOStream, StreamClosedError, UnsatisfiableReadError
from tornado.websocket import WebSocketClosedError, WebSocketHandler, WebSocketProtocol

KEY_HEADERS = ("Sec-WebSocket-Key1", "Sec-WebSocket-Key2")
CLOSE_S = 5.0
HANDSHAKE_S = 10.0


class HandshakeError(ValueError):
    """A key has no answer."""


def key_number(key: str) -> int:
    """The number in a key (section 5.2): its digits, divided by how many spaces it has.

    Raises:
        HandshakeError: there is none.
    """
    digits = "".join(char for char in key if char in "0123456789")
    spaces = key.count(" ")
    if not digits or not spaces or int(digits[:20]) % spaces:
        raise HandshakeError
    number = int(digits[:20]) // spaces
    if number >= 2**32:
        raise HandshakeError
    return number


def challenge_response(key1: str, key2: str, key3: bytes) -> bytes:
    """What the server answers to the client's three keys.

    Raises:
        HandshakeError: one of them has no answer.
    """
    numbers = struct.pack(">II", key_number(key1), key_number(key2))
    return hashlib.md5(numbers + key3, usedforsecurity=False).digest()


class Hixie76Protocol(WebSocketProtocol):
    """Tornado's seam for a version of the protocol."""

    stream: IOStream

    def __init__(self, handler: WebSocketHandler, max_message_bytes: int) -> None:
        super().__init__(handler)
        self._max_message_bytes = max_message_bytes
        self._closing: asyncio.TimerHandle | None = None

    @staticmethod
    def asked_for(headers: HTTPHeaders) -> bool:
        """Whether a request is of this version."""
        return "Sec-WebSocket-Version" not in headers and all(
            headers.get(name) for name in KEY_HEADERS
        )

    @property
    def selected_subprotocol(self) -> str | None:
        """None is offered by SockJS."""
        return None

    async def accept_connection(self, handler: WebSocketHandler) -> None:
        """Upgrade. The headers go out first: a proxy passes the third key on only after them."""
        request = handler.request
        keys = [request.headers[name] for name in KEY_HEADERS]
        try:
            for key in keys:
                key_number(key)
        except HandshakeError:
            handler.set_status(400)
            handler.finish("Not a valid websocket request")
            return
        scheme = "wss" if request.protocol == "https" else "ws"
        handler.clear_header("Content-Type")
        handler.set_status(101, "WebSocket Protocol Handshake")
        handler.set_header("Upgrade", "WebSocket")
        handler.set_header("Connection", "Upgrade")
        handler.set_header("Sec-WebSocket-Origin", request.headers.get("Origin", "null"))
        handler.set_header("Sec-WebSocket-Location", f"{scheme}://{request.host}{request.uri}")
        handler.finish()
        self.stream = handler._detach_stream()  # noqa: SLF001 - as Tornado's own protocol does
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                key3 = await self.stream.read_bytes(8)
                await self.stream.write(challenge_response(keys[0], keys[1], key3))
        except (StreamClosedError, TimeoutError):
            self._abort()
            return
        if self._run_open(handler):
            await self._receive_frame_loop()

    def _run_open(self, handler: WebSocketHandler) -> bool:
        self._run_callback(handler.open, *handler.open_args, **handler.open_kwargs)
        return not self.client_terminated

    async def _receive_frame_loop(self) -> None:
        try:
            while not self.client_terminated:
                kind = await self.stream.read_bytes(1)
                if kind == b"\x00":
                    await self._receive_message()
                elif kind == b"\xff" and await self.stream.read_bytes(1) == b"\x00":
                    self.client_terminated = True
                    self.close()
                else:
                    self._abort()
        except (StreamClosedError, UnsatisfiableReadError):
            self._abort()
        finally:
            self.handler.on_ws_connection_close()

    async def _receive_message(self) -> None:
        data = await self.stream.read_until(b"\xff", max_bytes=self._max_message_bytes)
        if not self.server_terminated:
            # Section 5.3: what is not UTF-8 is replaced, not refused.
            message = data[:-1].decode("utf-8", "replace")
            handled = self._run_callback(self.handler.on_message, message)
            if handled is not None:
                await handled

    def write_message(
        self,
        message: str | bytes | dict[str, Any],
        binary: bool = False,
    ) -> "asyncio.Future[None]":
        """Send a text.

        Raises:
            ValueError: it is no text.
            WebSocketClosedError: the connection is gone.
        """
        if binary or isinstance(message, dict):
            raise ValueError("this version of the protocol has no binary messages")
        data = message if isinstance(message, bytes) else message.encode()
        if self.server_terminated:
            raise WebSocketClosedError
        try:
            return self.stream.write(b"\x00" + data + b"\xff")
        except StreamClosedError:
            raise WebSocketClosedError from None

    def close(self, code: int | None = None, reason: str | None = None) -> None:  # noqa: ARG002
        """Send the closing handshake; the connection ends when it is answered, or in 5 s."""
        loop = asyncio.get_running_loop()
        if not self.server_terminated:
            self.server_terminated = True
            if not self.stream.closed():
                self.stream.write(b"\xff\x00")
        if self.client_terminated:
            if self._closing is not None:
                self._closing.cancel()
                self._closing = None
            self.stream.close()
        elif self._closing is None:
            self._closing = loop.call_later(CLOSE_S, self._abort)

    def is_closing(self) -> bool:
        """Whether either side has begun to close."""
        return self.stream.closed() or self.client_terminated or self.server_terminated

    def write_ping(self, data: bytes) -> None:
        """There is none."""

    def start_pinging(self) -> None:
        """There is none."""

    def set_nodelay(self, x: bool) -> None:
        """Send small messages at once."""
        self.stream.set_nodelay(x)

    def _process_server_headers(self, key: str | bytes, headers: HTTPHeaders) -> None:
        raise NotImplementedError("for clients")
