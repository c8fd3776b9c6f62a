"""`rtserver.webhooks.schedule`."""

from rtserver.model.positions import Position
from rtserver.webhooks.schedule import FIRST_S, MOST_S, FeedState

DAY_S = 24 * 3600.0
BEGUN = FeedState(Position("abcd", 3))


def test_attempts_of_a_day_are_ever_further_apart() -> None:
    state, now_s, waits = BEGUN, 0.0, []
    while now_s < DAY_S:
        state = state.failed(now_s)
        waits.append(state.due_s - now_s)
        now_s = state.due_s
    assert FIRST_S / 2 <= waits[0] <= FIRST_S
    assert all(MOST_S / 2 <= wait <= MOST_S for wait in waits[10:])
    assert 24 <= len(waits) <= 60
    assert state.failing_since_s == 0.0
    assert state.accepted() == BEGUN


def test_an_endpoint_is_left_alone_as_long_as_it_asks_for_within_bounds() -> None:
    assert BEGUN.failed(10.0, retry_after_s=600.0).due_s == 610.0
    assert BEGUN.failed(10.0, retry_after_s=10 * DAY_S).due_s == 10.0 + MOST_S
    assert BEGUN.failed(10.0, retry_after_s=0.0).due_s >= 10.0 + FIRST_S / 2


def test_a_message_is_given_up_when_both_it_and_the_failure_are_old() -> None:
    failing = BEGUN.failed(DAY_S)
    assert not BEGUN.is_given_up(0.0, DAY_S, 9 * DAY_S)
    assert not failing.is_given_up(0.0, DAY_S, DAY_S + 1)
    assert failing.is_given_up(0.0, DAY_S, 2 * DAY_S)
    assert failing.is_given_up(DAY_S, DAY_S, 2 * DAY_S)
    assert not failing.is_given_up(DAY_S + 1, DAY_S, 2 * DAY_S)
