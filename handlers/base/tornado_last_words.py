"""Fire-and-forget WebSocket writes that ignore a closed socket."""

import asyncio
from typing import Any

from tornado.websocket import WebSocketClosedError


def write_or_drop(handler: Any, message: str | bytes) -> None:
    """Send a message where the connection still is there; its handler learns by itself if not.

    Tornado tells of a connection that ends amid the write by the future it returns, and asyncio
    logs an exception that nobody has fetched as an error.

    Args:
        handler: a `WebSocketHandler`, or what has its `write_message`.
        message: as `write_message` takes it.
    """
    try:
        written: asyncio.Future[None] = handler.write_message(message)
    except WebSocketClosedError:
        return
    written.add_done_callback(_fetch)


def _fetch(written: "asyncio.Future[None]") -> None:
    if not written.cancelled() and not isinstance(written.exception(), WebSocketClosedError | None):
        written.result()  # anything else is a fault: let the loop's handler log it
