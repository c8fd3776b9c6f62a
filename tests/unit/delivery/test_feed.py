from hypothesis import given
from hypothesis import strategies as st

from rtserver.delivery.feed import Recent
from rtserver.model.events import StoredEvent
from tests.support.fakes import draft, stored

EVENT_BYTES = len(stored(draft())[0].payload)


def _batch(first: int, count: int) -> list[StoredEvent]:
    return stored(*(draft() for _ in range(count)), first=first)


def test_what_is_remembered_is_given_out_from_any_place_in_it() -> None:
    recent = Recent(1 << 20)
    recent.extend(_batch(5, 4))
    recent.extend(_batch(9, 1))
    assert [event.seq for event in recent.after(4, 1 << 20) or []] == [5, 6, 7, 8, 9]
    assert [event.seq for event in recent.after(6, 2 * EVENT_BYTES) or []] == [7, 8]
    assert [event.seq for event in recent.between(5, 7) or []] == [6, 7]
    assert recent.after(3, 1 << 20) is None, "5 follows 4; what follows 3 is not here"
    assert recent.between(3, 7) is None


def test_nothing_is_never_given_out_as_a_list() -> None:
    """One who read on where the memory ended before the project did read nothing, for ever."""
    recent = Recent(1 << 20)
    assert recent.after(0, 10) is None
    recent.extend(_batch(1, 3))
    assert recent.after(3, 10) is None
    assert recent.after(99, 10) is None


def test_a_hole_forgets_what_was_before_it() -> None:
    recent = Recent(1 << 20)
    recent.extend(_batch(1, 3))
    recent.extend(_batch(6, 2))
    assert recent.after(1, 10) is None
    assert [event.seq for event in recent.after(5, 1 << 20) or []] == [6, 7]


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 12))
def test_memory_is_bounded_and_holds_the_newest_without_a_hole(
    counts: list[int], capacity: int
) -> None:
    recent = Recent(int(EVENT_BYTES * (capacity + 0.5)))
    seq = 0
    for count in counts:
        recent.extend(_batch(seq + 1, count) if count else [])
        seq += count
    kept = min(seq, capacity)
    if not kept:
        assert recent.after(0, 10) is None
        return
    # Ids grow by a digit, so a little less may fit.
    events = next(
        found for after in range(seq - kept, seq) if (found := recent.after(after, 1 << 20))
    )
    assert [event.seq for event in events] == list(range(seq - len(events) + 1, seq + 1))
    assert len(events) >= kept - 1
    assert len(events) * EVENT_BYTES <= EVENT_BYTES * (capacity + 0.5)


def test_a_part_is_bounded_in_bytes_and_never_empty() -> None:
    recent = Recent(1 << 20)
    recent.extend(stored(*(draft(text="x" * size) for size in (1000, 10, 10, 3000)), first=1))
    parts, seq = [], 0
    while found := recent.after(seq, 1000):
        parts.append([event.seq for event in found])
        seq = found[-1].seq
    assert parts == [[1], [2, 3], [4]]
