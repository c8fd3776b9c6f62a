"""What handlers/base/tornado_body.py relies on, so that a changed Tornado is noticed.

If a test here fails after an upgrade, read the module's docstring: what is worked around may have
been mended, or the work-around may do nothing any more.
"""

import asyncio
import inspect

import pytest
from tornado import web
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from handlers.base.tornado_body import expect_body, reading_on

BODY = b"x" * 3_000_000


@web.stream_request_body
class _Early(web.RequestHandler):
    """Answers before the body has come in."""

    reads_on = True

    def prepare(self) -> None:
        expect_body(self, len(BODY))
        if self.reads_on:
            with reading_on(self):
                self.finish("early")
        else:
            self.finish("early")

    def data_received(self, chunk: bytes) -> None:
        raise AssertionError("a request that was answered gets no more of its body")

    def post(self) -> None:
        raise AssertionError("a request that was answered is not carried out")


class _EarlyAndClosing(_Early):
    reads_on = False


async def _exchange(handler: type[web.RequestHandler]) -> bytes:
    """Send a body and a second request on one connection; what comes back."""
    server = HTTPServer(web.Application([("/", handler)]), max_body_size=1000)
    sock, port = bind_unused_port()
    server.add_socket(sock)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        received = bytearray()

        async def read() -> None:
            try:
                while data := await reader.read(65536):
                    received.extend(data)
            except ConnectionError:
                pass

        reading = asyncio.ensure_future(read())
        try:
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY))
            await writer.drain()
            # As a client that begins to send before it listens.
            for start in range(0, len(BODY), 100_000):
                writer.write(BODY[start : start + 100_000])
                await writer.drain()
            writer.write(b"GET /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await writer.drain()
        except ConnectionError:
            pass
        async with asyncio.timeout(20):
            await reading
        writer.transport.abort()
        return bytes(received)
    finally:
        server.stop()
        await server.close_all_connections()


@pytest.mark.gen_test
async def test_the_rest_of_a_body_is_read_over_and_the_connection_goes_on() -> None:
    received = await _exchange(_Early)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.count(b"HTTP/1.1 404") == 1, "the second request is understood"


@pytest.mark.gen_test
async def test_by_itself_tornado_still_closes() -> None:
    """Else the module could go."""
    assert b"HTTP/1.1 404" not in await _exchange(_EarlyAndClosing)


def test_the_names_are_still_there() -> None:
    source = inspect.getsource(HTTP1Connection.finish)
    assert "_read_finished" in source
    assert "_disconnect_on_finish" in source
    assert "_read_finished" in inspect.getsource(HTTP1Connection._read_message_inner)
    assert callable(HTTP1Connection.set_max_body_size)
