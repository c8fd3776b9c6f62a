"""Which answers go in gzip."""

import gzip
from types import SimpleNamespace
from typing import cast

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest

from handlers.base.compression import MAX_JSON_BYTES, MIN_BYTES, JsonCompression, takes_gzip

JSON = "application/json; charset=UTF-8"
DIGEST = '"' + "a" * 40 + '"'


@pytest.mark.parametrize(
    ("sent", "takes"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1, GZIP;q=0.2", True),
        ("*", True),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("gzip;q=much", False),
        ("", False),
        (None, False),
    ],
)
def test_a_client_says_what_it_takes(sent: str | None, takes: bool) -> None:
    assert takes_gzip(sent) is takes


def _answer(
    chunk: bytes, *, takes: str = "gzip", finishing: bool = True, **headers: str
) -> tuple[bytes, HTTPHeaders]:
    request = cast(
        HTTPServerRequest, SimpleNamespace(headers=HTTPHeaders({"Accept-Encoding": takes}))
    )
    given = HTTPHeaders({name.replace("_", "-"): value for name, value in headers.items()})
    _, told, body = JsonCompression(request).transform_first_chunk(200, given, chunk, finishing)
    return body, told


def test_json_that_is_worth_it_is_compressed_and_loses_the_digest_of_other_bytes() -> None:
    text = b'{"a": 1}' * MIN_BYTES
    body, headers = _answer(text, Content_Type=JSON, ETag=DIGEST, Content_Length=str(len(text)))
    assert gzip.decompress(body) == text
    assert len(body) < len(text) / 10
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Length"] == str(len(body))
    assert "Accept-Encoding" in headers["Vary"]
    assert "ETag" not in headers


@pytest.mark.parametrize(
    ("size_bytes", "more"),
    [
        (MIN_BYTES - 1, {}),
        (MAX_JSON_BYTES + 1, {}),
        (MIN_BYTES, {"takes": "br"}),
        (MIN_BYTES, {"finishing": False}),
        (MIN_BYTES, {"ETag": '"3"'}),
        (MIN_BYTES, {"Content_Type": "text/event-stream"}),
        (MIN_BYTES, {"Content_Encoding": "gzip"}),
    ],
    ids=["small", "huge", "not-taken", "stream", "version", "events", "packed"],
)
def test_all_else_goes_as_it_is(size_bytes: int, more: dict[str, object]) -> None:
    text = b"a" * size_bytes
    body, headers = _answer(text, **{"Content_Type": JSON, **more})  # type: ignore[arg-type]
    assert body == text
    assert headers.get("ETag") == more.get("ETag")
