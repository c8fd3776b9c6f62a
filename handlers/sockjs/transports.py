"""sockjs-tornado 1.0.7 corrected, for Tornado 6.6: what is wrong, why, and what stands instead.

Nobody maintains the library. Its addresses, static answers and the flow of a request through its
transports are used as they are; all that is replaced is here, and in `sockjs_sessions.py`:

- Origins: every page may connect, `/info` and all others answer any origin with credentials, and
  `iframe.html` lets any page talk to the server as if it were its own. Here one rule holds as for
  every way in, for the page of the Referer too where a request can't carry Origin, and the iframe
  may be framed by those pages only (`frame-ancestors`).
- sockjs-client runs `decodeURI` over each frame of an event stream, and nothing escapes them for
  it: a text with `%` in it was lost, changed, or taken for the end of its message and another one.
- JSONP and htmlfile take any text as callback and put it into a script; htmlfile strips the dots
  and underscores that sockjs-client's own callbacks have, so that it can't work at all. Here a
  callback has the characters that SockJS allows or is refused; JSONP answers begin with `/**/`,
  and no message can end the script that it stands in.
- Responses may be transformed on the way (`no-transform` is missing), and a proxy may hold a stream
  back.
- Streams of HTTP/1.0 clients that ask for keep-alive never end.
- `xhr_send` and `jsonp_send` iterate over whatever JSON they get, over the letters of a string too,
  and answer 500 for what was an error of ours. Anybody who knows a session may send to it.
- Any number of sessions can be opened by anybody, each with queues without bound.
- A lost connection is handled by writing to it. Errors are logged with what a client sent, or not
  at all; here they go through the server's log.
- The WebSocket ignores size limits, closes without code, and answers wrong methods with a page.
- The entropy in `/info` is guessable, and larger than sockjs-client's arithmetic can take.
- Two timers of the router run for ever, for statistics that nobody reads; each request leaves a
  timer behind for 25 s. Here the server's timer wheel keeps time.
- The test for chunked responses of SockJS 0.1 is left out.
"""

import json
import re
import secrets
import time
import warnings
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec
from tornado import web
from tornado.httputil import format_timestamp
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketHandler

from handlers.base.context import HandlerContext
from handlers.base.handler import REFUSED, BaseHandler, Problem, origin_refused
from handlers.base.tornado_socket import detect_dead_peer, end_with_response, stream_of
from handlers.realtime.socket_base import HARD_LIMIT_FACTOR, SocketHandler
from handlers.sockjs.sessions import PollSession, RawSession, SocketSession
from rtserver.audit.record.actions import Action

with warnings.catch_warnings():
    # Decorated by what Tornado has deprecated, which the library brings itself.
    warnings.simplefilter("ignore")
    from sockjs.tornado import SockJSConnection, SockJSRouter, static, transports
    from sockjs.tornado.transports.htmlfile import HTMLFILE_HEAD

__all__ = ["Router", "SockJSConnection"]

CALLBACK = re.compile(r"[A-Za-z0-9_.-]{1,128}")
URI_ESCAPES = str.maketrans({char: f"%{ord(char):02X}" for char in "%\r\n\0"})
"""What `decodeURI` makes something else of, and what a line of an event stream can't hold."""
TRANSPORT = "sockjs"
YEAR_S = 31_536_000
DISCONNECT_S = 5.0
"""A session without a receiving request ends after this; a closed one is remembered as long."""
MAX_STRANGERS = 1000
"""Sessions of one endpoint that have not said yet who they are."""
RESPONSE_LIMIT_BYTES = 128 * 1024
BUSY_RETRY_AFTER_S = 5

_decode_messages = msgspec.json.Decoder(list[str]).decode


