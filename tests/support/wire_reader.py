"""What the bytes on the wire mean, read by others' parsers or by the letter of the standard."""

import functools
import http.client
import io
import json
import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.frames import Frame
from websockets.streams import StreamReader

from tests.support.documents import check_frame

SESSION_FRAMES = frozenset({"welcome", "gap", "position", "presence", "error", "closing"})
"""What a session makes by itself. Events and acks are what a test's fakes hand it."""


def parse_frames(data: bytes) -> list[Frame]:
    """The frames in a client's input, as the `websockets` library reads them."""
    reader = StreamReader()
    reader.feed_data(data)
    frames = []
    while reader.buffer:
        with pytest.raises(StopIteration) as stop:
            next(Frame.parse(reader.read_exact, mask=False))
        frames.append(stop.value.value)
    return frames


def chunked_body(chunks: bytes) -> bytes:
    """What a response with these chunks, and the last one, has in its body."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    file = io.BytesIO(head + chunks + b"0\r\n\r\n")
    response = http.client.HTTPResponse(SimpleNamespace(makefile=lambda _mode: file))  # type: ignore[arg-type]
    response.begin()
    return response.read()


def messages(data: bytes, channel: str = "session") -> list[dict[str, Any]]:
    """The JSON objects that a WebSocket client was sent; those of a session as they have to be."""
    return [_documented(bytes(frame.data), channel) for frame in parse_frames(data)]


@functools.lru_cache(maxsize=1024)
def _parsed(text: bytes, channel: str) -> dict[str, Any]:
    """Tests read what a client was sent again and again."""
    frame: dict[str, Any] = json.loads(text)
    if frame["type"] in SESSION_FRAMES:
        check_frame(frame, channel)
    return frame


def _documented(text: bytes, channel: str = "session") -> dict[str, Any]:
    return dict(_parsed(text, channel))


@dataclass
class EventSource:
    """What a browser makes of an event stream (HTML standard, section 9.2.6)."""

    last_event_id: str = ""
    dispatched: list[tuple[str, str, str]] = field(default_factory=list)

    def feed(self, stream: bytes) -> None:
        event, data, event_id = "", "", self.last_event_id
        for line in re.split("\r\n|\r|\n", stream.decode())[:-1]:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "" if not line:
                    self.last_event_id = event_id
                    if data:
                        self.dispatched.append((event or "message", data[:-1], event_id))
                    event, data = "", ""
                case "event":
                    event = value
                case "data":
                    data += value + "\n"
                case "id" if "\0" not in value:
                    event_id = value
