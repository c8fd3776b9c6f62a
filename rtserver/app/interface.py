"""The address that a worker listens on, and Tornado's server behind it."""

from collections.abc import Awaitable

from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.netutil import bind_sockets
from tornado.web import Application

from handlers.base.starting import starting_application
from handlers.base.tornado_body import MAX_BODY_BYTES
from handlers.base.tornado_listener import Listener
from rtserver.app.foundation import Foundation


class Interface(HTTPServerConnectionDelegate):
    """The address that a worker listens on, and the application that answers there.

    Attributes:
        port: of the address.
        server: Tornado's.
    """

    def __init__(self, base: Foundation) -> None:
        """Take the address, without answering on it yet.

        Raises:
            OSError: it is in use, or not this host's.
        """
        settings = base.settings
        self._sockets = [
            Listener(bound.detach(), base.metrics.listener)
            for bound in bind_sockets(settings.port, settings.host, reuse_port=False)
        ]
        for one in self._sockets:
            base.shutdown.push("listener", one.close)
        self.port: int = self._sockets[0].getsockname()[1]
        self._starting = starting_application(base.readiness, base.metrics.http)
        self._application: Application | None = None
        self._answers = False
        self.server = HTTPServer(
            self, max_body_size=MAX_BODY_BYTES, idle_connection_timeout=120, body_timeout=60
        )

    @property
    def application(self) -> Application:
        """What answers each request that comes from now on."""
        return self._application or self._starting

    def answer(self, application: Application | None = None) -> None:
        """Begin to answer, or go on with an application.

        Args:
            application: what answers; None: that the worker is starting.
        """
        self._application = application
        if not self._answers:
            self._answers = True
            self.server.add_sockets(self._sockets)

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """See Tornado's class."""
        if self._application is None:
            return _NextRequest(self, server_conn, request_conn)
        return self._application.start_request(server_conn, request_conn)


class _NextRequest(HTTPMessageDelegate):
    """A request that has not come yet.

    Tornado asks who answers a connection's next request when it has answered the one before; by the
    time it comes the worker may have started.
    """

    def __init__(
        self, interface: Interface, server_conn: object, request_conn: HTTPConnection
    ) -> None:
        self._interface = interface
        self._connections = (server_conn, request_conn)
        self._answers: HTTPMessageDelegate | None = None

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._answers = self._interface.application.start_request(*self._connections)
        return self._answers.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return None if self._answers is None else self._answers.data_received(chunk)

    def finish(self) -> None:
        if self._answers is not None:
            self._answers.finish()

    def on_connection_close(self) -> None:
        if self._answers is not None:
            self._answers.on_connection_close()
