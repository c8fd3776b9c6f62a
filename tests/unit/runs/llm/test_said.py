"""The words of errors."""

from typing import Any

import pytest

from rtserver.runs.llm.said import MAX_SAID_CHARS, is_said, said_by


def nested(depth: int) -> Any:
    made: Any = "deep"
    for _ in range(depth):
        made = {"error": made}
    return made


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("plain words", "plain words"),
        ({"error": "a"}, "a"),
        ({"error": {"message": "a", "type": "b", "code": 400}}, "a"),
        ({"error": {"error": {"message": "a"}}}, "a"),
        ({"error": "Bad Request", "message": "no such model"}, "Bad Request: no such model"),
        ({"message": "a"}, "a"),
        ({"detail": "a"}, "a"),
        ({"detail": [{"loc": ["body", "model"], "msg": "a"}, {"msg": "b"}]}, "body.model: a; b"),
        ({"errors": [{"message": "a"}, "b"]}, "a; b"),
        ([{"error": {"message": "a"}}], "a"),
        ({"error_code": 5, "error_msg": "a"}, "a"),
        ({"text": "a", "error_code": 50001}, "a"),
        ({"error": {"type": "overloaded_error"}}, "overloaded_error"),
        ({"error": {"code": 503}}, "503"),
        ({"error": {"x": {"y": 1}}}, '{"error": {"x": {"y": 1}}}'),
        ({"error": {"message": {"text": "a"}}}, "a"),
        ({"error": {}}, ""),
        ({"error": None}, ""),
        ({}, ""),
        (None, ""),
        (5, ""),
        (nested(4), "deep"),
        ("two\nlines\x00and \x1b[31mcolour\u202e", "two lines and [31mcolour"),
        ("half \ud83d", "half"),
        ("the key SECRET and sk-abcdef, Bearer xyz123.", "the key [key] and [key], [key]"),
    ],
)
def test_words(body: object, words: str) -> None:
    assert said_by(body, ["SECRET"]) == words


def test_words_are_bounded() -> None:
    for body in ("x" * 10**6, {"error": "y" * 10**6}, {"error": [{"z": "z" * 10**6}] * 5}):
        assert len(said_by(body)) == MAX_SAID_CHARS + 3
    assert said_by(nested(500)) in ("", '{"error": ' * 30 + "...")
    # A secret is not shown in part where the text is cut within it.
    assert "SECR" not in said_by("x" * (MAX_SAID_CHARS - 4) + "SECRET", ["SECRET"])


@pytest.mark.parametrize(
    "error", [None, "", " ", {}, [], 0, False, "null", "None", {"message": ""}, {"code": 0}, [{}]]
)
def test_what_is_no_error(error: object) -> None:
    assert not is_said(error)
    assert not is_said({"a": error})


@pytest.mark.parametrize("error", ["a", {"message": "a"}, [{"x": "a"}], 7, True, {"code": 500}])
def test_what_is_one(error: object) -> None:
    assert is_said(error)
