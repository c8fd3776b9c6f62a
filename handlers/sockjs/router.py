"""One SockJS endpoint: its routes, its sessions, and how many strangers it lets wait.

What is wrong with the library's: any number of sessions can be opened by anybody, each with queues
without bound; two timers run for ever, for statistics that nobody reads, and each request leaves a
timer behind for 25 s. Here the server's timer wheel keeps time. The test for chunked responses of
SockJS 0.1 is left out.
"""

from collections.abc import Callable
from typing import Any

from tornado.ioloop import IOLoop

from handlers.base.context import HandlerContext
from handlers.sockjs.library import SockJSRouter, static, transports
from handlers.sockjs.pages import Greeting, IFrame, Info
from handlers.sockjs.receiving import EventSource, HtmlFile, JsonpPolling, XhrPolling, XhrStreaming
from handlers.sockjs.sending import JsonpSend, XhrSend
from handlers.sockjs.sessions import PollSession
from handlers.sockjs.strangers import Strangers
from handlers.sockjs.websocket import RawSocket, Socket

DISCONNECT_S = 5.0
"""A session without a receiving request ends after this; a closed one is remembered as long."""
RESPONSE_LIMIT_BYTES = 128 * 1024

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
        strangers: connections of sessions that have not said yet who they are.
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
        self.strangers = Strangers(context.max_strangers_per_address)
        self._transport_urls: list[Any] = [
            (pattern, CORRECTED[handler], given)
            for pattern, handler, given in self.urls
            if handler is not static.ChunkingTestHandler
            and (websockets or handler is not transports.RawWebSocketTransport)
        ]

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
