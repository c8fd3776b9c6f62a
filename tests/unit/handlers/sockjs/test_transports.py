"""`handlers.sockjs.transports`: that nothing of the library is reached past the corrections."""

import re
import warnings
from asyncio import Future
from types import SimpleNamespace
from typing import Any

import pytest

import handlers.sockjs.transports as fixes
from handlers.realtime.socket_base import SocketHandler
from handlers.sockjs.transports import (
    CALLBACK,
    CORRECTED,
    MAX_STRANGERS,
    CorrectedHandler,
    EventSource,
    Router,
)
from rtserver.auth.origins import Origins
from tests.support import wire_reader

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from sockjs.tornado import router as library
    from sockjs.tornado import static


def make_router(**options: Any) -> Router:
    context: Any = SimpleNamespace(origins=Origins([]))
    return Router(lambda _session: None, "/sockjs/x", context, script="/s.js", **options)


@pytest.mark.gen_test
async def test_every_handler_of_the_library_is_replaced() -> None:
    handlers = {
        *[handler for _, handler in library.GLOBAL_HANDLERS],
        *library.TRANSPORTS.values(),
        *library.STATIC_HANDLERS.values(),
    }
    assert handlers - {static.ChunkingTestHandler} == set(CORRECTED)
    for pattern, handler, given in make_router().urls:
        assert handler in CORRECTED.values(), pattern
        assert issubclass(handler, CorrectedHandler | SocketHandler)
        assert given["server"] is not None


@pytest.mark.gen_test
async def test_the_librarys_timers_do_not_run() -> None:
    router = make_router()
    assert not router._sessions_cleanup.is_running()
    assert not router.stats._callback.is_running()


@pytest.mark.gen_test
async def test_without_websockets_there_is_no_address_for_them() -> None:
    patterns = [pattern for pattern, *_ in make_router(websockets=False).urls]
    assert not [pattern for pattern in patterns if "websocket" in pattern]
    assert len(patterns) == len(make_router().urls) - 2


@pytest.mark.gen_test
async def test_only_so_many_may_wait_to_be_let_in() -> None:
    router = make_router()
    router.strangers.update(range(MAX_STRANGERS - 1))
    assert router.has_room()
    router.strangers.add("one more")
    assert not router.has_room()


@pytest.mark.parametrize("name", ["c", "_jp.a1b2c3", "a-b", "X" * 128])
def test_callbacks_that_are_names(name: str) -> None:
    assert CALLBACK.fullmatch(name)


@pytest.mark.parametrize("name", ["", "a b", "a(", "alert`1`", "a\n", "ä", "a;b", "X" * 129])
def test_callbacks_that_are_not(name: str) -> None:
    assert not CALLBACK.fullmatch(name)


@pytest.mark.parametrize(
    ("headers", "page"),
    [
        ({}, None),
        ({"Origin": "http://a.example"}, "http://a.example"),
        ({"Origin": "null", "Referer": "http://a.example/x"}, "null"),
        ({"Referer": "http://a.example:8080/x?y=1"}, "http://a.example:8080"),
        ({"Referer": "http://[broken"}, None),
    ],
)
def test_the_page_behind_a_request(headers: dict[str, str], page: str | None) -> None:
    handler: Any = SimpleNamespace(request=SimpleNamespace(headers=headers))
    assert fixes._page_of(handler) == page


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


def sent_by(handler: type[Any], frame: str, **attributes: Any) -> str:
    """What a transport writes for a SockJS frame."""
    written: list[str] = []
    one = SimpleNamespace(
        write=written.append,
        flush=Future,
        notify_sent=lambda _size: None,
        set_header=lambda *_header: None,
        send_complete=None,
        **attributes,
    )
    handler.send_pack(one, frame)
    return "".join(written)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "frame", ["o", "h", 'a["50% done"]', 'c[4400,"100%"]', f'a["{FORGED}"]', "a\r\n\0b%2523"]
)
async def test_an_event_stream_is_escaped_for_the_clients_decode_uri(frame: str) -> None:
    source = wire_reader.EventSource()
    source.feed(sent_by(EventSource, frame).encode())
    ((kind, data, _),) = source.dispatched
    assert (kind, decode_uri(data)) == ("message", frame)
