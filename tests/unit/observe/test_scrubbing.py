import base64
import json
import string

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rtserver.observe.scrubbing import SCRUBBED, scrub
from tests.support.cost import cpu_s

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLW9mLXRoaXJ0eS10d28tYnl0ZXM"

_BASE64URL = string.ascii_letters + string.digits + "-_"
# RFC 6750 section 2.1: b64token.
b64_tokens = st.text(_BASE64URL + ".~+/", min_size=20, max_size=200)


@st.composite
def jwts(draw: st.DrawFn) -> str:
    """Compact JWTs, their header written with or without white space after the brace."""
    brace = draw(st.sampled_from(["{", "{ ", "{\n", "{\t", "{\r\n"]))
    header = brace + json.dumps({"alg": draw(st.text(max_size=20)), "typ": "JWT"})[1:]
    first = base64.urlsafe_b64encode(header.encode()).rstrip(b"=").decode()
    return ".".join([first, *draw(st.lists(st.text(_BASE64URL, min_size=8), min_size=2))[:2]])


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("GET /ws?token=abc&proposal_id=p 101", "GET /ws?token=[token]&proposal_id=p 101"),
        ("/ws?a=1&token=abc", "/ws?a=1&token=[token]"),
        ("/ws?access_token=abc#here", "/ws?access_token=[token]#here"),
        ("http://h/#token=abc", "http://h/#token=[token]"),
        ("/ws?TOKEN=abc", "/ws?TOKEN=[token]"),
        ("next=%2Fws%3Ftoken%3Dabc&x=1", "next=%2Fws%3Ftoken%3D[token]&x=1"),
        ("Authorization: Bearer abc", "Authorization: Bearer [token]"),
        ("{'Authorization': 'Bearer abc'}", "{'Authorization': 'Bearer [token]'}"),
        ("Sec-WebSocket-Protocol: bearer, abc", "Sec-WebSocket-Protocol: bearer, [token]"),
        ("['bearer', 'abc']", "['bearer', '[token]']"),
        ("Bearer%20abc", "Bearer%20[token]"),
        ("bearer bearer abc", "bearer bearer [token]"),
        ("token=Bearer abc", "token=[token] [token]"),
        (
            '{"type":"refresh_token","token":"abc","request_id":1}',
            '{"type":"refresh_token","token":"[token]","request_id":1}',
        ),
        (r'"{\"token\": \"abc\", \"n\": 1}"', r'"{\"token\": \"[token]\", \"n\": 1}"'),
        ("{'token': 'abc'}", "{'token': '[token]'}"),
        (f"said {JWT}.", "said [token]"),
        (f"cut short: {JWT[:30]}", "cut short: [token]"),
    ],
)
def test_tokens_are_scrubbed_and_the_rest_stays_readable(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET /api/v1/projects/demo/events?after=01J-17&limit=100 200 1.5ms",
        '{"type":"token","content":"Hello","run_id":"r1","n":3}',
        '{"usage":{"completion_tokens":5}} max_tokens=5',
        "rtserver.example.org eye.witness.example.com openspec/changes/add-login/tasks.md",
        "token_refused reason=expired",
    ],
)
def test_what_holds_no_token_stays_as_it_is(text: str) -> None:
    assert scrub(text) == text


_BEFORE_AND_AFTER = (st.text(max_size=60), st.text(max_size=60))


@settings(deadline=None)
@given(
    *_BEFORE_AND_AFTER,
    b64_tokens,
    st.sampled_from(
        [
            "?token={}",
            "&token={}&x=1",
            "#token={}",
            "Bearer {}",
            "bearer, {}",
            "BEARER\t{}",
            "('bearer', '{}')",
            '{{"token":"{}"}}',
            '{{\\"token\\": \\"{}\\"}}',
            "token='{}'",
        ]
    ),
)
def test_no_token_gets_through_wherever_it_travels(
    before: str, after: str, token: str, way: str
) -> None:
    assume(token not in before and token not in after)
    assert token not in scrub(before + way.format(token) + after)


@settings(deadline=None)
@given(*_BEFORE_AND_AFTER, jwts())
def test_no_bare_jwt_gets_through(before: str, after: str, token: str) -> None:
    payload = token.split(".")[1]
    assume(payload not in before and payload not in after)
    scrubbed = scrub(f"{before} {token}{after}")
    assert payload not in scrubbed
    assert SCRUBBED in scrubbed


_PIECES = [
    "bearer",
    "token",
    "eyJ",
    "ewo",
    "abc",
    " ",
    "=",
    ":",
    '"',
    "'",
    "\\",
    "&",
    ".",
    ",",
    "%20",
]


@given(st.one_of(st.text(), st.lists(st.sampled_from(_PIECES)).map("".join)))
def test_scrubbing_twice_changes_no_more(text: str) -> None:
    assert scrub(scrub(text)) == scrub(text)


@pytest.mark.parametrize(
    "piece",
    ["bearer", "bearer ", "bearer,bearer ", "token", "token=", 'token"', "eyJ", "ew", "e", "%20"],
)
def test_the_time_to_scrub_a_line_does_not_explode(piece: str) -> None:
    line = piece * (64 * 1024 // len(piece))
    # About a millisecond; a quadratic pattern would take minutes.
    assert cpu_s(lambda: scrub(line), tries=1) < 1.0
