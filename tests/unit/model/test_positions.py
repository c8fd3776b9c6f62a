import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.model.positions import BadPositionError, Position

EPOCHS = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=4, max_size=32)


@given(EPOCHS, st.integers(0, 10**18 - 1))
def test_a_position_survives_its_text_form(epoch: str, seq: int) -> None:
    assert Position.parse(str(Position(epoch, seq))) == Position(epoch, seq)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abcd",
        "abcd-",
        "-1",
        "abcd--1",
        "abcd-01",
        "abcd-1 ",
        "abcd-1\n",
        " abcd-1",
        "ABCD-1",
        "abc-1",
        "a" * 33 + "-1",
        "abcd-1-2",
        "abcd-1000000000000000000",
        "abcd-\uff11",  # a digit to Python, not to us
        "abcd-1\x00",
        "é" * 5 + "-1",
    ],
)
def test_what_is_not_a_position_is_refused(text: str) -> None:
    with pytest.raises(BadPositionError):
        Position.parse(text)


@given(st.text())
def test_any_text_is_a_position_or_refused_and_never_both(text: str) -> None:
    try:
        assert str(Position.parse(text)) == text
    except BadPositionError:
        return


def test_what_was_sent_is_repeated_in_part_only() -> None:
    with pytest.raises(BadPositionError) as raised:
        Position.parse("x" * 100_000)
    assert len(str(raised.value)) < 200
