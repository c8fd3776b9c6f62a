"""The places between pages as clients get and send them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.model import ids
from rtserver.reviews.pages import Place

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.integers(0, 10**13), st.from_regex(ids.PROPOSAL_ID_PATTERN, fullmatch=True))
def test_a_place_comes_back_as_it_was_given(moment_ms: int, proposal_id: str) -> None:
    place = Place(EPOCH + timedelta(milliseconds=moment_ms), proposal_id)
    assert Place.parse(str(place)) == place


@pytest.mark.parametrize(
    "text", ["", "p", "1-", "-p", "1-../x", "1-p\n", "x-p", "1" * 15 + "-p", "\u0661-p", "1-p q"]
)
def test_what_no_page_has_given_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="`next` of a page"):
        Place.parse(text)
