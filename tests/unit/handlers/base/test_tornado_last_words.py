"""What is said to a connection that may be over must trouble nobody."""

import asyncio
import gc
from collections.abc import Iterator
from typing import ClassVar
from unittest.mock import Mock

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketClosedError, WebSocketHandler, websocket_connect

from handlers.base.tornado_last_words import write_or_drop
from tests.support.recorder import LogRecorder
from tests.support.waiting import until


async def _write(error: Exception | None) -> None:
    async def send() -> None:
        if error is not None:
            raise error

    sent: list[asyncio.Task[None]] = []

    def write_message(_message: object) -> "asyncio.Task[None]":
        sent.append(asyncio.ensure_future(send()))
        return sent[0]

    write_or_drop(Mock(write_message=write_message), "o")
    await asyncio.wait(sent)
    sent.clear()
    gc.collect()  # when asyncio tells of an exception that nobody fetched


@pytest.mark.gen_test
async def test_a_connection_that_ends_amid_the_write_is_no_error(logs: LogRecorder) -> None:
    """A `h` frame to a raw SockJS WebSocket that was cut just then was logged as an error."""
    await _write(WebSocketClosedError())
    await _write(None)
    assert not logs.unexpected()


@pytest.mark.gen_test
async def test_anything_else_is_logged(logs: LogRecorder) -> None:
    await _write(ValueError("a fault"))
    (line,) = logs.errors
    logs.errors.clear()  # this one was asked for
    assert "_fetch" in line


class Held(WebSocketHandler):
    """A connection that the test writes to after it is over."""

    handlers: ClassVar[list["Held"]] = []

    def open(self) -> None:
        self.handlers.append(self)

    def check_origin(self, origin: str) -> bool:
        return True


@pytest.fixture
def address(io_loop: IOLoop) -> Iterator[str]:
    server = HTTPServer(Application([("/", Held)]))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    yield f"ws://127.0.0.1:{sockets[0].getsockname()[1]}/"
    Held.handlers.clear()
    server.stop()
    io_loop.run_sync(server.close_all_connections, timeout=5)


@pytest.mark.gen_test
async def test_a_connection_that_is_over_is_let_be(address: str, logs: LogRecorder) -> None:
    client = await websocket_connect(address)
    await until(lambda: bool(Held.handlers), "the server knows of it")
    (handler,) = Held.handlers
    write_or_drop(handler, "before")
    assert await client.read_message() == "before"
    client.close()
    await until(lambda: handler.ws_connection is None, "the server knows that it is over")
    with pytest.raises(WebSocketClosedError):
        handler.write_message("as Tornado has it")
    write_or_drop(handler, "after")
    assert not logs.unexpected()
