"""Wire forms: how events are wrapped and batched for each transport."""

import enum
import json
import struct
from collections.abc import Callable, Iterator

from rtserver.model.events import StoredEvent

CHUNK_BYTES = 128 * 1024
"""A batch larger than this goes out in parts, so that it cannot overflow an outbox by itself."""


class Encoding(enum.Enum):
    """The wire forms. Connections of one encoding share every encoded batch.

    SockJS has two, since over a WebSocket its frames need nothing more, while each of its HTTP
    transports wraps a batch in its own way. Event streams have two, since HTTP/1.0 has no chunks.
    """

    WEBSOCKET = "websocket"
    SSE = "sse"
    SSE_CHUNKED = "sse_chunked"
    SOCKJS = "sockjs"
    SOCKJS_WEBSOCKET = "sockjs_websocket"

    # Members are single objects. Enum's own hash is a call of Python code, and the fan-out needs
    # one for each connection and batch.
    __hash__ = object.__hash__

    @property
    def transport(self) -> str:
        """What metrics and records call it: there an event stream is one, chunked or not."""
        return "sse" if self is Encoding.SSE_CHUNKED else self.value


EVENT_STREAMS = frozenset({Encoding.SSE, Encoding.SSE_CHUNKED})


def stream_part(encoding: Encoding, data: bytes) -> bytes:
    """A part of an event stream as it stands in the response: in a chunk (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data) if encoding is Encoding.SSE_CHUNKED else data


def websocket_frame(payload: bytes) -> bytes:
    """One unmasked text frame, as a server sends it (RFC 6455 section 5.2)."""
    length = len(payload)
    if length < 126:
        return b"\x81" + length.to_bytes(1, "big") + payload
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + struct.pack("!Q", length) + payload


_UNICODE_LINE_ENDS = [
    (char.encode(), f"\\u{ord(char):04x}".encode()) for char in "\x85\u2028\u2029"
]
"""Line ends of Unicode that JSON may have in a string as they are, and their escapes."""


def sse_event(payload: bytes, *, event: str, event_id: str | None = None) -> bytes:
    """One block of an event stream (HTML standard, section 9.2).

    The payload is JSON on one line: JSON escapes line ends, so it needs no splitting. Those that
    only Unicode knows are escaped besides: to the standard they are text, but clients that take
    lines apart by Python's `splitlines` would read what follows one as a field of the stream.
    """
    if not payload.isascii():
        for char, escape in _UNICODE_LINE_ENDS:
            payload = payload.replace(char, escape)
    head = b"" if event_id is None else b"id: " + event_id.encode() + b"\n"
    return head + b"event: " + event.encode() + b"\ndata: " + payload + b"\n\n"


def sse_position(event_id: str) -> bytes:
    """A block that moves Last-Event-ID and dispatches nothing (no `data` field)."""
    return b"id: " + event_id.encode() + b"\n\n"


def sockjs_message(payload: bytes) -> bytes:
    """One message as SockJS carries it: a JSON string, to stand in the array of an `a` frame.

    All in ASCII: browsers of SockJS's time mangle some characters in responses, and U+2028 ends a
    line in the scripts that two of its transports are made of.
    """
    return json.dumps(payload.decode()).encode()


def sockjs_websocket_message(payload: bytes) -> bytes:
    """An `a` frame with one message, in a WebSocket frame."""
    return websocket_frame(b"a[" + sockjs_message(payload) + b"]")


def _websocket_event(event: StoredEvent) -> bytes:
    return websocket_frame(event.payload)


def _sse_stored(event: StoredEvent) -> bytes:
    return sse_event(event.payload, event=event.type, event_id=event.id)


def _sockjs_event(event: StoredEvent) -> bytes:
    # The array is put around a whole batch when it is sent.
    return sockjs_message(event.payload)


def _sockjs_websocket_event(event: StoredEvent) -> bytes:
    return sockjs_websocket_message(event.payload)


# What `join` makes a batch of.
ENCODERS: dict[Encoding, Callable[[StoredEvent], bytes]] = {
    Encoding.WEBSOCKET: _websocket_event,
    Encoding.SSE: _sse_stored,
    Encoding.SSE_CHUNKED: _sse_stored,
    Encoding.SOCKJS: _sockjs_event,
    Encoding.SOCKJS_WEBSOCKET: _sockjs_websocket_event,
}

SEPARATORS: dict[Encoding, bytes] = {
    Encoding.WEBSOCKET: b"",
    Encoding.SSE: b"",
    Encoding.SSE_CHUNKED: b"",
    Encoding.SOCKJS: b",",
    Encoding.SOCKJS_WEBSOCKET: b"",
}


def join(encoding: Encoding, encoded: list[bytes]) -> bytes:
    """Encoded events as the bytes that one connection gets in one write."""
    joined = SEPARATORS[encoding].join(encoded)
    # One chunk for all: a batch comes at once. One without bytes would be the stream's end.
    return stream_part(encoding, joined) if joined else joined


def join_events(encoding: Encoding, events: list[StoredEvent]) -> bytes:
    """A batch of events as the bytes that one connection gets in one write."""
    return join(encoding, list(map(ENCODERS[encoding], events)))


def chunks(
    events: list[StoredEvent], limit_bytes: int = CHUNK_BYTES
) -> Iterator[list[StoredEvent]]:
    """Split a batch by size; an event that is larger makes a part alone."""
    part: list[StoredEvent] = []
    size_bytes = 0
    for event in events:
        if part and size_bytes + len(event.payload) > limit_bytes:
            yield part
            part, size_bytes = [], 0
        part.append(event)
        size_bytes += len(event.payload)
    if part:
        yield part
