"""Offsets: opaque to clients, who sort them."""

import pytest

from rtserver.runs.stream_offsets import BadOffsetError, Offset


def test_as_texts_they_sort_as_the_places_do() -> None:
    places = [Offset("e0e0", seq) for seq in (0, 9, 10, 99_999, 10**17, None)]
    texts = list(map(str, places))
    assert sorted(texts) == texts
    assert list(map(Offset.parse, texts)) == places
    assert all(text > "-1" for text in texts)
    assert not any(set(text) & set(",&=?/") for text in texts)


@pytest.mark.parametrize(
    "text", ["", "-1", "now", "e0e0-5", "e0e0_5", "e0e0_End", f"e0e0_{'9' * 19}", "e0e0_end\n"]
)
def test_what_no_stream_has_given_is_none(text: str) -> None:
    with pytest.raises(BadOffsetError):
        Offset.parse(text)
