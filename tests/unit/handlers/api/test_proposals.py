from datetime import UTC, datetime

import pytest

from handlers.api.proposals import fits_if_match
from handlers.base.problems import Problem
from rtserver.reviews.proposals import Proposal
from rtserver.reviews.statuses import ProposalStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _proposal(version: int) -> Proposal:
    return Proposal("p", "p1", "P", "ada", [], ProposalStatus.DRAFT, NOW, NOW, "ada", version)


@pytest.mark.parametrize(
    ("headers", "fits"),
    [
        (['"3"'], True),
        (['"2"'], False),
        (['"1", "3"'], True),
        (['"1"', '"3"'], True),
        (['"1" ,"2"'], False),
        (["*"], True),
        (['W/"3", "3"'], True),
        (['W/"3", "2"'], False),  # RFC 9110 section 13.1.1: the comparison is the strong one
        (['"3,4"'], False),
        (['""'], False),
    ],
)
def test_if_match(headers: list[str], fits: bool) -> None:
    check = fits_if_match(headers)
    assert check is not None
    assert check(_proposal(3)) is fits


def test_without_if_match_anything_fits() -> None:
    assert fits_if_match([]) is None


@pytest.mark.parametrize("header", ["", " ", "3", '"3', "W/3", '"1" "2"', "null"])
def test_if_match_that_is_none(header: str) -> None:
    with pytest.raises(Problem, match="400"):
        fits_if_match([header])


def test_weak_tags_alone_are_refused_with_what_to_send() -> None:
    with pytest.raises(Problem) as caught:
        fits_if_match(['W/"3"', 'W/"2"'])
    assert caught.value.status_code == 412
    assert 'send "3" for W/"3"' in caught.value.detail
