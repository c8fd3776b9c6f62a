"""Back-off: longer each time up to a bound, never the same for all, short after success."""

from rtserver.lib.backoff import Backoff


def test_waits_double_up_to_the_most() -> None:
    backoff = Backoff(0.1, 1.0)
    for most_s in (0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0):
        assert most_s / 2 <= backoff.next_s() <= most_s


def test_who_failed_together_does_not_come_back_together() -> None:
    firsts = {Backoff(1.0, 8.0).next_s() for _ in range(20)}
    assert len(firsts) > 10


def test_after_success_it_begins_anew() -> None:
    backoff = Backoff(0.1, 10.0)
    for _ in range(10):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 0.1
