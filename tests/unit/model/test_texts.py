import pytest

from rtserver.model import texts
from rtserver.model.errors import InvalidError


def test_line_loses_the_blanks_around_it() -> None:
    assert texts.line("title", "  A fair queue\n", 20) == "A fair queue"


@pytest.mark.parametrize("text", ["", "   ", "x" * 21, "a\nb", "a\x00b", "a\x1bb", "a\u2028b"])
def test_line_refuses(text: str) -> None:
    with pytest.raises(InvalidError, match="title"):
        texts.line("title", text, 20)


def test_line_may_be_empty_where_it_may() -> None:
    assert texts.line("reason", " ", 20, min_chars=0) == ""


def test_prose_keeps_its_line_ends_and_any_script() -> None:
    text = "First.\r\n\tZweitens: größer 👩\u200d👧.\n\n第三"
    assert texts.prose("text", f"\n{text}\n", 100) == text


@pytest.mark.parametrize("text", ["", "\n \n", "x" * 101, "a\x00", "a\x1b[31m", "\ud800"])
def test_prose_refuses(text: str) -> None:
    with pytest.raises(InvalidError, match="text"):
        texts.prose("text", text, 100)


def test_user_id_is_taken_as_a_token_would_give_it() -> None:
    assert texts.user_id("author", " auth0|ada lovelace ") == " auth0|ada lovelace "
    for bad in ("", "x" * 257, "a\nb"):
        with pytest.raises(InvalidError, match="author"):
            texts.user_id("author", bad)
