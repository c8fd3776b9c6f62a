"""What all HTTP requests of SockJS share: which pages may make them, and the headers of answers.

What is wrong with the library's:

- Every page may connect, `/info` and all others answer any origin with credentials, and
  `iframe.html` lets any page talk to the server as if it were its own. Here one rule holds as for
  every way in, for the page of the Referer too where a request can't carry Origin, and the iframe
  may be framed by those pages only (`frame-ancestors`).
- A callback may be any text, which is put into a script; htmlfile strips the dots and underscores
  that sockjs-client's own callbacks have, so that it can't work at all. Here a callback has the
  characters that SockJS allows or is refused.
- Responses may be transformed on the way (`no-transform` is missing), and a proxy may hold a stream
  back.
- Errors are logged with what a client sent, or not at all; here they go through the server's log.
"""

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from tornado import web
from tornado.httputil import format_timestamp

from handlers.base.handler import REFUSED, BaseHandler
from handlers.base.problems import Problem, origin_refused
from handlers.sockjs.strangers import Room
from rtserver.audit.record.actions import Action
from rtserver.sessions.request_rates import Counted

if TYPE_CHECKING:
    from handlers.sockjs.router import Router

CALLBACK = re.compile(r"[A-Za-z0-9_.-]{1,128}")
TRANSPORT = "sockjs"
YEAR_S = 31_536_000
BUSY_RETRY_AFTER_S = 5
MAX_SESSION_ID_CHARS = 128
"""sockjs-client's have eight; whoever opens a session has it remembered."""


def check_room(room: Room) -> None:
    """See that one more session may be opened.

    Raises:
        Problem: 429 or 503; none may be for now.
    """
    if room is Room.FULL_FOR_ADDRESS:
        raise Problem(
            429,
            "Too many sessions of this address have not said hello yet",
            "too_many",
            retry_after_s=BUSY_RETRY_AFTER_S,
        )
    if room is Room.FULL:
        raise Problem(
            503, "Too many are waiting to be let in", "busy", retry_after_s=BUSY_RETRY_AFTER_S
        )


def check_session_id(session_id: str | None) -> None:
    """See that a session's name is none that would fill the memory.

    Raises:
        Problem: 400.
    """
    if session_id is not None and len(session_id) > MAX_SESSION_ID_CHARS:
        limit = MAX_SESSION_ID_CHARS
        raise Problem(400, f"A session id has {limit} characters at most", "bad_identifier")


class CorrectedHandler(BaseHandler):
    """Mixed into each of the library's HTTP handlers, before it."""

    audit_actions: ClassVar = dict.fromkeys(("GET", "POST", "OPTIONS"), Action.CONNECTION_DENIED)
    server: "Router"
    handle_session_cookie: Callable[[], None]
    opens_sessions = False
    reader = None  # what waits for a session is bounded by its outbox

    def initialize(self, server: "Router") -> None:  # type: ignore[override]
        """Take the router."""
        super().initialize(server.context)
        self.audit_details = {"transport": TRANSPORT}
        self.logged = False  # some of the library's handlers forget it
        super(BaseHandler, self).initialize(server)

    async def prepare(self) -> None:
        """Keep strangers out."""
        # A form that a page without referrers posts has the origin null, as jsonp_send's; newer
        # browsers say besides that the page is our own.
        own = self.request.headers.get("Sec-Fetch-Site") == "same-origin"
        if not own and not self.context.origins.allows(_page_of(self), self.request.host):
            raise origin_refused()
        await self._count()
        check_session_id(self.path_kwargs.get("session_id"))
        self.check_body()

    async def _count(self) -> None:
        """Count the request, unless somebody was let in on its session.

        Messages of such a session have a separate rate, and a poll of one is answered when
        there is something to be said.
        """
        session = None
        if session_id := self.path_kwargs.get("session_id"):
            session = self.server.get_session(session_id)
        opens = self.opens_sessions and session is None
        if opens or session is None or session.is_early or not session.is_peer(self):
            counted = Counted.CONNECTION if opens else Counted.REQUEST
            await self.context.rates.address(self.client_ip, counted)
        if opens:
            check_room(self.server.strangers.room_for(self.client_ip))

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
