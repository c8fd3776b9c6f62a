"""Identifiers from outside: what is let through can be a folder's name and a command's word."""

import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtserver.model import ids

Check = Callable[[str], str]

ALL: list[Check] = [
    ids.project_id,
    ids.proposal_id,
    ids.run_id,
    ids.comment_id,
    ids.event_type,
]
FOLDER_NAMES: list[Check] = [ids.project_id, ids.proposal_id]
ALNUM = string.ascii_letters + string.digits


@pytest.mark.parametrize("text", ["demo", "a", "Team_7", "x.y", "a~b", "_x", "~x", "0", "p" * 128])
def test_project_ids_that_are_let_through(text: str) -> None:
    assert ids.project_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        ".git",
        "-rf",
        "a/b",
        "a\\b",
        "a\0b",
        "a b",
        "a\n",
        "*",
        "a%2e",
        "é",
        "p" * 129,
        "{proposal_id}",
        "$(id)",
        "a;b",
        "a:b",
        "\ud800",
        "\uff41",
        "\u0661",
    ],
)
def test_project_ids_that_are_not(text: str) -> None:
    with pytest.raises(ids.BadIdentifier):
        ids.project_id(text)


@pytest.mark.parametrize("text", ["add-login", "Add-Login", "2fa", "v1.2_x", "a..b", "c" * 128])
def test_proposal_ids_that_are_let_through(text: str) -> None:
    assert ids.proposal_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "../x",
        "--all",
        "-x",
        "_x",
        "a/b",
        "a\0",
        "a\n",
        "a b",
        "c" * 129,
        "archive",
        "Archive",
        "\u212a",
        "\u017f",
        "é",
    ],
)
def test_proposal_ids_that_are_not(text: str) -> None:
    with pytest.raises(ids.BadIdentifier):
        ids.proposal_id(text)


@pytest.mark.parametrize("text", ["build.finished", "a.b", "ci.build_1.step-two", "a." + "b" * 98])
def test_event_types_that_are_let_through(text: str) -> None:
    assert ids.event_type(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "build",
        "Build.finished",
        ".a",
        "a.",
        "a..b",
        "a.1",
        "a b.c",
        "a.b\n",
        "a." + "b" * 99,
        "output",
        "validation_complete",
        "a.é",
    ],
)
def test_event_types_that_are_not(text: str) -> None:
    with pytest.raises(ids.BadIdentifier):
        ids.event_type(text)


@pytest.mark.parametrize("check", [ids.run_id, ids.comment_id])
def test_record_ids(check: Check) -> None:
    assert check("0190f3a2-7b1c-7def-8a00-123456789abc") == "0190f3a2-7b1c-7def-8a00-123456789abc"
    for text in ["", "-a", "a.b", "a/b", "..", "a\n", "r" * 129]:
        with pytest.raises(ids.BadIdentifier):
            check(text)


@pytest.mark.parametrize(
    ("check", "text", "words"),
    [
        (ids.project_id, "", "project id is empty"),
        (ids.project_id, ".x", "may not begin with '.'"),
        (ids.project_id, "a/b", "may only contain"),
        (ids.project_id, "p" * 200, "200 characters long; at most 128"),
        (ids.proposal_id, "-x", "must begin with a letter or a digit"),
        (ids.proposal_id, "archive", "reserved by OpenSpec"),
        (ids.run_id, "a b", "run id 'a b' must begin"),
        (ids.event_type, "build", "has no dot"),
        (ids.event_type, "A.b", "lower-case words joined by dots"),
    ],
)
def test_the_message_names_what_was_wrong(check: Check, text: str, words: str) -> None:
    with pytest.raises(ids.BadIdentifier, match=r"^[ -~]+$") as raised:
        check(text)
    assert words in str(raised.value)


@given(st.text(max_size=300), st.sampled_from(ALL))
@example("é" * 64 + "SECRET", ids.project_id)
def test_any_text_is_returned_as_it_is_or_refused_in_plain_words(text: str, check: Check) -> None:
    try:
        result = check(text)
    except ids.BadIdentifier as error:
        message = str(error)
        assert message.isascii()
        assert message.isprintable()
        tail = text[ids.MAX_ECHO_LENGTH :]
        assert len(tail) < 20 or tail not in message
        assert len(message) < 1000
    else:
        assert result == text


@given(
    st.text(string.printable + "\0é\u0663\u212a", min_size=1, max_size=140) | st.text(max_size=140),
    st.sampled_from(FOLDER_NAMES),
)
@example("..", ids.project_id)
@example("../../etc", ids.proposal_id)
def test_what_is_let_through_names_a_folder_straight_below(text: str, check: Check) -> None:
    try:
        name = check(text)
    except ids.BadIdentifier:
        return
    base = Path("/srv/workspaces")
    assert (base / name).resolve().parent == base
    assert name.isascii()
    assert not name.startswith(("-", "."))
    assert len(name) <= 128


@given(
    st.text(ALNUM, min_size=1, max_size=1),
    st.text(ALNUM + "._-", max_size=ids.MAX_ID_LENGTH - 1),
)
def test_every_name_of_safe_characters_is_let_through(first: str, rest: str) -> None:
    name = first + rest
    assert ids.project_id(name) == name
    if name.lower() != "archive":
        assert ids.proposal_id(name) == name
