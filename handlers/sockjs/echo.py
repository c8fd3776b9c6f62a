"""Endpoints for other people's test suites; there only with `serve --test-endpoints`.

Autobahn's fuzzing client against `/ws/echo`, SockJS's protocol suite against `/sockjs/...`. They
run through the handlers and base classes of the real endpoints, need no token, and take pages of
every origin, since the suites send invented ones.
"""

import contextlib
from dataclasses import replace
from typing import Any

from tornado.websocket import WebSocketClosedError

from handlers.base.context import HandlerContext
from handlers.realtime.socket_base import SocketHandler
from handlers.sockjs.endpoint import SCRIPT
from handlers.sockjs.library import SockJSConnection
from handlers.sockjs.router import Router
from rtserver.auth.origins import Origins

ECHO_LIMIT_BYTES = 64 * 1024 * 1024


class EveryOrigin(Origins):
    """Pages from anywhere."""

    def __init__(self) -> None:
        super().__init__(())

    def listed(self, origin: str) -> bool:  # noqa: ARG002 - they all are
        """Yes."""
        return True


class EchoSocket(SocketHandler):
    """`/ws/echo`: every message comes back as it was."""

    @property
    def hard_limit_bytes(self) -> int:
        """Autobahn's largest messages have 16 MiB."""
        return ECHO_LIMIT_BYTES

    async def on_message(self, message: str | bytes) -> None:
        """Send it back; the next one is not read before this one is on its way."""
        with contextlib.suppress(WebSocketClosedError):  # the client has gone meanwhile
            await self.write_message(message, binary=isinstance(message, bytes))


class EchoConnection(SockJSConnection):  # type: ignore[misc]
    """Every message comes back."""

    is_early = False

    def on_message(self, message: str | bytes) -> None:
        """Send it back."""
        self.send(message)

    def on_message_too_big(self) -> None:
        """A message is so large that it is not even read."""
        self.session.close(4400, "A message was far too large")

    def on_bare_frame(self) -> None:
        """Suites send as many as they like."""

    def on_pong(self) -> None:
        """Nobody asked."""


class ClosingConnection(EchoConnection):
    """Closes at once."""

    def on_open(self, request: Any) -> None:  # noqa: ARG002 - sockjs-tornado's signature
        """Go away."""
        self.close()


SUITE_LIMIT_BYTES = 4096
"""What SockJS's suite expects a streaming response to end after."""


def test_routes(context: HandlerContext) -> list[Any]:
    """The routes to add.

    The echo sets a cookie, as some load balancers want it: the suite tests that too, at an endpoint
    that it calls `cookie_needed_echo`.
    """
    context = replace(context, origins=EveryOrigin())

    def sockjs(name: str, connection: type[SockJSConnection], **options: Any) -> list[Any]:
        return list(
            Router(
                connection,
                f"/sockjs/{name}",
                context,
                script=SCRIPT,
                response_limit_bytes=SUITE_LIMIT_BYTES,
                **options,
            ).urls
        )

    return [
        (r"/ws/echo", EchoSocket, {"context": context}),
        *sockjs("echo", EchoConnection, cookies=True),
        *sockjs("cookie_needed_echo", EchoConnection, cookies=True),
        *sockjs("disabled_websocket_echo", EchoConnection, websockets=False),
        *sockjs("close", ClosingConnection),
    ]
