import json

import pytest

from rtserver.delivery.wire_forms import Encoding
from rtserver.model.close_codes import ADVICE, CloseCode
from rtserver.sessions.server_frames import (
    ErrorFrame,
    encode_frame,
    turned_away,
    wrap_frame,
    wrap_position,
)
from tests.support.wire_reader import chunked_body, parse_frames

FRAME = ErrorFrame(error="No", reason="refused")


def payload_of(encoding: Encoding, wrapped: bytes) -> bytes:
    """The frame's JSON in a wire form."""
    match encoding:
        case Encoding.WEBSOCKET:
            (frame,) = parse_frames(wrapped)
            return bytes(frame.data)
        case Encoding.SSE | Encoding.SSE_CHUNKED:
            block = chunked_body(wrapped) if encoding is Encoding.SSE_CHUNKED else wrapped
            name, data, *end = block.decode().split("\n")
            assert (name, end) == ("event: error", ["", ""])
            return data.removeprefix("data: ").encode()
        case Encoding.SOCKJS:
            return str(json.loads(wrapped)).encode()
        case Encoding.SOCKJS_WEBSOCKET:
            (frame,) = parse_frames(wrapped)
            (text,) = json.loads(bytes(frame.data).removeprefix(b"a"))
            return str(text).encode()


@pytest.mark.parametrize("encoding", Encoding)
def test_a_frame_is_the_same_in_each_wire_form(encoding: Encoding) -> None:
    payload = encode_frame(FRAME)
    assert payload_of(encoding, wrap_frame(encoding, payload, "error")) == payload


def test_a_position_moves_the_last_event_id_of_an_event_stream_and_dispatches_nothing() -> None:
    assert wrap_position(Encoding.SSE, "e0-7") == b"id: e0-7\n\n"
    assert chunked_body(wrap_position(Encoding.SSE_CHUNKED, "e0-7")) == b"id: e0-7\n\n"
    (frame,) = parse_frames(wrap_position(Encoding.WEBSOCKET, "e0-7"))
    assert json.loads(bytes(frame.data)) == {"type": "position", "id": "e0-7"}


@pytest.mark.parametrize("code", CloseCode)
def test_each_close_has_its_words_and_its_wait(code: CloseCode) -> None:
    closing = turned_away(code)
    advice = ADVICE[code]
    assert (closing.reason, closing.reconnect) == (advice.reason, advice.reconnect)
    if advice.reconnect:
        low, high = advice.retry_after_ms
        assert closing.retry_after_ms is not None
        assert low <= closing.retry_after_ms <= high
    else:
        assert closing.retry_after_ms is None


def test_one_who_will_be_let_in_later_is_told_when() -> None:
    closing = turned_away(CloseCode.UNAUTHORIZED, "Not yet", retry_after_s=7)
    assert (closing.reason, closing.reconnect, closing.retry_after_ms) == ("Not yet", True, 7000)
