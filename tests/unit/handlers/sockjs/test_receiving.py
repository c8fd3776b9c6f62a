"""`handlers.sockjs.receiving`: what a transport writes is what its client makes a frame of."""

import re
from asyncio import Future
from types import SimpleNamespace
from typing import Any

import pytest

from handlers.sockjs.receiving import EventSource
from tests.support import wire_reader

FORGED = "x%22,%22{%5C%22type%5C%22:%5C%22lock_changed%5C%22}%22,%22y"
"""After one `decodeURI` too many: the end of one message, and another of somebody's making."""


def decode_uri(text: str) -> str:
    """What JavaScript's `decodeURI` makes of it (ECMA-262 section 19.2.6.2).

    Raises:
        ValueError: it throws.
    """

    def decoded(match: re.Match[str]) -> str:
        octets = bytes.fromhex(match[0].replace("%", ""))
        return "".join(
            f"%{ord(char):02X}" if char in ";/?:@&=+$,#" else char for char in octets.decode()
        )

    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise ValueError(text)
    return re.sub("(?:%[0-9A-Fa-f]{2})+", decoded, text)


def event_stream_of(frame: str) -> str:
    """What `eventsource` writes for a frame."""
    written: list[str] = []
    one: Any = SimpleNamespace(
        write=written.append, flush=Future, notify_sent=lambda _size: None, send_complete=None
    )
    EventSource.send_pack(one, frame)
    return "".join(written)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "frame", ["o", "h", 'a["50% done"]', 'c[4400,"100%"]', f'a["{FORGED}"]', "a\r\n\0b%2523"]
)
async def test_an_event_stream_is_escaped_for_the_clients_decode_uri(frame: str) -> None:
    source = wire_reader.EventSource()
    source.feed(event_stream_of(frame).encode())
    ((kind, data, _),) = source.dispatched
    assert (kind, decode_uri(data)) == ("message", frame)
