"""The wire forms, read by others' parsers."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from rtserver.delivery.wire_forms import (
    EVENT_STREAMS,
    SEPARATORS,
    Encoding,
    join_events,
    sse_event,
    sse_position,
    stream_part,
    websocket_frame,
)
from rtserver.sessions.server_frames import wrap_frame, wrap_position
from tests.support.fakes import draft, stored
from tests.support.nasty_texts import ATTACKS, random_texts
from tests.support.wire_reader import EventSource, chunked_body, parse_frames


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 65534, 65535, 65536, 65537, 200_000])
def test_a_websocket_frame_has_the_shortest_length_that_holds_it(size: int) -> None:
    """RFC 6455 section 5.2: 7 bits to 125, 16 bits to 65,535, else 64 bits."""
    payload = b"x" * size
    data = websocket_frame(payload)
    assert parse_frames(data) == [Frame(Opcode.TEXT, payload)]
    assert data == Frame(Opcode.TEXT, payload).serialize(mask=False)
    assert len(data) - size == (2 if size < 126 else 4 if size < 65536 else 10)


@given(st.lists(st.text(max_size=300), min_size=1, max_size=10))
def test_a_batch_for_a_websocket_is_its_frames_one_after_the_other(texts: list[str]) -> None:
    events = stored(*(draft(text=text) for text in texts), first=9)
    frames = parse_frames(join_events(Encoding.WEBSOCKET, events))
    assert [json.loads(bytes(frame.data)) for frame in frames] == [e.frame() for e in events]


def test_no_events_are_no_bytes() -> None:
    for encoding in Encoding:
        assert join_events(encoding, []) == b""


@given(st.lists(st.text(max_size=100), min_size=1, max_size=8))
def test_a_browser_gets_each_event_of_a_stream_with_its_type_id_and_frame(
    texts: list[str],
) -> None:
    events = stored(*(draft(text=text) for text in texts), first=3)
    source = EventSource()
    source.feed(join_events(Encoding.SSE, events))
    assert [(kind, json.loads(data), event_id) for kind, data, event_id in source.dispatched] == [
        (event.type, event.frame(), event.id) for event in events
    ]
    assert source.last_event_id == events[-1].id


def test_no_text_breaks_a_line_of_a_stream_for_those_who_split_as_unicode_says() -> None:
    """Python's `splitlines`, which several clients use, breaks at more than CR and LF."""
    for text in (*ATTACKS, *random_texts(200, seed=7)):
        (event,) = stored(draft(text=text, **{text: text}))
        lines = join_events(Encoding.SSE, [event]).decode().splitlines()
        assert [line.partition(":")[0] for line in lines] == ["id", "event", "data", ""]
        assert json.loads(lines[2].removeprefix("data: ")) == event.frame()


@given(st.lists(st.text(max_size=100), min_size=1, max_size=8))
def test_a_chunked_stream_is_the_same_stream(texts: list[str]) -> None:
    events = stored(*(draft(text=text) for text in texts))
    forms: tuple[Callable[[Encoding], bytes], ...] = (
        lambda encoding: join_events(encoding, events),
        lambda encoding: wrap_frame(encoding, events[0].payload, "gap"),
        lambda encoding: wrap_position(encoding, "e0e0-7"),
        lambda encoding: stream_part(encoding, b": keep-alive\n\n"),
    )
    for form in forms:
        assert chunked_body(form(Encoding.SSE_CHUNKED) * 2) == form(Encoding.SSE) * 2


def test_a_position_moves_the_last_event_id_and_dispatches_nothing() -> None:
    source = EventSource()
    source.feed(sse_position("e0e0-7"))
    assert (source.last_event_id, source.dispatched) == ("e0e0-7", [])
    source.feed(wrap_position(Encoding.SSE, "e0e0-8"))
    assert (source.last_event_id, source.dispatched) == ("e0e0-8", [])


def test_a_session_frame_leaves_the_last_event_id_as_it_is() -> None:
    source = EventSource()
    source.feed(sse_position("e0e0-7") + wrap_frame(Encoding.SSE, b'{"type":"gap"}', "gap"))
    source.feed(sse_event(b"{}", event="x.y"))
    assert source.dispatched == [("gap", '{"type":"gap"}', "e0e0-7"), ("x.y", "{}", "e0e0-7")]


@given(st.lists(st.text(max_size=100), min_size=1, max_size=8))
def test_a_batch_for_sockjs_is_the_inside_of_an_array_of_strings(texts: list[str]) -> None:
    events = stored(*(draft(text=text) for text in texts))
    batch = join_events(Encoding.SOCKJS, events)
    assert batch.isascii()
    assert [json.loads(text) for text in json.loads(b"[" + batch + b"]")] == [
        event.frame() for event in events
    ]


@given(st.lists(st.text(max_size=100), min_size=1, max_size=8))
def test_sockjs_over_a_websocket_is_one_array_a_frame(texts: list[str]) -> None:
    events = stored(*(draft(text=text) for text in texts))
    frames = parse_frames(join_events(Encoding.SOCKJS_WEBSOCKET, events))
    messages = []
    for frame in frames:
        assert frame.opcode is Opcode.TEXT
        assert bytes(frame.data)[:1] == b"a"
        messages += json.loads(bytes(frame.data)[1:])
    assert [json.loads(text) for text in messages] == [event.frame() for event in events]


@pytest.mark.parametrize("encoding", Encoding)
def test_each_transport_carries_session_frames_in_the_form_of_its_events(
    encoding: Encoding,
) -> None:
    """One outbox holds both, so what separates events must fit session frames too."""
    (event,) = stored(draft())
    wrapped = wrap_frame(encoding, event.payload, event.type)
    if encoding not in EVENT_STREAMS:  # there an event has an id besides
        assert wrapped == join_events(encoding, [event])
    both = SEPARATORS[encoding].join([wrapped, join_events(encoding, [event])])
    assert event.payload in both or encoding.name.startswith("SOCKJS")


@pytest.mark.parametrize("encoding", [e for e in Encoding if e not in EVENT_STREAMS])
def test_a_position_is_a_frame_where_there_is_no_last_event_id(encoding: Encoding) -> None:
    frame = b'{"type":"position","id":"e0e0-7"}'
    assert wrap_position(encoding, "e0e0-7") == wrap_frame(encoding, frame, "position")
