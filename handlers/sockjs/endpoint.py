"""`/sockjs/projects`: a session over SockJS, through whichever of its transports gets through.

The first message is a `hello` that says what a WebSocket's address and headers say. From then on
the session is the WebSocket's.
"""

import asyncio
from typing import Any

import structlog

from handlers.base.context import HandlerContext
from handlers.sockjs.library import SockJSConnection
from handlers.sockjs.request import TRANSPORT
from handlers.sockjs.router import Router
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.auth.bearer import FoundToken, TokenSource
from rtserver.delivery.send_buffer import Sink
from rtserver.delivery.wire_forms import Encoding
from rtserver.lib.timer_wheel import Timer
from rtserver.model import ids
from rtserver.model.close_codes import CloseCode
from rtserver.model.errors import AnsweredError
from rtserver.model.visibility import focus_of, view_of
from rtserver.sessions.client_messages import Hello, MessageRefusedError, parse_hello
from rtserver.sessions.request_rates import Counted, TooOftenError
from rtserver.sessions.server_frames import ClosingFrame, encode_frame, turned_away, turned_away_by
from rtserver.sessions.session import Session

PREFIX = "/sockjs/projects"
SCRIPT = "/static/vendor/sockjs.min.js"
HELLO_S = 10.0
MAX_EARLY_MESSAGES = 16
"""So many, and as many frames without a message, are taken of who is not let in yet."""

_log = structlog.get_logger()