class CorrectedHandler(BaseHandler):
    """Mixed into each of the library's HTTP handlers, before it."""

    audit_actions: ClassVar = dict.fromkeys(("GET", "POST", "OPTIONS"), Action.CONNECTION_DENIED)
    server: "Router"
    handle_session_cookie: Callable[[], None]
    opens_sessions = False

    def initialize(self, server: "Router") -> None:  # type: ignore[override]
        """Take the router."""
        super().initialize(server.context)
        self.audit_details = {"transport": TRANSPORT}
        self.logged = False  # some of the library's handlers forget it
        super(BaseHandler, self).initialize(server)

    def prepare(self) -> None:
        """Keep strangers out."""
        # A form that a page without referrers posts has the origin null, as jsonp_send's; newer
        # browsers say besides that the page is our own.
        own = self.request.headers.get("Sec-Fetch-Site") == "same-origin"
        if not own and not self.context.origins.allows(_page_of(self), self.request.host):
            raise origin_refused()
        if self.opens_sessions and not self.server.has_room():
            raise Problem(
                503, "Too many are waiting to be let in", "busy", retry_after_s=BUSY_RETRY_AFTER_S
            )
        super().prepare()

    def refuses_act(self, status: int) -> bool:
        """Only what would open a session is a connection; messages of one that is over are none."""
        return super().refuses_act(status) and (self.opens_sessions or status in REFUSED)

    def preflight(self) -> None:
        """The headers that let a page of an allowed origin read the answer."""
        self.add_header("Vary", "Origin")
        origin = self.request.headers.get("Origin")
        if origin is None and self.context.origins.listed("*"):
            self.set_header("Access-Control-Allow-Origin", "*")
        if origin is not None and self.context.origins.allows(origin, self.request.host):
            self.set_header("Access-Control-Allow-Origin", origin)
            self.set_header("Access-Control-Allow-Credentials", "true")
        if asked := self.request.headers.get("Access-Control-Request-Headers"):
            self.set_header("Access-Control-Allow-Headers", asked)

    def enable_cache(self) -> None:
        """Let clients keep the answer for a year."""
        self.set_header("Cache-Control", f"max-age={YEAR_S}, public")
        self.set_header("Expires", format_timestamp(time.time() + YEAR_S))
        self.set_header("Access-Control-Max-Age", str(YEAR_S))

    def disable_cache(self) -> None:
        """Let nobody on the way keep, change or hold back the answer."""
        self.set_header(
            "Cache-Control", "no-store, no-cache, no-transform, must-revalidate, max-age=0"
        )
        self.set_header("X-Accel-Buffering", "no")

    def complain(self, words: str) -> None:
        """SockJS's answer to what a client does wrong: 500 and a text."""
        self.set_status(500)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(words)

    def callback_name(self) -> str | None:
        """The function that the answer is to call; None where there is none (and it was said)."""
        name = self.get_query_argument("c", "", strip=False)
        if not name:
            self.complain('"callback" parameter required')
            return None
        if not CALLBACK.fullmatch(name):
            self.complain('invalid "callback" parameter')
            return None
        return name

    def frame_ancestors(self) -> None:
        """Allow the frame to pages that may connect, and to no other."""
        ancestors = " ".join(["'self'", *self.context.origins.all_listed()])
        self.set_header("Content-Security-Policy", f"frame-ancestors {ancestors}")


def _page_of(handler: web.RequestHandler) -> str | None:
    """The origin of the page behind a request; None where the request does not tell."""
    origin: str | None = handler.request.headers.get("Origin")
    referer = handler.request.headers.get("Referer")
    if origin is not None or not referer:
        return origin
    try:
        parts = urlsplit(referer)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}"


class ReceivingHandler(CorrectedHandler):
    """A request that carries what the server sends, once or for as long as it lasts."""

    session: PollSession | None
    answers_head = False
    opens_sessions = True
    _attach_session: Callable[..., bool]
    _log_disconnect: Callable[[], None]

    def send_complete(self, future: Any = None) -> None:
        """What was sent is in the socket, or the connection broke: Tornado does not tell which."""
        if stream_of(self).closed():
            self.on_connection_close()
        else:
            super().send_complete(future)  # type: ignore[misc]

    def on_connection_close(self) -> None:
        """The client went away: what was under way may be lost, so the session is over."""
        session, self.session = self.session, None
        if session is not None:
            session.remove_handler(self)
            session.close(1002, "Connection interrupted")
        self._log_disconnect()


class StreamingHandler(ReceivingHandler):
    """A response that goes on until so many bytes were sent, to free the browser's memory."""

    def prepare(self) -> None:
        """Make the connection one that ends, whatever becomes of the client."""
        super().prepare()
        if self.request.version == "HTTP/1.0":
            end_with_response(self)
        stream = stream_of(self)
        stream.set_nodelay(True)
        detect_dead_peer(stream, self.context.pong_timeout_s)

    def begin(self, session_id: str, content_type: str, prelude: str) -> None:
        """Begin the response, and send what there is."""
        self._auto_finish = False
        self.preflight()
        self.handle_session_cookie()
        self.disable_cache()
        self.set_header("Content-Type", content_type)
        self.write(prelude)
        self.flush()
        if not self._attach_session(session_id, start_heartbeat=False):
            self.finish()
        elif self.session is not None:
            self.session.flush()


class XhrPolling(ReceivingHandler, transports.XhrPollingTransport):  # type: ignore[misc]
    """`/xhr`."""


