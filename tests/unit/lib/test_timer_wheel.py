import asyncio
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rtserver.lib.timer_wheel import Timer, TimerWheel
from tests.support.recorder import LogRecorder

TICK_S = 0.05


@dataclass
class _Entry:
    """A timer, when it should fire at the earliest, and how often it did."""

    due_s: float | None = None
    fired: int = 0
    timer: Timer = field(init=False)

    def __post_init__(self) -> None:
        self.timer = Timer(self.fire)

    def fire(self) -> None:
        self.fired += 1


class WheelMachine(RuleBasedStateMachine):
    """Schedules, cancels and moves on in any order, beside a model that does it by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.wheel = TimerWheel(tick_s=TICK_S, now_s=self.now_s)
        self.entries = [_Entry() for _ in range(6)]

    @rule(which=st.integers(0, 5), delay_s=st.floats(-1, 30))
    def schedule(self, which: int, delay_s: float) -> None:
        entry = self.entries[which]
        self.wheel.schedule(entry.timer, self.now_s + delay_s)
        entry.due_s = self.now_s + max(0.0, delay_s)  # what is overdue waits for the next tick

    @rule(which=st.integers(0, 5))
    def cancel(self, which: int) -> None:
        self.entries[which].due_s = None
        self.wheel.cancel(self.entries[which].timer)

    @rule(pause_s=st.one_of(st.floats(0, 0.2), st.floats(0, 40)))
    def move_on(self, pause_s: float) -> None:
        self.now_s += pause_s
        before = [entry.fired for entry in self.entries]
        self.wheel.fire_due(self.now_s)
        for entry, count in zip(self.entries, before, strict=True):
            fired = entry.fired - count
            if fired:
                assert entry.due_s is not None, "it was cancelled, or had fired already"
                assert fired == 1
                assert self.now_s >= entry.due_s, "never before it is due"
                entry.due_s = None
            elif entry.due_s is not None:
                # A tiny allowance: the slot's border is where floating point puts it.
                assert self.now_s < entry.due_s + TICK_S + 1e-9

    @invariant()
    def counts_what_is_scheduled(self) -> None:
        assert len(self.wheel) == sum(entry.due_s is not None for entry in self.entries)


TestWheel = WheelMachine.TestCase


@given(st.floats(0, 1e6), st.floats(0, 100))
def test_a_timer_fires_within_one_tick_after_it_is_due(now_s: float, delay_s: float) -> None:
    wheel, entry = TimerWheel(tick_s=TICK_S, now_s=now_s), _Entry()
    due_s = now_s + delay_s
    wheel.schedule(entry.timer, due_s)
    wheel.fire_due(due_s)
    assert entry.fired == 0
    wheel.fire_due(due_s + TICK_S + 1e-6)
    assert entry.fired == 1


def test_earlier_slots_fire_first() -> None:
    wheel = TimerWheel(tick_s=1.0, now_s=0.0)
    order: list[int] = []
    for due_s in (7, 3, 5, 1):
        wheel.schedule(Timer(partial(order.append, due_s)), due_s)
    wheel.fire_due(100.0)
    assert order == [1, 3, 5, 7]


def test_what_a_timer_cancels_does_not_fire_although_it_was_due_as_well() -> None:
    """A session whose token expired in the tick of its heartbeat was pinged after its close."""
    wheel = TimerWheel(tick_s=1.0, now_s=0.0)
    fired: list[str] = []
    second = Timer(lambda: fired.append("second"))
    third = Timer(lambda: fired.append("third"))

    def cancel_others() -> None:
        fired.append("first")
        wheel.cancel(second)
        wheel.schedule(third, 10.0)

    wheel.schedule(Timer(cancel_others), 0.5)
    wheel.schedule(second, 0.5)
    wheel.schedule(third, 1.5)
    wheel.fire_due(5.0)
    assert fired == ["first"]
    assert len(wheel) == 1
    wheel.fire_due(12.0)
    assert fired == ["first", "third"]


def test_a_timer_may_schedule_itself_again() -> None:
    wheel = TimerWheel(tick_s=1.0, now_s=0.0)
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        wheel.schedule(timer, 0.0)  # long past: the next tick, not this one for ever

    timer = Timer(again)
    wheel.schedule(timer, 0.0)
    wheel.fire_due(1.0)
    assert count == 1
    wheel.fire_due(2.0)
    assert count == 2


@pytest.mark.gen_test
async def test_the_loop_fires_timers_and_outlives_one_that_fails(logs: LogRecorder) -> None:
    logs.expect("timer_failed")
    loop = asyncio.get_running_loop()
    wheel = TimerWheel(tick_s=0.01, now_s=loop.time())
    fired: asyncio.Future[float] = loop.create_future()

    def fail() -> None:
        raise RuntimeError("made up")

    due_s = loop.time() + 0.05
    wheel.schedule(Timer(fail), loop.time())
    wheel.schedule(Timer(lambda: fired.set_result(loop.time())), due_s)
    running = loop.create_task(wheel.run())
    try:
        async with asyncio.timeout(10):
            assert await fired > due_s
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert [line["event"] for line in logs.lines] == ["timer_failed"]
