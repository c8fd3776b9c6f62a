"""Answers that are not read, on Tornado's own server, with clients that do as the test says."""

import asyncio
import contextlib
import inspect
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.iostream import BaseIOStream, StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from handlers.base.metrics import HttpMetrics
from handlers.base.tornado_answers import (
    LEAST_TAKEN_BYTES,
    UnreadAnswers,
    UnreadError,
    WriteTimeouts,
    taken_bytes,
)
from rtserver.observe.metrics import MetricsRegistry
from tests.support.waiting import until

MIB = 1 << 20
ANSWER = b"x" * (12 * MIB)
"""More than the kernel takes off our hands."""
TIMEOUT_S = 30.0


class _Handler(RequestHandler):
    """Answers with much, at once or in pieces."""

    def initialize(self, unread: UnreadAnswers) -> None:
        self._unread = unread

    async def get(self, how: str) -> None:
        if how == "pieces":
            with contextlib.suppress(StreamClosedError):
                for start in range(0, len(ANSWER), MIB):
                    self.write(ANSWER[start : start + MIB])
                    await self.flush()
        else:
            self.finish(ANSWER if how == "much" else b"little")

    def flush(self, include_footers: bool = False) -> "asyncio.Future[None]":
        sending = super().flush(include_footers)
        self._unread.sent("ada", self.request.connection)
        return sending


class _Stage:
    """A server, and clients that read when they are told to."""

    def __init__(self) -> None:
        self.unread = UnreadAnswers(16 * MIB)
        self.metrics = HttpMetrics(MetricsRegistry())
        self.server = HTTPServer(Application([(r"/(\w+)", _Handler, {"unread": self.unread})]))
        self.timeouts = WriteTimeouts(self.server, TIMEOUT_S, self.metrics)
        sockets = bind_sockets(0, "127.0.0.1")
        self.server.add_sockets(sockets)
        self.port = sockets[0].getsockname()[1]
        self.clients: list[socket.socket] = []

    async def ask(self, how: str) -> socket.socket:
        client = socket.socket()
        self.clients.append(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", self.port))
        await loop.sock_sendall(client, f"GET /{how} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client

    def streams(self) -> list[Any]:
        return [connection.stream for connection in self.server._connections]

    async def stuck(self) -> None:
        """Wait until an answer is on its way and stands still."""
        await until(lambda: any(stream.writing() for stream in self.streams()), "an answer")

    @property
    def ended(self) -> float:
        return float(self.metrics.http_write_timeouts_total._value.get())


@contextlib.asynccontextmanager
async def _stage() -> AsyncIterator[_Stage]:
    stage = _Stage()
    try:
        yield stage
    finally:
        for client in stage.clients:
            client.close()
        stage.server.stop()
        await stage.server.close_all_connections()


async def _read(client: socket.socket, size_bytes: int) -> int:
    """Read so many bytes, less where the connection ends."""
    received = 0
    async with asyncio.timeout(20):
        while received < size_bytes:
            part = await asyncio.get_running_loop().sock_recv(
                client, min(MIB, size_bytes - received)
            )
            if not part:
                break
            received += len(part)
    return received


def test_what_is_used_of_tornado() -> None:
    assert "_write_buffer" in inspect.getsource(BaseIOStream.writing)
    assert "self._total_write_done_index += num_bytes" in inspect.getsource(
        BaseIOStream._handle_write
    )
    for method in (HTTP1Connection.write_headers, HTTP1Connection.write):
        assert "self._pending_write = self.stream.write(" in inspect.getsource(method)
    assert "self._connections.add(conn)" in inspect.getsource(HTTPServer.handle_stream)


@pytest.mark.gen_test
@pytest.mark.parametrize("how", ["much", "pieces"])
async def test_who_takes_nothing_is_cut_off_and_others_are_not(how: str) -> None:
    async with _stage() as stage:
        stuck, slow = await stage.ask(how), await stage.ask(how)
        idle = await stage.ask("little")
        assert await _read(idle, 20) == 20
        await until(
            lambda: sum(stream.writing() for stream in stage.streams()) == 2, "both answers"
        )
        now_s = 100.0
        stage.timeouts.look(now_s)
        for _ in range(4):  # each time less than the kernel needs to take more off our hands
            await _read(slow, 60_000)
            now_s += TIMEOUT_S / 2
            stage.timeouts.look(now_s)
        assert stage.ended == 1
        with pytest.raises(ConnectionResetError):
            await _read(stuck, len(ANSWER))
        assert await _read(slow, len(ANSWER) - 4 * 60_000) == len(ANSWER) - 4 * 60_000
        await until(lambda: len(stage.streams()) == 2, "the end of one connection")


@pytest.mark.gen_test
async def test_a_byte_now_and_then_is_no_reading() -> None:
    async with _stage() as stage:
        drip = await stage.ask("much")
        await stage.stuck()
        now_s = 100.0
        while not stage.ended:
            stage.timeouts.look(now_s)
            await _read(drip, 100)
            now_s += TIMEOUT_S / 4
        assert now_s < 100 + 3 * TIMEOUT_S
        assert LEAST_TAKEN_BYTES > 100 * 4


@pytest.mark.gen_test
async def test_what_the_kernel_holds_is_not_taken() -> None:
    async with _stage() as stage:
        client = await stage.ask("much")
        await stage.stuck()
        (stream,) = stage.streams()
        await until(lambda: taken_bytes(stream) > 0, "a first window")
        taken = taken_bytes(stream)
        assert taken < stream._total_write_done_index
        await _read(client, 200_000)
        await until(lambda: taken_bytes(stream) >= taken + 100_000, "more that is taken")
        assert await _read(client, len(ANSWER) - 200_000) > 0


@pytest.mark.gen_test
async def test_more_is_refused_until_what_there_is_was_read_or_dropped() -> None:
    async with _stage() as stage:
        unread = stage.unread
        unread.check("ada", 1 << 40)  # nothing waits: one may have any size
        first = await stage.ask("much")
        await stage.stuck()
        assert 4 * MIB < unread.unread_bytes("ada") <= len(ANSWER)
        unread.check("ada", MIB)
        unread.check("ben", 1 << 40)
        second = await stage.ask("much")
        await until(lambda: unread.unread_bytes("ada") > 8 * MIB, "two answers")
        news = []
        for _ in range(3):
            with pytest.raises(UnreadError) as refused:
                unread.check("ada", 16 * MIB)
            assert (refused.value.status, refused.value.reason) == (429, "unread_answers")
            assert refused.value.retry_after_s > 0
            news.append(refused.value.is_news)
        assert news == [True, False, False]
        await _read(first, len(ANSWER))
        second.close()
        await until(lambda: len(unread) == 0, "nothing that waits")
        assert unread.unread_bytes("ada") == 0
        unread.check("ada", 1 << 40)
