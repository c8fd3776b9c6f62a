"""What handlers say of a request."""

from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from handlers.base.handler import SHOWN_ADDRESS_CHARS, head_bytes, shown_address


def test_an_address_is_shown_as_it_is() -> None:
    assert shown_address("/api/v1/projects/demo?limit=3") == "/api/v1/projects/demo?limit=3"
    assert shown_address(None) == ""


def test_a_long_address_is_cut() -> None:
    shown = shown_address("/api/v1/projects/" + "x" * 60_000)
    assert shown.startswith("/api/v1/projects/xxx")
    assert len(shown) == SHOWN_ADDRESS_CHARS + len("...")


def test_a_cut_leaves_no_half_of_a_secret() -> None:
    signed = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"
    for length in range(150, 210):
        assert "eyJ" not in shown_address("/" + "x" * length + "?token=" + signed)
    session = "/sockjs/projects/" + "s" * 178 + "/secret-name/xhr"
    assert "secret" not in shown_address(session)


def test_the_size_of_a_head_is_that_of_its_address_and_headers() -> None:
    headers = HTTPHeaders({"Host": "x"})
    headers.add("Cookie", "a=1")
    headers.add("Cookie", "b=2")
    line = RequestStartLine("GET", "/x?y", "HTTP/1.1")
    request = HTTPServerRequest(headers=headers, start_line=line)
    assert head_bytes(request) == len("/x?yHost: x\r\nCookie: a=1\r\nCookie: b=2\r\n")
