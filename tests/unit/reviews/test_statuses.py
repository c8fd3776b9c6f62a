import itertools

import pytest

from rtserver.reviews.statuses import MOVES, ProposalStatus, WrongMoveError, check_move


@pytest.mark.parametrize("present", ProposalStatus)
@pytest.mark.parametrize("wanted", ProposalStatus)
def test_every_pair_is_a_move_or_names_what_is(
    present: ProposalStatus, wanted: ProposalStatus
) -> None:
    if wanted is present or wanted in MOVES[present]:
        check_move(present, wanted)
        return
    with pytest.raises(WrongMoveError) as refused:
        check_move(present, wanted)
    assert refused.value.status == 409
    assert refused.value.details == {
        "current": present.value,
        "allowed": [status.value for status in MOVES[present]],
    }


def test_what_people_expect_of_a_review() -> None:
    way = [ProposalStatus(name) for name in ("draft", "in_review", "approved", "archived")]
    for present, wanted in itertools.pairwise(way):
        check_move(present, wanted)
    check_move(ProposalStatus.IN_REVIEW, ProposalStatus.REJECTED)
    check_move(ProposalStatus.REJECTED, ProposalStatus.IN_REVIEW)
    for skipped in (ProposalStatus.APPROVED, ProposalStatus.REJECTED):
        with pytest.raises(WrongMoveError, match="it can become in_review, archived"):
            check_move(ProposalStatus.DRAFT, skipped)


def test_archived_is_final() -> None:
    with pytest.raises(WrongMoveError, match="nothing: it is final"):
        check_move(ProposalStatus.ARCHIVED, ProposalStatus.DRAFT)
