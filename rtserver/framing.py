"""How one JSON frame is wrapped for each transport."""

import enum
import struct
from collections.abc import Callable

import msgspec

from rtserver.events import StoredEvent


class Encoding(enum.Enum):
    """The wire forms. Connections of one encoding share every encoded batch."""

    WEBSOCKET = "websocket"
    SSE = "sse"
    SOCKJS = "sockjs"


def websocket_frame(payload: bytes) -> bytes:
    """One unmasked text frame, as a server sends it (RFC 6455 section 5.2)."""
    length = len(payload)
    if length < 126:
        return b"\x81" + length.to_bytes(1, "big") + payload
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + struct.pack("!Q", length) + payload


def sse_event(payload: bytes, *, event: str, event_id: str | None = None) -> bytes:
    """One block of an event stream (HTML standard, section 9.2).

    The payload is JSON on one line: JSON escapes line ends, so it needs no splitting.
    """
    head = b"" if event_id is None else b"id: " + event_id.encode() + b"\n"
    return head + b"event: " + event.encode() + b"\ndata: " + payload + b"\n\n"


def sse_position(event_id: str) -> bytes:
    """A block that moves Last-Event-ID and dispatches nothing (no `data` field)."""
    return b"id: " + event_id.encode() + b"\n\n"


def _websocket_event(event: StoredEvent) -> bytes:
    return websocket_frame(event.payload)


def _sse_stored(event: StoredEvent) -> bytes:
    return sse_event(event.payload, event=event.type, event_id=event.id)


def _sockjs_event(event: StoredEvent) -> bytes:
    # SockJS carries messages as JSON strings in an array; the array is put around a whole batch.
    return msgspec.json.encode(event.payload.decode())


ENCODERS: dict[Encoding, Callable[[StoredEvent], bytes]] = {
    Encoding.WEBSOCKET: _websocket_event,
    Encoding.SSE: _sse_stored,
    Encoding.SOCKJS: _sockjs_event,
}

SEPARATORS: dict[Encoding, bytes] = {
    Encoding.WEBSOCKET: b"",
    Encoding.SSE: b"",
    Encoding.SOCKJS: b",",
}


def join_events(encoding: Encoding, events: list[StoredEvent]) -> bytes:
    """A batch of events as the bytes that one connection gets in one write."""
    encode = ENCODERS[encoding]
    return SEPARATORS[encoding].join([encode(event) for event in events])
