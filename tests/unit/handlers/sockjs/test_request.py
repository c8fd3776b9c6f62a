"""`handlers.sockjs.request`: callbacks, and the page behind a request."""

from types import SimpleNamespace
from typing import Any

import pytest

from handlers.base.problems import Problem
from handlers.sockjs.request import (
    CALLBACK,
    MAX_SESSION_ID_CHARS,
    _page_of,
    check_session_id,
)


@pytest.mark.parametrize("name", ["c", "_jp.a1b2c3", "a-b", "X" * 128])
def test_callbacks_that_are_names(name: str) -> None:
    assert CALLBACK.fullmatch(name)


@pytest.mark.parametrize("name", ["", "a b", "a(", "alert`1`", "a\n", "ä", "a;b", "X" * 129])
def test_callbacks_that_are_not(name: str) -> None:
    assert not CALLBACK.fullmatch(name)


@pytest.mark.parametrize(
    ("headers", "page"),
    [
        ({}, None),
        ({"Origin": "http://a.example"}, "http://a.example"),
        ({"Origin": "null", "Referer": "http://a.example/x"}, "null"),
        ({"Referer": "http://a.example:8080/x?y=1"}, "http://a.example:8080"),
        ({"Referer": "http://[broken"}, None),
    ],
)
def test_the_page_behind_a_request(headers: dict[str, str], page: str | None) -> None:
    handler: Any = SimpleNamespace(request=SimpleNamespace(headers=headers))
    assert _page_of(handler) == page


def test_a_session_id_that_is_remembered_is_short() -> None:
    check_session_id(None)  # of an address without one
    check_session_id("x" * MAX_SESSION_ID_CHARS)
    with pytest.raises(Problem, match="400"):
        check_session_id("x" * (MAX_SESSION_ID_CHARS + 1))