class ProjectConnection(SockJSConnection):  # type: ignore[misc]
    """`rtserver.sessions.transport.Transport` on a SockJS session."""

    encoding: Encoding
    sink: Sink

    def __init__(self, session: Any, router: Router, context: HandlerContext) -> None:
        super().__init__(session)
        self._router = router
        self._context = context
        self._hello = Timer(self._no_hello)
        self._entering: asyncio.Task[None] | None = None
        self._early: list[str | bytes] = []
        self._early_bare_frames = 0
        self._session: Session | None = None
        self._acting = Acting(path=PREFIX)

    @property
    def is_early(self) -> bool:
        """Whether nobody was let in yet."""
        return self._session is None

    # What sockjs-tornado calls

    def on_open(self, request: Any) -> None:
        """The client connected; it has some time to say who it is."""
        ip = self._acting.ip = self._context.addresses.find(
            request.ip or "", request.headers.get_list("X-Forwarded-For")
        )
        self._router.strangers.add(self, ip)
        now_s = asyncio.get_running_loop().time()
        self._context.wheel.schedule(self._hello, now_s + HELLO_S)

    def on_message(self, message: str | bytes) -> None:
        """Take the hello, then hand on to the session."""
        if self._session is not None:
            self._session.on_message(message)
        elif self._entering is not None:
            self._early.append(message)
            if len(self._early) > MAX_EARLY_MESSAGES:
                self._turn_away(CloseCode.TOO_MANY_MESSAGES)
        else:
            self._context.wheel.cancel(self._hello)
            try:
                self._check_size(message)
                hello = parse_hello(message)
            except MessageRefusedError as refusal:
                self._turn_away(CloseCode.PROTOCOL_ERROR, str(refusal))
                return
            self._entering = self._context.tasks.start(self._enter(hello), name="sockjs-enter")

    def _check_size(self, message: str | bytes) -> None:
        limit = self._context.max_message_bytes
        text = message.encode("utf-8", "surrogatepass") if isinstance(message, str) else message
        if len(text) > limit:
            raise MessageRefusedError("too_large", f"A message may have {limit} bytes at most")

    def on_message_too_big(self) -> None:
        """A message is so large that it is not even read."""
        if self._session is not None:
            self._session.close(CloseCode.PROTOCOL_ERROR, "A message was far too large")
        else:
            self._turn_away(CloseCode.PROTOCOL_ERROR, "A message was far too large")

    def on_bare_frame(self) -> None:
        """A frame without a message counts as one."""
        if self._session is not None:
            self._session.on_bare_frame()
            return
        self._early_bare_frames += 1
        if self._early_bare_frames > MAX_EARLY_MESSAGES:
            self._turn_away(CloseCode.TOO_MANY_MESSAGES)

    def on_pong(self) -> None:
        """The client sent a pong."""
        if self._session is not None:
            self._session.on_pong()
        else:
            self.on_bare_frame()

    def on_close(self) -> None:
        """The SockJS session is over."""
        self._context.wheel.cancel(self._hello)
        self._router.strangers.discard(self)
        if self._session is not None:
            self._session.on_disconnect(self.session.get_close_reason()[0])

    # The way in

    def _no_hello(self) -> None:
        self._turn_away(
            CloseCode.UNAUTHORIZED, f"Unauthorized: no hello within {HELLO_S:g} seconds"
        )

    async def _enter(self, hello: Hello) -> None:
        self._context.auditor.act(self._acting)
        try:
            await self._let_in(hello)
        except AnsweredError as error:
            if isinstance(error, TooOftenError):
                self._acting.recorded += not error.is_news
            if error.close_code is CloseCode.INTERNAL_ERROR:
                _log.warning("session_not_opened", error=str(error))
            self._say_and_close(turned_away_by(error))
        except Exception:  # noqa: BLE001 - the client is told in any case
            _log.exception("session_failed")
            self._turn_away(CloseCode.INTERNAL_ERROR)

    async def _let_in(self, hello: Hello) -> None:
        gateway = self._context.gateway
        project_id = ids.project_id(hello.project_id)
        view = view_of(hello.proposal_ids)
        looking_at = focus_of(hello.focus or None, view)
        found = FoundToken(hello.token, TokenSource.QUERY) if hello.token else None
        identity = await gateway.identify(found, Counted.CONNECTION)
        entry = await gateway.enter(identity, project_id, TRANSPORT, looking_at)
        if self.is_closed:
            await gateway.leave(entry)
            return
        self._router.strangers.discard(self)
        self.encoding, self.sink = self.session.encoding, self.session.sink
        self._session = self._context.sessions.open(self, identity, entry, view)
        self._session.start(hello.last_event_id)
        early, self._early = self._early, []
        for message in early:
            self._session.on_message(message)

    def _turn_away(self, code: CloseCode, reason: str | None = None) -> None:
        self._say_and_close(turned_away(code, reason))

    def _say_and_close(self, frame: ClosingFrame) -> None:
        """Say why there is no session, and close."""
        if self.is_closed:
            return
        code = CloseCode(frame.code)
        if not self._acting.recorded:
            denied = code in (CloseCode.UNAUTHORIZED, CloseCode.TOO_MANY_MESSAGES)
            self._context.auditor.record(
                Action.CONNECTION_DENIED,
                Outcome.DENIED if denied else Outcome.FAILED,
                by=self._acting,
                reason=code.name.lower(),
                transport=TRANSPORT,
            )
        self.send(encode_frame(frame).decode())
        self.session.close(code, frame.reason)

    # `rtserver.sessions.transport.Transport`

    def ping(self) -> None:
        """Ask for a sign of life, where the transport does not look after that by itself."""
        if self.session.ping() and self._session is not None:
            self._session.on_pong()

    def close(
        self,
        code: int = 3000,
        reason: str = "Go away!",
        retry_after_ms: int | None = None,  # noqa: ARG002 - the `closing` frame said it
    ) -> None:
        """Close after what was sent."""
        self.session.close(code, reason)

    def abort(self) -> None:
        """Drop the connection."""
        self.session.drop()


def sockjs_routes(context: HandlerContext) -> list[Any]:
    """The routes of `/sockjs/projects`."""
    router: Router

    def connect(session: Any) -> ProjectConnection:
        return ProjectConnection(session, router, context)

    router = Router(connect, PREFIX, context, script=SCRIPT)
    return list(router.urls)
