"""Connections that wait for a request: so many of one address; and what a request's head may be.

By itself Tornado keeps each for two minutes, however many there are: one host that opens them and
says nothing takes all descriptors. Beyond the bound the one that has waited longest is closed, as
HTTP allows at any time (RFC 9112 section 9.5): nobody is kept out. Nor does Tornado take addresses
in the absolute form that servers have to accept (section 3.2.2).

What is used beyond Tornado's public interface: that `HTTPServer.start_request` is called whenever a
connection begins to wait, with its `HTTP1ServerConnection` first, and `on_close` when it is over.
"""

import re
from collections.abc import Awaitable, Callable

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

from rtserver.auth.client_address import ClientAddresses, network_of

READ_HEAD_BYTES = 256 * 1024
"""So much of a request's head is read, so that one that is too long can be answered."""
ABSOLUTE = re.compile(r"https?://([^/?#]+)(.*)", re.IGNORECASE)
IDLE_S = 120
BODY_S = 60


class IdleConnections:
    """Those that wait for a request, by address, the longest first."""

    def __init__(self, limit: int) -> None:
        """Make it.

        Args:
            limit: of one address.
        """
        self._limit = limit
        self._waiting: dict[str, dict[HTTP1ServerConnection, None]] = {}

    def begin(self, address: str, connection: HTTP1ServerConnection) -> None:
        """A connection begins to wait; where that is one too many, the first is closed."""
        waiting = self._waiting.setdefault(address, {})
        waiting[connection] = None
        if len(waiting) > self._limit:
            oldest = next(iter(waiting))
            del waiting[oldest]
            oldest.stream.close()

    def end(self, address: str, connection: HTTP1ServerConnection) -> None:
        """A request has come, or the connection is gone."""
        waiting = self._waiting.get(address)
        if waiting is not None:
            waiting.pop(connection, None)
            if not waiting:
                del self._waiting[address]


class BoundedServer(HTTPServer):
    """Tornado's server, with a bound for those that wait."""

    def initialize(  # type: ignore[override]
        self,
        delegate: HTTPServerConnectionDelegate,
        *,
        addresses: ClientAddresses,
        max_idle_per_address: int,
        max_body_bytes: int,
    ) -> None:
        """Make it; Tornado calls this in place of `__init__`.

        Args:
            delegate: answers the requests.
            addresses: know the proxies, whose connections are everybody's and are not bounded.
            max_idle_per_address: so many connections of an address may wait.
            max_body_bytes: of a request.
        """
        super().initialize(
            delegate,
            max_header_size=READ_HEAD_BYTES,
            max_body_size=max_body_bytes,
            idle_connection_timeout=IDLE_S,
            body_timeout=BODY_S,
        )
        self._addresses = addresses
        self._idle = IdleConnections(max_idle_per_address)

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """See Tornado's class."""
        answers = super().start_request(server_conn, request_conn)
        address = self._bounded_address(server_conn)
        if address is None or not isinstance(server_conn, HTTP1ServerConnection):
            return _Awaited(answers, lambda: None)
        self._idle.begin(address, server_conn)
        return _Awaited(answers, lambda: self._idle.end(address, server_conn))

    def on_close(self, server_conn: object) -> None:
        """See Tornado's class."""
        super().on_close(server_conn)
        address = self._bounded_address(server_conn)
        if address is not None and isinstance(server_conn, HTTP1ServerConnection):
            self._idle.end(address, server_conn)

    def _bounded_address(self, server_conn: object) -> str | None:
        """The address that a connection is counted for; None where it is a proxy's."""
        peer = getattr(getattr(server_conn, "context", None), "address", None)
        if not isinstance(peer, tuple) or self._addresses.is_proxy(str(peer[0])):
            return None  # nor does a Unix socket have one
        return network_of(str(peer[0]))


class _Awaited(HTTPMessageDelegate):
    """A request that is waited for, and who answers it."""

    def __init__(self, answers: HTTPMessageDelegate, has_come: Callable[[], None]) -> None:
        self._answers = answers
        self._has_come = has_come

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._has_come()
        if isinstance(start_line, RequestStartLine):
            start_line = _in_origin_form(start_line, headers)
        return self._answers.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._answers.data_received(chunk)

    def finish(self) -> None:
        self._answers.finish()

    def on_connection_close(self) -> None:
        self._answers.on_connection_close()


def _in_origin_form(start_line: RequestStartLine, headers: HTTPHeaders) -> RequestStartLine:
    """A request line as it is without a proxy; the host of the address wins (section 3.2.2)."""
    absolute = ABSOLUTE.fullmatch(start_line.path)
    if absolute is None:
        return start_line
    host, rest = absolute.groups()
    headers["Host"] = host
    return start_line._replace(path=rest if rest.startswith("/") else f"/{rest}")
