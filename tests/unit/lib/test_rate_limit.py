import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.lib.rate_limit import RateTable, TokenBucket


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3, now_s=100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(100.4)
    assert bucket.take(100.5)
    assert not bucket.take(100.5)


def test_who_keeps_to_the_rate_is_not_refused_for_what_sums_of_times_lose() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=1, now_s=0.0)
    now_s = 0.0
    for _ in range(1000):
        assert bucket.take(now_s)
        now_s += 0.1


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
    assert taken <= burst + now_s * rate_per_s + 1e-4
    assert taken >= min(len(pauses_s), burst)


def test_each_key_has_its_burst_and_then_the_rate() -> None:
    table = RateTable(rate_per_s=2, burst=3)
    for key in ("one", "other", "\ud800"):
        assert [table.take(key, 100.0) for _ in range(3)] == [0, 0, 0]
        assert table.take(key, 100.0) == pytest.approx(0.5)
        assert table.take(key, 100.4) == pytest.approx(0.1)  # what is refused costs nothing
        assert table.take(key, 100.5) == 0
        assert table.take(key, 100.5) > 0
    assert [table.take("one", 1_000_000.0) for _ in range(3)] == [0, 0, 0]
    assert table.take("one", 1_000_000.0) > 0


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60), st.floats(0.5, 20), st.integers(1, 10))
def test_a_table_allows_what_a_bucket_allows(
    pauses_s: list[float], rate_per_s: float, burst: int
) -> None:
    table = RateTable(rate_per_s, burst)
    now_s, taken = 0.0, 0
    for pause_s in pauses_s:
        now_s += pause_s
        taken += not table.take("key", now_s)
    assert min(len(pauses_s), burst) <= taken <= burst + now_s * rate_per_s + 1e-6


def test_a_flood_of_keys_neither_grows_it_nor_holds_others_back() -> None:
    table = RateTable(rate_per_s=1, burst=10)
    size_bytes = len(table._full_at_s)
    assert [table.take("beyond", 0.0) for _ in range(10)] == [0] * 10
    for number in range(20_000):  # as many as there are cells, and each comes once
        table.take(f"flood-{number}", 0.0)
    assert len(table._full_at_s) == size_bytes
    assert table.take("beyond", 0.0) > 0, "what was counted is not pushed out"
    assert sum(not table.take(f"honest-{number}", 0.0) for number in range(500)) == 500


def test_many_who_are_beyond_their_rate_hold_hardly_anybody_back() -> None:
    table = RateTable(rate_per_s=1, burst=2)
    for number in range(300):
        for _ in range(3):
            table.take(f"beyond-{number}", 0.0)
    held_back = sum(bool(table.take(f"honest-{number}", 0.0)) for number in range(2000))
    assert held_back <= 10, "two shared cells: about one in 3,000"


def test_another_table_shares_other_cells() -> None:
    """Or who finds out whose cells are shared could use it for ever."""
    one, other = RateTable(1, 1), RateTable(1, 1)
    for table in (one, other):
        table.take("key", 0.0)
    assert one._full_at_s != other._full_at_s
