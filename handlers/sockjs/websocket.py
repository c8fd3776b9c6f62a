"""SockJS over a WebSocket, with its frames and without them.

The library's ignores size limits, closes without code, and answers wrong methods with a page.
"""

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from handlers.base.handler import BaseHandler
from handlers.base.problems import origin_refused
from handlers.realtime.socket_base import SocketHandler
from handlers.sockjs.library import transports
from handlers.sockjs.request import TRANSPORT, check_room, check_session_id
from handlers.sockjs.sessions import RawSession, SocketSession
from rtserver.audit.record.actions import Action
from rtserver.sessions.request_rates import Counted

if TYPE_CHECKING:
    from handlers.sockjs.router import Router


class CorrectedSocket(SocketHandler):
    """Mixed into the library's WebSocket handlers, before them."""

    audit_actions: ClassVar = {"GET": Action.CONNECTION_DENIED}
    server: "Router"
    session: Any

    def initialize(self, server: "Router") -> None:  # type: ignore[override]
        """Take the router."""
        BaseHandler.initialize(self, server.context)
        self.audit_details = {"transport": TRANSPORT}
        super(SocketHandler, self).initialize(server)

    async def _execute(self, transforms: Any, *args: bytes, **kwargs: bytes) -> None:
        # Past the library's own checks, which Tornado does better.
        await BaseHandler._execute(self, transforms, *args, **kwargs)  # noqa: SLF001

    async def prepare(self) -> None:
        """Answer other methods without a page, and keep strangers out."""
        if self.request.method != "GET":
            self.set_status(405)
            self.set_header("Allow", "GET")
            self.clear_header("Content-Type")
            self.finish()
            return
        if not self.context.origins.allows(self.request.headers.get("Origin"), self.request.host):
            raise origin_refused()
        await self.context.rates.address(self.client_ip, Counted.CONNECTION)
        check_session_id(self.path_kwargs.get("session_id"))
        check_room(self.server.strangers.room_for(self.client_ip))
        self.check_body()

    def attach(self, session: Any) -> None:
        """Begin a session."""
        self.set_nodelay(True)
        self.session = session
        session.set_handler(self)
        session.verify_state()

    def on_message_too_big(self) -> None:
        """A message is so large that it is not even read."""
        if self.session is not None and not self.session.is_closed:
            self.session.conn.on_message_too_big()

    def on_bare_frame(self) -> None:
        """A frame without a message counts as one."""
        if self.session is not None:
            self.session.on_bare_frame()

    def on_pong(self, data: bytes) -> None:  # noqa: ARG002 - Tornado's signature
        """The client is alive."""
        if self.session is not None:
            self.session.on_pong()

    def on_close(self) -> None:
        """The connection is gone."""
        session, self.session = self.session, None
        if session is not None:
            session.remove_handler(self)
            session.close(self.close_code or 1006, "Connection interrupted")


class Socket(CorrectedSocket, transports.WebSocketTransport):  # type: ignore[misc]
    """`/websocket` of a session."""

    def open(self, session_id: str) -> None:
        """Begin a session, which lasts as long as the connection."""
        self.attach(SocketSession(self.server, session_id))

    def on_message(self, message: str | bytes) -> None:
        """Take an array of messages, or one."""
        if self.session is None:
            return
        try:
            messages = msgspec.json.decode(message or "[]", type=list[str] | str)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            self.abort()  # SockJS wants it so: no close frame
            return
        self.session.on_messages([messages] if isinstance(messages, str) else messages)


class RawSocket(CorrectedSocket, transports.RawWebSocketTransport):  # type: ignore[misc]
    """`/websocket` without SockJS's frames."""

    def open(self) -> None:
        """Begin a session."""
        self.attach(RawSession(self.server, ""))

    def on_message(self, message: str | bytes) -> None:
        """Take a message."""
        if self.session is not None:
            self.session.on_messages([message] if message else [])
