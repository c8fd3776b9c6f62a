"""The address that a worker listens on, and Tornado's server behind it."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Iterator, Sequence

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
from handlers.base.tornado_answers import WriteTimeouts
from handlers.base.tornado_body import MAX_BODY_BYTES
from handlers.base.tornado_idle import BoundedServer
from handlers.base.tornado_listener import Listener
from rtserver.app.foundation import Foundation
from rtserver.auth.client_address import ClientAddresses
from rtserver.config.settings import Settings

QUICK_START_S = 4.0
"""A start that takes no longer, and misses nothing, is not spoken of: who connects waits for it.

Long enough for a private MongoDB on a busy machine: clients that wait only until somebody listens,
or until `/healthz` says 200, are served then and not refused. A probe is answered within 5 s."""


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
        self._sockets = [Listener(fd, base.metrics.listener) for fd in _descriptors(settings)]
        base.shutdown.push("listener", self._close)
        self.port: int = self._sockets[0].getsockname()[1]
        self._starting = starting_application(
            base.readiness, base.metrics.http, settings.access_log_every
        )
        self._application: Application | None = None
        self._answers = False
        self.server = BoundedServer(
            self,
            addresses=ClientAddresses(settings.trusted_proxies),
            max_idle_per_address=settings.max_idle_connections_per_address,
            max_body_bytes=MAX_BODY_BYTES,
        )
        timeouts = WriteTimeouts(self.server, settings.write_timeout_s, base.metrics.http)
        base.shutdown.tasks("write-timeouts").start(timeouts.run(), name="write-timeouts")

    @property
    def application(self) -> Application:
        """What answers each request that comes from now on."""
        return self._application or self._starting

    @contextlib.contextmanager
    def answering_meanwhile(self) -> Iterator[None]:
        """Say that the worker is starting, where that takes longer than clients like to wait."""
        saying = asyncio.get_running_loop().call_later(QUICK_START_S, self.say_starting)
        try:
            yield
        finally:
            saying.cancel()

    def stop_accepting(self) -> None:
        """Take no more connections, and no more requests than one on those that there are.

        A client that is told so sends the next one elsewhere, instead of into a connection that is
        closed just then.
        """
        self.server.stop()
        self.server.conn_params.no_keep_alive = True

    def answer(self, application: Application) -> None:
        """Go on with the application of a worker that has started."""
        self._application = application
        self.say_starting()

    def say_starting(self) -> None:
        """Answer those who connect before the worker serves."""
        if not self._answers:
            self._answers = True
            self.server.add_sockets(self._sockets)

    async def _close(self) -> None:
        if self._answers:
            self.server.stop()
            await self.server.close_all_connections()
        for one in self._sockets:
            one.close()

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """See Tornado's class."""
        if self._application is None:
            return _NextRequest(self, server_conn, request_conn)
        return self._application.start_request(server_conn, request_conn)


def _descriptors(settings: Settings) -> Sequence[int]:
    for fd in settings.listen_fds:
        os.set_inheritable(fd, False)  # nothing that the worker starts has to have it
        with socket.socket(fileno=os.dup(fd)) as inherited:
            if not inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise OSError(errno.EINVAL, f"descriptor {fd} of RT_LISTEN_FDS does not listen")
    if settings.listen_fds:
        return settings.listen_fds
    bound = bind_sockets(settings.port, settings.host, reuse_port=False)
    return [one.detach() for one in bound]


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
