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
    ],
)
def test_events(stream: bytes, events: list[bytes]) -> None:
    assert read(stream) == events
    assert read(*(stream[at : at + 1] for at in range(len(stream)))) == events


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


@pytest.mark.parametrize("chunk", [b"x" * 1000, b"data: y\n" * 200])
def test_what_has_no_end_is_refused(chunk: bytes) -> None:
    reader = SseReader(max_event_bytes=10_000)
    with pytest.raises(BrokenStreamError):
        list(itertools.chain.from_iterable(reader.feed(chunk) for _ in range(100)))