class XhrStreaming(StreamingHandler, transports.XhrStreamingTransport):  # type: ignore[misc]
    """`/xhr_streaming`."""

    def post(self, session_id: str) -> None:
        """Begin with 2 KiB, which some browsers hold back."""
        self.begin(session_id, "application/javascript; charset=UTF-8", "h" * 2048 + "\n")


class EventSource(StreamingHandler, transports.EventSourceTransport):  # type: ignore[misc]
    """`/eventsource`."""

    def get(self, session_id: str) -> None:
        """Begin with an empty line, for old Opera."""
        self.begin(session_id, "text/event-stream", "\r\n")

    def send_pack(self, message: str, binary: bool = False) -> None:  # noqa: ARG002
        """Send an event; sockjs-client's receiver decodes its data by `decodeURI`."""
        self.active = False
        data = f"data: {message.translate(URI_ESCAPES)}\r\n\r\n"
        self.notify_sent(len(data))
        self.write(data)
        self.flush().add_done_callback(self.send_complete)


class HtmlFile(StreamingHandler, transports.HtmlFileTransport):  # type: ignore[misc]
    """`/htmlfile`."""

    def get(self, session_id: str) -> None:
        """Begin with the page in which the scripts arrive."""
        name = self.callback_name()
        if name is not None:
            self.frame_ancestors()
            self.begin(session_id, "text/html; charset=UTF-8", HTMLFILE_HEAD % name)

    def send_pack(self, message: str, binary: bool = False) -> None:  # noqa: ARG002
        """Send a script."""
        self.active = False
        text = json.dumps(message).replace("<", r"\u003c")  # no message ends the script
        self.notify_sent(len(text))
        self.write(f"<script>\np({text});\n</script>\r\n")
        self.flush().add_done_callback(self.send_complete)


class JsonpPolling(ReceivingHandler, transports.JSONPTransport):  # type: ignore[misc]
    """`/jsonp`."""

    def get(self, session_id: str) -> None:
        """Answer with a call of the client's function."""
        if self.callback_name() is not None:
            super().get(session_id)

    def send_pack(self, message: str, binary: bool = False) -> None:  # noqa: ARG002
        """Send the call; the comment keeps a callback from being read as another format."""
        self.active = False
        body = f"/**/{self.callback}({json.dumps(message)});\r\n"
        self.set_header("Content-Type", "application/javascript; charset=UTF-8")
        self.set_header("Content-Length", str(len(body)))
        self.write(body)
        self.flush().add_done_callback(self.send_complete)


