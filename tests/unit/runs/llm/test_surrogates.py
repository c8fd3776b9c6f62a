"""Joining halves of surrogate pairs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.runs.llm.surrogates import SurrogateJoiner


def joined(*pieces: str) -> str:
    joiner = SurrogateJoiner()
    return "".join([*map(joiner.feed, pieces), joiner.end()])


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (("a\ud83d", "\ude00b"), "a\U0001f600b"),
        (("\ud83d", "", "\ude00"), "\U0001f600"),
        (("\ud83d\ude00",), "\U0001f600"),
        (("\ud83d", "a"), "\ufffda"),
        (("\ud83d", "\ud83d", "\ude00"), "\ufffd\U0001f600"),
        (("\ude00", "\ud83d"), "\ufffd\ufffd"),
        (("a\ud83d",), "a\ufffd"),
        (("\U0001f600",), "\U0001f600"),
        ((), ""),
    ],
)
def test_halves(pieces: tuple[str, ...], text: str) -> None:
    assert joined(*pieces) == text


@given(st.text(), st.data())
def test_any_text_cut_between_its_units(text: str, data: st.DataObject) -> None:
    units = text.encode("utf-16-le")
    at = 2 * data.draw(st.integers(0, len(units) // 2))
    halves = [half.decode("utf-16-le", "surrogatepass") for half in (units[:at], units[at:])]
    assert joined(*halves) == text
