"""`handlers.sockjs.hixie76`: the challenge of the handshake, by the examples of the draft."""

import pytest
from tornado.httputil import HTTPHeaders

from handlers.sockjs.hixie76 import (
    HandshakeError,
    Hixie76Protocol,
    challenge_response,
    key_number,
)


@pytest.mark.parametrize(
    ("key1", "key2", "key3", "answer"),
    [
        # Section 1.3 of the draft, and its section 1.2.
        ("18x 6]8vM;54 *(5:  {   U1]8  z [  8", "1_ tx7X d  <  nw  334J702) 7]o}` 0",
         b"Tm[K T2u", b"fQJ,fN/4F4!~K~MH"),
        ("4 @1  46546xW%0l 1 5", "12998 5 Y3 1  .P00", b"^n:ds[4U", b"8jKS'y:G*Co,Wxa-"),
    ],
)  # fmt: skip
def test_examples_of_the_draft(key1: str, key2: str, key3: bytes, answer: bytes) -> None:
    assert challenge_response(key1, key2, key3) == answer


@pytest.mark.parametrize(
    "key",
    ["", "12345", "a b c", "1 0 1", "9" * 30 + " ", f"{2**32 * 2} " + " ", "\u0661\u0662 "],
)
def test_keys_without_an_answer(key: str) -> None:
    with pytest.raises(HandshakeError):
        key_number(key)


def test_is_told_from_other_versions_by_its_headers() -> None:
    keys = {"Sec-WebSocket-Key1": "1 ", "Sec-WebSocket-Key2": "2 "}
    assert Hixie76Protocol.asked_for(HTTPHeaders(keys))
    assert not Hixie76Protocol.asked_for(HTTPHeaders({**keys, "Sec-WebSocket-Version": "13"}))
    assert not Hixie76Protocol.asked_for(HTTPHeaders({"Sec-WebSocket-Key1": "1 "}))