class SendingHandler(CorrectedHandler):
    """A request that carries messages from the client."""

    def take(self, session_id: str, body: Callable[[], bytes]) -> bool:
        """Hand the messages to the session; whether that worked (else it was said)."""
        self.preflight()
        self.handle_session_cookie()
        self.disable_cache()
        session = self.server.get_session(session_id)
        if session is None or session.is_closed or not session.is_peer(self):
            self.set_status(404)
            return False
        data = body()
        if len(data) > self.context.max_message_bytes * HARD_LIMIT_FACTOR:
            raise Problem(413, "The messages are far too large", "too_large")
        if not data:
            self.complain("Payload expected.")
            return False
        try:
            messages = _decode_messages(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            self.complain("Broken JSON encoding.")
            return False
        session.on_messages(messages)
        return True


class XhrSend(SendingHandler, transports.XhrSendHandler):  # type: ignore[misc]
    """`/xhr_send`."""

    def post(self, session_id: str) -> None:
        """Take messages; 204."""
        if self.take(session_id, lambda: self.request.body):
            self.set_status(204)
            # Firefox takes an answer without a type for XML. Sent at once, since Tornado drops the
            # type of an answer without a body when it finishes.
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.flush()


class JsonpSend(SendingHandler, transports.JSONPSendHandler):  # type: ignore[misc]
    """`/jsonp_send`."""

    def post(self, session_id: str) -> None:
        """Take messages; `ok`, since some browsers make a page of a 204."""
        if self.take(session_id, self._payload):
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.finish("ok")

    def _payload(self) -> bytes:
        body: bytes = self.request.body
        content_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip()
        if content_type.lower() != "application/x-www-form-urlencoded":
            return body
        return unquote_to_bytes(body[2:].replace(b"+", b" ")) if body.startswith(b"d=") else b""


class Info(CorrectedHandler, static.InfoHandler):  # type: ignore[misc]
    """`/info`."""

    def get(self) -> None:
        """Say what the endpoint can do."""
        self.preflight()
        self.disable_cache()
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(
            json.dumps(
                {
                    "websocket": self.server.websockets_enabled,
                    "cookie_needed": self.server.cookie_needed,
                    "origins": ["*:*"],
                    "entropy": secrets.randbits(32),
                }
            )
        )


IFRAME_PAGE = """<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="{script}"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>
"""


class IFrame(CorrectedHandler, static.IFrameHandler):  # type: ignore[misc]
    """`/iframe*.html`: the page as SockJS prescribes it. Tornado adds the ETag."""

    def get(self) -> None:
        """Answer with the page."""
        self.enable_cache()
        self.frame_ancestors()
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.finish(IFRAME_PAGE.format(script=self.server.settings["sockjs_url"]))


class Greeting(CorrectedHandler, static.GreetingsHandler):  # type: ignore[misc]
    """The endpoint's own address."""


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
        await WebSocketHandler._execute(self, transforms, *args, **kwargs)  # noqa: SLF001

    def prepare(self) -> None:
        """Answer other methods without a page, and keep strangers out."""
        if self.request.method != "GET":
            self.set_status(405)
            self.set_header("Allow", "GET")
            self.clear_header("Content-Type")
            self.finish()
            return
        if not self.context.origins.allows(self.request.headers.get("Origin"), self.request.host):
            raise origin_refused()
        if not self.server.has_room():
            raise Problem(
                503, "Too many are waiting to be let in", "busy", retry_after_s=BUSY_RETRY_AFTER_S
            )

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
        if not message or self.session is None:
            return
        try:
            messages = msgspec.json.decode(message, type=list[str] | str)
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
        if message and self.session is not None:
            self.session.on_messages([message])


CORRECTED: dict[Any, Any] = {
    transports.XhrPollingTransport: XhrPolling,
    transports.XhrStreamingTransport: XhrStreaming,
    transports.EventSourceTransport: EventSource,
    transports.HtmlFileTransport: HtmlFile,
    transports.JSONPTransport: JsonpPolling,
    transports.XhrSendHandler: XhrSend,
    transports.JSONPSendHandler: JsonpSend,
    transports.WebSocketTransport: Socket,
    transports.RawWebSocketTransport: RawSocket,
    static.InfoHandler: Info,
    static.IFrameHandler: IFrame,
    static.GreetingsHandler: Greeting,
}


class Router(SockJSRouter):  # type: ignore[misc]
    """One SockJS endpoint.

    Attributes:
        context: what handlers are given.
        sessions: those over HTTP, by session id.
        strangers: sessions that have not said yet who they are.
    """

    def __init__(
        self,
        connection: Callable[[Any], Any],
        prefix: str,
        context: HandlerContext,
        *,
        script: str,
        websockets: bool = True,
        cookies: bool = False,
        response_limit_bytes: int = RESPONSE_LIMIT_BYTES,
    ) -> None:
        """Make an endpoint; its `urls` are for the application.

        Args:
            connection: makes the `SockJSConnection` of a session.
            prefix: the endpoint's address.
            context: what handlers are given.
            script: where the iframe finds sockjs-client.
            websockets: False where something on the way breaks them.
            cookies: set JSESSIONID, for load balancers that stick by it.
            response_limit_bytes: a streaming response ends after so much.
        """
        settings = {
            "sockjs_url": script,
            "response_limit": response_limit_bytes,
            "jsessionid": cookies,
            "disabled_transports": [] if websockets else ["websocket"],
        }
        super().__init__(connection, prefix, settings, IOLoop.current())
        self._sessions_cleanup.stop()
        self.stats._callback.stop()  # noqa: SLF001 - the library starts it and has no way to stop
        self.context = context
        self.sessions: dict[str, PollSession] = {}
        self.strangers: set[Any] = set()
        self._transport_urls: list[Any] = [
            (pattern, CORRECTED[handler], given)
            for pattern, handler, given in self.urls
            if handler is not static.ChunkingTestHandler
            and (websockets or handler is not transports.RawWebSocketTransport)
        ]

    def has_room(self) -> bool:
        """Whether one more may come in that nobody knows."""
        return len(self.strangers) < MAX_STRANGERS

    def create_session(self, session_id: str, register: bool = True) -> PollSession:  # noqa: ARG002
        """A new session over HTTP."""
        session = PollSession(self, session_id, DISCONNECT_S)
        self.sessions[session_id] = session
        return session

    def get_session(self, session_id: str) -> PollSession | None:
        """A session over HTTP, also one that was closed a moment ago."""
        return self.sessions.get(session_id)

    def forget(self, session: PollSession) -> None:
        """A closed session need not be remembered any more."""
        if self.sessions.get(session.session_id) is session:
            del self.sessions[session.session_id]
