"""`rtserver.audit.record.backpressure`.

Full until half of it is free again, whatever comes and goes meanwhile.
"""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rtserver.audit.record.backpressure import Backpressure

OVERHEAD_BYTES = 70
"""What the spool puts around a batch."""


class Flow:
    """Records on their way through memory and disk into the log, and the room that is told."""

    def __init__(self, bound_bytes: int, queue_bound_bytes: int) -> None:
        self.room = Backpressure(bound_bytes, queue_bound_bytes)
        self._queue: list[int] = []
        self._disk: list[int] = []
        self._written = self._taken = 0

    def record(self, size_bytes: int) -> None:
        self._queue.append(size_bytes)
        self.room.queued(size_bytes)

    def write(self, *, told: bool = True) -> None:
        """All that is in memory; `told` False: the room hears of it later."""
        size_bytes = sum(self._queue)
        if size_bytes:
            self._queue.clear()
            self._disk.append(size_bytes + OVERHEAD_BYTES)
            self._written += self._disk[-1]
        if told:
            self.room.written(self.room.queue_bytes - sum(self._queue), self._written)

    def deliver(self) -> bool:
        if not self._disk:
            return False
        self._taken += self._disk.pop(0)
        self.room.taken(self._taken)
        return True


def test_one_batch_that_goes_does_not_end_it() -> None:
    flow = Flow(1_000, 10_000)
    while not flow.room.full:
        flow.record(100)
        flow.write()
    assert flow.room.used_bytes >= 1_000
    while flow.room.used_bytes > 500:
        assert flow.room.full
        assert flow.deliver()
    assert not flow.room.full


def test_what_goes_from_memory_to_disk_is_not_counted_twice() -> None:
    flow = Flow(1_000, 10_000)
    flow.record(800)
    flow.write(told=False)
    flow.deliver()  # sooner than the room hears that it was on disk
    assert not flow.room.full
    flow.write()
    assert flow.room.used_bytes == 0


def test_memory_has_a_bound_of_its_own() -> None:
    room = Backpressure(1_000_000, 1_000)
    room.queued(1_000)
    assert room.full
    assert room.takes_beyond()
    room.queued(1_000)
    assert not room.takes_beyond()
    room.unqueued(1_000)
    assert room.full
    room.unqueued(500)
    assert not room.full


STEPS = st.lists(
    st.one_of(
        st.integers(200, 600).map(lambda size: ("record", size)),
        st.sampled_from([("write", 0), ("write unheard", 0), ("deliver", 0)]),
    ),
    max_size=120,
)


@given(STEPS, st.sampled_from([4_096, 20_000]), st.sampled_from([2_000, 50_000]))
def test_it_turns_full_at_the_bound_and_ends_at_half_of_it(
    steps: list[tuple[str, int]], bound_bytes: int, queue_bound_bytes: int
) -> None:
    flow = Flow(bound_bytes, queue_bound_bytes)
    room = flow.room
    for step, size_bytes in steps:
        before = room.full
        if step == "record":
            flow.record(size_bytes)
            assert room.full >= before, "what comes does not end it"
        elif step == "deliver":
            flow.deliver()
            assert room.full <= before, "what goes does not bring it about"
        else:
            flow.write(told=step == "write")
        if room.full and not before:
            assert room.used_bytes >= bound_bytes or room.queue_bytes >= queue_bound_bytes
        if before and not room.full:
            assert room.used_bytes <= bound_bytes // 2
            assert room.queue_bytes <= queue_bound_bytes // 2
    # From here on everything goes: at most one change, and that is to the better.
    seen = [room.full]
    flow.write()
    seen.append(room.full)
    while flow.deliver():
        seen.append(room.full)
    assert sum(one != other for one, other in pairwise(seen[1:])) <= 1
    assert not seen[-1]
    assert room.used_bytes == room.queue_bytes == 0
