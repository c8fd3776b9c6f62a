"""Request bodies that are not read to their end: what reaches into Tornado for them.

tests/unit/handlers/base/test_bodies.py fails when a Tornado release changes underneath.

Tornado closes a connection whose request was answered before its body had come in. Where data is
unread in the socket by then, the kernel resets the connection, and a client that is still sending
never sees the answer. So `HTTP1Connection.finish` is let believe that the body was read; Tornado,
which does not deliver the body of a request that was answered, then reads over it.
"""

import contextlib
from collections.abc import Iterator

from tornado.http1connection import HTTP1Connection
from tornado.web import RequestHandler


def expect_body(handler: RequestHandler, limit_bytes: int) -> None:
    """Let this much of a request's body come in, instead of what the server was set to."""
    connection = handler.request.connection
    if isinstance(connection, HTTP1Connection):
        connection.set_max_body_size(limit_bytes)


@contextlib.contextmanager
def reading_on(handler: RequestHandler) -> Iterator[None]:
    """Answer a request within this, and what is left of its body is read and thrown away."""
    connection = handler.request.connection
    if not isinstance(connection, HTTP1Connection) or connection._read_finished:  # noqa: SLF001
        yield
        return
    connection._read_finished = True  # noqa: SLF001
    connection._disconnect_on_finish = False  # noqa: SLF001
    try:
        yield
    finally:
        connection._read_finished = False  # noqa: SLF001
