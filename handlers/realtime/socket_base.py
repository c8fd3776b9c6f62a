"""The base of all WebSockets (RFC 6455): who may connect, how much is taken, how it ends."""

import contextlib
from collections.abc import Coroutine
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketHandler

from handlers.base.handler import BaseHandler
from handlers.base.problems import Problem
from handlers.base.tornado_socket import (
    MESSAGE_TOO_BIG,
    SessionProtocol,
    compact,
    empty_headers,
    protocol_of,
)
from rtserver.auth.bearer import choose_subprotocol

VERSION = "13"
HARD_LIMIT_FACTOR = 16
"""Up to so many times `max_message_bytes` a message is read and refused in words, with its
`request_id` where that can be read; beyond it the connection is closed."""


class SocketHandler(WebSocketHandler, BaseHandler):
    """A WebSocket on Tornado, with what Tornado leaves to its users."""

    answers_head = False  # to look at a socket's address is no reason to open one

    has_left = False
    """Whether the client went away. Tornado says it once, also where nothing was open yet."""

    async def prepare(self) -> None:
        """See that there is no body. Who shows a token is counted where it is looked at."""
        self.check_body()

    def on_connection_close(self) -> None:
        """The client is gone."""
        self.has_left = True
        super().on_connection_close()

    def check_handshake(self) -> None:
        """See whether the request is the opening of a WebSocket (RFC 6455 section 4.2.1).

        Raises:
            Problem: 426 with what would be understood, or 400.
        """
        headers = self.request.headers
        if headers.get("Upgrade", "").strip().lower() != "websocket":
            raise Problem(
                426,
                "This address is a WebSocket's: open one, or use the event stream",
                "upgrade_required",
                headers={"Upgrade": "websocket", "Connection": "Upgrade"},
            )
        connection = headers.get("Connection", "").lower().split(",")
        if "upgrade" not in map(str.strip, connection) or not headers.get("Sec-WebSocket-Key"):
            raise Problem(
                400,
                "The WebSocket's opening is incomplete; a proxy on the way may not pass on "
                "Connection, Upgrade and Sec-WebSocket-Key",
                "handshake",
            )
        if headers.get("Sec-WebSocket-Version") != VERSION:
            # RFC 6455 section 4.4: the answer says which version would be taken.
            raise Problem(
                426,
                f"Only version {VERSION} of WebSocket is spoken here",
                "upgrade_required",
                headers={"Upgrade": "websocket", "Sec-WebSocket-Version": VERSION},
            )

    @property
    def hard_limit_bytes(self) -> int:
        """The largest message that is read at all."""
        return self.context.max_message_bytes * HARD_LIMIT_FACTOR

    def check_origin(self, origin: str) -> bool:
        """Tornado asks for requests that look cross-origin to it; the rule is one."""
        return self.context.origins.allows(origin, self.request.host)

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Answer `bearer` where the token came with it."""
        return choose_subprotocol(subprotocols)

    def get_websocket_protocol(self) -> SessionProtocol | None:
        """Tornado's protocol, with our answers to what a client does wrong."""
        if self.request.headers.get("Sec-WebSocket-Version") != VERSION:
            return None
        return protocol_of(self, self.hard_limit_bytes)

    def on_message_too_big(self) -> None:
        """A message is so large that it is not even read."""
        self.close(MESSAGE_TOO_BIG, "A message was far too large")

    def on_bare_frame(self) -> None:
        """A ping came, or part of a message. Pongs come to `on_pong`."""

    async def await_turn(self) -> None:
        """Wait until a frame may be taken apart that came together with another one."""
        await self.context.rates.await_turn(self.client_ip)

    def discard_input(self, discarding: Coroutine[Any, Any, None]) -> None:
        """Own the task that reads what is left of a message that is too big."""
        self.context.tasks.start(discarding, name="discard-input")

    def ping(self, data: str | bytes = b"") -> None:
        """Send a ping; the pong comes to `on_pong`."""
        if self.ws_connection is None or self.ws_connection.is_closing():
            return
        with contextlib.suppress(StreamClosedError):  # `on_close` follows by itself
            self.ws_connection.write_ping(data if isinstance(data, bytes) else data.encode())

    def close(
        self,
        code: int | None = None,
        reason: str | None = None,
        retry_after_ms: int | None = None,  # noqa: ARG002 - the `closing` frame said it
    ) -> None:
        """Send the close frame; Tornado ends the connection when it is answered, or in 5 s."""
        super().close(code, None if reason is None else _fitting(reason))

    def abort(self) -> None:
        """Drop the connection."""
        if self.ws_connection is not None:
            self.ws_connection._abort()  # noqa: SLF001 - Tornado has no public word for it

    def forget_request(self) -> None:
        """Let go of what only the opening needed: it would stay for the connection's whole life.

        It is the largest part of what is kept for an idle connection, and it has the token.
        """
        request = self.request
        # Emptied, not replaced: Tornado's own code, which waits for the next frame, holds them too.
        empty_headers(request.headers)
        empty_headers(self._headers)  # of the answer, which is sent
        request.arguments = request.query_arguments = request.body_arguments = {}
        request.uri, request.query = request.path, ""
        request.connection = None  # the HTTP connection's part is over since the upgrade
        self.path_args, self.path_kwargs = [], {}
        self.open_args, self.open_kwargs = (), {}
        del self.ui  # for templates
        compact(self)
        if self.ws_connection is not None:
            compact(self.ws_connection)


def _fitting(reason: str) -> str:
    """A close reason has 123 bytes at most (RFC 6455 section 5.5)."""
    return reason.encode()[:123].decode("utf-8", "ignore")
