"""`/ws/projects/{project_id}`: a session over WebSocket (RFC 6455)."""

from http import HTTPStatus
from typing import ClassVar

from handlers.base.context import HandlerContext
from handlers.base.handler import CLIENT_HAS_LEFT
from handlers.base.problems import origin_refused
from handlers.base.tornado_last_words import write_or_drop
from handlers.base.tornado_socket import (
    PUBLISHER_FRAMES_IN_TURN,
    SessionProtocol,
    StreamSink,
)
from handlers.realtime.socket_base import SocketHandler
from rtserver.audit.record.actions import Action
from rtserver.audit.record.outcomes import record_failed
from rtserver.delivery.send_buffer import Sink
from rtserver.delivery.wire_forms import Encoding
from rtserver.model.close_codes import CloseCode
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import AnsweredError
from rtserver.model.identity import Identity
from rtserver.model.visibility import focus_of, view_of
from rtserver.sessions.client_messages import MessageRefusedError, SessionQuery
from rtserver.sessions.request_rates import Counted
from rtserver.sessions.server_frames import ClosingFrame, encode_frame, turned_away_by
from rtserver.sessions.session import Session

_SAID_BEFORE = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
"""What passes by itself is said before the upgrade: a page tries again in any case."""


class SessionSocket(SocketHandler):
    """Checks token, origin and room before the upgrade; then only passes bytes on."""

    audit_actions: ClassVar = {"GET": Action.CONNECTION_DENIED}
    encoding = Encoding.WEBSOCKET
    sink: Sink

    def initialize(self, context: HandlerContext) -> None:
        """Take what the composition root gives."""
        super().initialize(context)
        self.audit_details = {"transport": self.encoding.value}
        self._session: Session | None = None
        self._refused: ClosingFrame | None = None
        self._identity: Identity | None = None
        self._entry: ConnectionRecord | None = None
        self._project_id = ""
        self._view: frozenset[str] | None = None
        self._looking_at: frozenset[str] = frozenset()
        self._last_event_id: str | None = None

    async def get(self, *args: str, **kwargs: str) -> None:
        """Let the client in, or say why not.

        A token that is not good, and ids that are none, are said after the upgrade, as a close
        code, because a browser shows a page nothing of a refused upgrade: its page would try again
        for ever. A full project is said before it.
        """
        self.check_handshake()
        origin = self.request.headers.get("Origin")
        if not self.context.origins.allows(origin, self.request.host):
            raise origin_refused()
        await self._try_to_enter(args)
        try:
            if self.has_left:
                self.set_status(CLIENT_HAS_LEFT, "Client Closed Request")
            else:
                await super().get(*args, **kwargs)
        finally:
            if self._entry is not None and self._session is None:
                await self.context.gateway.leave(self._entry)  # the upgrade failed

    def _read_request(self, path_args: tuple[str, ...]) -> None:
        """Check what is asked for.

        Raises:
            BadIdentifier, InvalidError: it can't be had.
        """
        self.acting.project_id = self._project_id = self.project_id(path_args[0])
        query = self.read_query(SessionQuery)
        self._view = view_of(query.proposal_id)
        self._looking_at = focus_of(query.focus or None, self._view)
        self._last_event_id = query.last_event_id

    async def _enter(self, identity: Identity) -> ConnectionRecord:
        """Take a place."""
        return await self.context.gateway.enter(
            identity, self._project_id, self.encoding.value, self._looking_at
        )

    def _make_session(self, identity: Identity, entry: ConnectionRecord) -> Session:
        """Make the session of a connection that has a place."""
        return self.context.sessions.open(self, identity, entry, self._view)

    async def _try_to_enter(self, path_args: tuple[str, ...]) -> None:
        try:
            # First of all: a record of what is refused after this says who was refused.
            self._identity = await self.context.gateway.identify(
                self.found_token(), Counted.CONNECTION
            )
            self._read_request(path_args)
            self._entry = await self._enter(self._identity)
        except AnsweredError as error:
            if error.status in _SAID_BEFORE:
                raise
            if error.close_code is CloseCode.PROTOCOL_ERROR:
                auditor, details = self.context.auditor, self.audit_details
                record_failed(auditor, self.audit_action, error, by=self.acting, **details)
            self._refused = turned_away_by(error)

    def open(self, *_args: str, **_kwargs: str) -> None:
        """The upgrade is done."""
        if self._refused is not None:
            write_or_drop(self, encode_frame(self._refused))
            self.close(self._refused.code, self._refused.reason)
            return
        assert self._identity is not None  # noqa: S101 - `get` saw to it
        assert self._entry is not None  # noqa: S101 - the same
        protocol = self.ws_connection
        assert isinstance(protocol, SessionProtocol)  # noqa: S101 - `get_websocket_protocol` made it
        self.set_nodelay(True)  # or small frames wait for acknowledgements, see `EventStream`
        self.sink = protocol.sink = StreamSink(protocol.stream)
        if self._identity.is_service:
            protocol.most_frames_in_turn = PUBLISHER_FRAMES_IN_TURN
        self._session = self._make_session(self._identity, self._entry)
        self.forget_request()
        self._session.start(self._last_event_id)

    def on_message(self, message: str | bytes) -> None:
        """Hand a message over; never waits, so that pings are answered meanwhile."""
        if self._session is not None:
            self._session.on_message(message)

    def on_message_too_big(self) -> None:
        """A message is so large that it is not even read."""
        if self._session is not None:
            limit = self.context.max_message_bytes
            self._session.refuse(
                MessageRefusedError("too_large", f"A message may have {limit} bytes at most")
            )
            self._session.close(CloseCode.PROTOCOL_ERROR, "A message was far too large")

    def on_bare_frame(self) -> None:
        """A frame without a message counts as one."""
        if self._session is not None:
            self._session.on_bare_frame()

    def on_pong(self, data: bytes) -> None:  # noqa: ARG002 - Tornado's signature
        """The client is alive."""
        if self._session is not None:
            self._session.on_pong()

    def on_close(self) -> None:
        """The connection is gone."""
        if self._session is not None:
            self._session.on_disconnect(self.close_code)
