"""What handlers/base/tornado_body.py relies on, so that a changed Tornado is noticed.

If a test here fails after an upgrade, read the module's docstring: what is worked around may have
been mended, or the work-around may do nothing any more.
"""

import asyncio
import contextlib
import inspect
import socket
from collections.abc import AsyncIterator

import pytest
from tornado import web
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.testing import bind_unused_port

from handlers.base.tornado_body import EarlyHandler, discard, say_the_end
from tests.support.raw_http import RawHttp, raw_http

BODY = b"x" * 3_000_000
ending: list[asyncio.Task[None]] = []
"""What goes on behind an answer."""


class _Early(EarlyHandler):
    """Answers before the body has come in."""

    def prepare(self) -> None:
        self.finish("early")

    async def data_received(self, chunk: bytes) -> None:
        raise AssertionError("a request that was answered gets no more of its body")

    def end(self, stream: IOStream) -> None:
        ending.append(asyncio.ensure_future(self._end(stream)))

    async def _end(self, stream: IOStream) -> None:
        say_the_end(stream)
        await discard(stream, self.discard_bytes, 10)
        stream.close()

    def post(self) -> None:
        raise AssertionError("a request that was answered is not carried out")


class _EarlyForKnown(_Early):
    goes_on = True


class _Impatient(_EarlyForKnown):
    """Reads over less than comes."""

    discard_bytes = len(BODY) - 1


class _Plain(EarlyHandler):
    """Closes, as nothing says otherwise."""

    def prepare(self) -> None:
        self.finish("early")


@web.stream_request_body
class _EarlyInTornado(web.RequestHandler):
    """The same without what the module does."""

    def prepare(self) -> None:
        self.request.connection.set_max_body_size(len(BODY))  # type: ignore[union-attr]
        self.finish("early")


class _Late(EarlyHandler):
    """Takes a body, up to a bound."""

    max_body_bytes = 10

    def prepare(self) -> None:
        self.expect_body()

    def post(self) -> None:
        self.finish(b"too large" if self.is_too_large else bytes(self.received))


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
    received = await _exchange(_EarlyForKnown)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.count(b"HTTP/1.1 404") == 1, "the second request is understood"


@pytest.mark.gen_test
@pytest.mark.parametrize("handler", [_Early, _Impatient])
async def test_who_goes_on_sending_sees_the_answer_and_the_end(handler: type[_Early]) -> None:
    received = await _exchange(handler)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.endswith(b"early")
    await asyncio.gather(*ending)
    ending.clear()


@pytest.mark.gen_test
async def test_by_itself_tornado_still_closes() -> None:
    """Else the module could go."""
    assert b"HTTP/1.1 404" not in await _exchange(_EarlyInTornado)


@contextlib.asynccontextmanager
async def _served(handler: type[web.RequestHandler]) -> AsyncIterator[RawHttp]:
    server = HTTPServer(web.Application([("/", handler)]), max_body_size=5)
    sock, port = bind_unused_port()
    server.add_socket(sock)
    try:
        async with raw_http(f"127.0.0.1:{port}") as connection:
            yield connection
    finally:
        server.stop()
        await server.close_all_connections()


@pytest.mark.gen_test
@pytest.mark.parametrize("headers", [{}, {"Content-Length": "0"}])
async def test_a_connection_goes_on_after_an_early_answer(headers: dict[str, str]) -> None:
    async with _served(_Early) as connection:
        for _ in range(2):
            await connection.send("GET", "/", headers)
            assert await (await connection.read_head()).read_body() == "early"


@pytest.mark.gen_test
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "close"},
        {"Connection": "close", "Content-Length": "5"},
        {"Connection": "close", "Transfer-Encoding": "chunked"},
        {"Content-Length": str(EarlyHandler.discard_bytes + 1)},
        {"Content-Length": "5", "Expect": "100-continue"},
    ],
    ids=str,
)
@pytest.mark.parametrize("handler", [_EarlyForKnown, _Plain])
async def test_a_connection_ends_where_it_should(
    method: str, headers: dict[str, str], handler: type[EarlyHandler]
) -> None:
    async with _served(handler) as connection:
        await connection.send(method, "/", headers)
        assert await (await connection.read_head()).read_body() == "early"
        await connection.ended()
        assert connection.headers["connection"] == "close"
    await asyncio.gather(*ending)
    ending.clear()


@pytest.mark.gen_test
async def test_what_is_thrown_away_has_a_bound_in_bytes_and_time() -> None:
    with contextlib.ExitStack() as stack:
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        stream = IOStream(ours)
        theirs.setblocking(False)
        assert theirs.send(b"x" * 150_000) == 150_000
        await discard(stream, 100_000, 10)  # ends, though the other end is open
        assert len(await stream.read_bytes(65536, partial=True)) < 50_000
        await discard(stream, 100_000, 0.01)
        stream.close()


@pytest.mark.gen_test
async def test_a_body_is_kept_up_to_its_bound() -> None:
    async with _served(_Late) as connection:
        for body, answer in (("1234567890", "1234567890"), ("12345678901", "too large"), ("", "")):
            await connection.send("POST", "/", body=body)
            assert await (await connection.read_head()).read_body() == answer


@pytest.mark.gen_test
async def test_nothing_waits_for_a_client_that_left_amid_its_body() -> None:
    """`io_loop` sees what is left behind."""
    async with _served(_Late) as connection:
        await connection.send("POST", "/", {"Content-Length": "8"}, "1234")


def test_the_names_are_still_there() -> None:
    source = inspect.getsource(HTTP1Connection.finish)
    assert "_read_finished" in source
    assert "_disconnect_on_finish" in source
    assert "_read_finished" in inspect.getsource(HTTP1Connection._read_message_inner)
    assert callable(HTTP1Connection.set_max_body_size)
