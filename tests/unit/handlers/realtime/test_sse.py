"""`handlers.realtime.sse`: what an Accept header takes."""

import pytest

from handlers.realtime.sse import _accepts_stream


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "text/*",
        "text/event-stream",
        "Text/Event-Stream; charset=utf-8",
        "application/json, text/event-stream;q=0.1",
        "application/json;q=1, */*;q=0.1",
        "text/event-stream, */*;q=0",
        "text/*;q=0, text/event-stream",
    ],
)
def test_takes_event_streams(accept: str | None) -> None:
    assert _accepts_stream(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "text/html, application/*",
        "text/event-stream;q=0",
        "text/event-stream;q=0, */*",
        "text/*;q=0, */*",
        "text/event-stream;q=nonsense",
        ",;,",
        "text/event-streams",
    ],
)
def test_takes_something_else(accept: str) -> None:
    assert not _accepts_stream(accept)
