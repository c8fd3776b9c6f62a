import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.lib.rate_limit import TokenBucket


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3, now_s=100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(100.4)
    assert bucket.take(100.5)
    assert not bucket.take(100.5)


def test_a_long_pause_gives_no_more_than_the_burst() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=3, now_s=0.0)
    assert [bucket.take(1_000_000.0) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("now_s", [-5.0, 0.0])
def test_a_clock_that_goes_back_gives_nothing(now_s: float) -> None:
    bucket = TokenBucket(rate_per_s=10, burst=1, now_s=0.0)
    assert bucket.take(0.0)
    assert not bucket.take(now_s)


@given(
    st.lists(st.floats(0, 2), min_size=1, max_size=60),
    st.floats(0.5, 20),
    st.integers(1, 10),
)
def test_no_order_of_messages_gets_more_than_burst_and_rate(
    pauses_s: list[float], rate_per_s: float, burst: int
) -> None:
    bucket = TokenBucket(rate_per_s, burst, 0.0)
    now_s, taken = 0.0, 0
    for pause_s in pauses_s:
        now_s += pause_s
        taken += bucket.take(now_s)
    assert taken <= burst + now_s * rate_per_s + 1e-6
    assert taken >= min(len(pauses_s), burst)
