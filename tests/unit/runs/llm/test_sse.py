"""Reading an event stream."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.runs.llm.sse import BrokenStreamError, SseReader


def read(*chunks: bytes) -> list[bytes]:
    reader = SseReader()
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return events + list(reader.end())


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b": comment\n\nevent: x\nid: 1\ndata: a\nretry: 1\n\n", [b"a"]),
        (b"event: x\n\n\n\n", []),
        (b"data: a", [b"a"]),
        (b"data\n\n", []),
        (b"", []),
        (b"data:\n\ndata: a\n\n", [b"", b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbf\ndata: a\n\n", [b"a"]),
        (b"data: a\n\nerror: {}\n\n", [b"a", b'{"error":{}}']),
        (b"error: x\r\rdata: a\r\r", [b'{"error":"x"}', b"a"]),
        (b"event: error\ndata: {}\n\ndata: {}\n\n", [b'{"error":{}}', b"{}"]),
        (b"event: error\ndata: x\n\n", [b'{"error":"x"}']),
        (b"event: error\n\n", [b'{"error":"error"}']),
        (b"event: error\nevent: x\ndata: a\n\n", [b"a"]),
        (b'{"a":1}', [b'{"a":1}']),
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{\n "a": [\n\n ]\n}\ndata: b\n\n', [b'{\n "a": [\n\n ]\n}', b"b"]),
        (b'{\n "a": 1\ndata: b\n\n', [b'{\n "a": 1', b"b"]),
        (b"  [DONE]\n", [b"[DONE]"]),
        (b"\n <html>\n", [b"<html>"]),
        (b"words\nmore: words\n", []),
    ],
)
def test_events(stream: bytes, events: list[bytes]) -> None:
    assert read(stream) == events
    assert read(*(stream[at : at + 1] for at in range(len(stream)))) == events


def test_stray_words_are_kept_for_people() -> None:
    reader = SseReader()
    assert list(reader.feed(b"no healthy upstream\nid: 5\nmore\n" + b"x" * 500)) == []
    assert reader.stray == b"no healthy upstream"
    reader = SseReader()
    assert list(reader.feed(b"x" * 500 + b"\n")) == []
    assert reader.stray == b"x" * 300


@pytest.mark.parametrize("following", [b'{"b":2}', b"[DONE]", b' {"b"'])
def test_events_without_blank_lines_are_refused_at_once(following: bytes) -> None:
    reader = SseReader()
    with pytest.raises(BrokenStreamError, match="no blank lines"):
        list(reader.feed(b'data: {"a":1}\ndata: ' + following + b"\n"))


def test_json_on_several_lines_of_one_event_is_not() -> None:
    assert read(b'data: {"a":{\ndata: }\ndata: ,"b":1}\n\n') == [b'{"a":{\n}\n,"b":1}']


@given(
    st.lists(st.binary(max_size=20).map(lambda data: bytes(set(data) - {10, 13}))),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(0, 400), max_size=10),
)
def test_cuts_make_no_difference(payloads: list[bytes], end: bytes, cuts: list[int]) -> None:
    stream = b"".join(b"data: " + payload + end + end for payload in payloads)
    at = [0, *sorted(cuts), len(stream)]
    chunks = [stream[a:b] for a, b in itertools.pairwise(at)]
    assert read(*chunks) == payloads


@pytest.mark.parametrize(
    "chunk",
    [b"x" * 1000, b"data: y\n" * 200, b"data:\n" * 200, b"{\n" * 500, b"[" * 1000, b"{\n\n" * 300],
)
def test_what_has_no_end_is_refused(chunk: bytes) -> None:
    reader = SseReader(max_event_bytes=10_000)
    with pytest.raises(BrokenStreamError):
        list(itertools.chain.from_iterable(reader.feed(chunk) for _ in range(100)))
