"""Which losses of a capped buffer are its own doing."""

import pytest

from rtserver.audit.verify.findings import FindingKind
from rtserver.audit.verify.overwrites import SLACK_BYTES, Overwrites

CAPACITY = 16 * 1024 * 1024
BATCH_BYTES = 192 * 1024
DETAILS_BYTES = 16 * 1024


def found_after(size_bytes: int, capacity_bytes: int = CAPACITY) -> list[FindingKind]:
    """What is found where the oldest moved on and so much is in the buffer then."""
    found: list[FindingKind] = []
    wrapping = Overwrites()
    for oldest, size in ((1, 1000), (500, size_bytes)):
        wrapping.note(
            oldest,
            size,
            capacity_bytes,
            ts="2026-01-01T10:00:00.000Z",
            where="w1-1",
            found=lambda kind, _where, _words: found.append(kind),
        )
    return found


def test_a_full_buffer_overwrites_its_oldest() -> None:
    assert found_after(CAPACITY) == []


def test_a_buffer_is_full_where_the_largest_document_would_not_fit() -> None:
    assert SLACK_BYTES > BATCH_BYTES + DETAILS_BYTES
    assert found_after(CAPACITY - BATCH_BYTES - DETAILS_BYTES) == []


@pytest.mark.parametrize("missing_bytes", [SLACK_BYTES + 1, CAPACITY - 1000])
def test_what_goes_from_a_buffer_with_room_was_removed(missing_bytes: int) -> None:
    assert found_after(CAPACITY - missing_bytes) == [FindingKind.REMOVED]


@pytest.mark.parametrize("said", [True, False])
def test_a_buffer_that_became_smaller_is_a_trace_unless_a_record_says_so(said: bool) -> None:
    """It was full by the smaller measure, so what went would look overwritten."""
    found: list[tuple[FindingKind, str]] = []
    wrapping = Overwrites()
    if said:
        wrapping.resized(CAPACITY // 4)
    for oldest, size, capacity in (
        (1, CAPACITY // 2, CAPACITY),
        (500, CAPACITY // 4, CAPACITY // 4),
    ):
        wrapping.note(
            oldest,
            size,
            capacity,
            ts="2026-01-01T10:00:00.000Z",
            where="w1-1",
            found=lambda kind, _where, words: found.append((kind, words)),
        )
    if said:
        assert found == []
    else:
        ((kind, words),) = found
        assert kind is FindingKind.REMOVED
        assert "made smaller" in words
