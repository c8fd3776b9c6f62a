"""What is said to a connection that may be over must trouble nobody."""

import asyncio
import gc
from unittest.mock import Mock

import pytest
from tornado.websocket import WebSocketClosedError

from handlers.base.tornado_last_words import write_or_drop
from tests.support.recorder import LogRecorder


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


def test_a_connection_that_is_over_is_let_be() -> None:
    handler = Mock()
    handler.write_message.side_effect = WebSocketClosedError
    write_or_drop(handler, "h")
