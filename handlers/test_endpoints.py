"""Endpoints for other people's test suites; there only with `serve --test-endpoints`.

Autobahn's fuzzing client against `/ws/echo`, SockJS's protocol suite against `/sockjs/...`. They
run through the handlers and base classes of the real endpoints, need no token, and take pages of
every origin, since the suites send invented ones.
"""

import contextlib
from dataclasses import replace
from typing import Any

from tornado.websocket import WebSocketClosedError

from handlers.context import HandlerContext
from handlers.socket_base import SocketHandler
from rtserver.origins import Origins

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


def test_routes(context: HandlerContext) -> list[Any]:
    """The routes to add."""
    given = {"context": replace(context, origins=EveryOrigin())}
    return [(r"/ws/echo", EchoSocket, given)]
