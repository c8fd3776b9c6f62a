"""Which pages may connect."""

import pytest

from rtserver.auth.origins import Origins

LISTED = "https://app.example.com"


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "x", True),
        ("https://x", "x", True),
        ("http://x", "x", True),  # behind a proxy nobody here knows which it was
        ("https://X", "x", True),
        ("https://x", "X:443", True),
        ("https://x:443", "x", True),
        ("http://x:80", "x", True),
        ("http://x", "x:80", True),
        ("http://x:8000", "x:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://[::1]", "[::1]", True),
        ("https://x", "x:80", False),
        ("http://x", "x:443", False),
        ("http://x:8000", "x", False),
        ("http://x", "x:8000", False),
        ("http://x:8000", "x:8001", False),
        ("http://y", "x", False),
        ("http://x.y", "x", False),
        ("http://y@x", "x", False),
        ("http://x/path", "x", False),
        ("http://x:port", "x", False),
        ("http://[x", "x", False),
        ("null", "x", False),
        ("null", "null", False),
        ("", "", False),
        ("file://", "x", False),
        ("x", "x", False),
        ("http://", "", False),
        (LISTED, "x", True),
        (f"{LISTED}:443", "x", True),
        (f"{LISTED}:8443", "x", False),
        (LISTED.replace("https", "http"), "x", False),
        (f"{LISTED}.evil.example", "x", False),
        ("https://evil.example/https://app.example.com", "x", False),
    ],
)
def test_same_origin_and_listed_ones(origin: str | None, host: str, allowed: bool) -> None:
    origins = Origins([LISTED])
    assert origins.allows(origin, host) is allowed
    assert origins.listed(origin or "") is (allowed and "app.example.com" in str(origin))


def test_list_is_shown_as_it_was_given() -> None:
    assert Origins([f"{LISTED}/", "http://a:8000"]).all_listed() == ["http://a:8000", LISTED]
