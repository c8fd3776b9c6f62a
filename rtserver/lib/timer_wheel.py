"""A hashed timing wheel: one timer for all connections.

Scheduling and cancelling cost a dictionary operation, and the event loop carries one task instead
of a timer for each connection. A timer fires within one tick after it is due, never before.
"""

import asyncio
from collections.abc import Callable

import structlog

_TAKEN_OUT = -1  # no slot has this number: a loop's clock never goes below zero

_log = structlog.get_logger()


def _nothing() -> None:
    """What is left to do when it was forgotten."""


class Timer:
    """Something to be done later. It belongs to at most one slot of a wheel at a time.

    It calls an action, unless a subclass overrides `fire`.
    """

    __slots__ = ("_action", "slot")

    def __init__(self, action: Callable[[], None] = _nothing) -> None:
        self._action = action
        self.slot: int | None = None

    def fire(self) -> None:
        """Do it."""
        self._action()

    def forget(self) -> None:
        """Let go of what would have been done, so that the timer's owner is in no cycle."""
        self._action = _nothing


class TimerWheel:
    """Slots of one tick each. Time is passed in, so the rules can be tested without waiting."""

    def __init__(self, *, tick_s: float, now_s: float) -> None:
        self._tick_s = tick_s
        self._slots: dict[int, dict[Timer, None]] = {}
        self._next_slot = self._slot_at(now_s)
        self._scheduled = asyncio.Event()

    def _slot_at(self, moment_s: float) -> int:
        return int(moment_s / self._tick_s)

    def schedule(self, timer: Timer, due_s: float) -> None:
        """Let a timer fire once `due_s` has passed; replaces what it was scheduled for before."""
        self.cancel(timer)
        # The slot after the one that holds `due_s`: when it comes up, the time is over for sure.
        slot = max(self._slot_at(due_s) + 1, self._next_slot)
        self._slots.setdefault(slot, {})[timer] = None
        self._scheduled.set()
        timer.slot = slot

    def cancel(self, timer: Timer) -> None:
        """Forget a timer; nothing happens where it was not scheduled."""
        if timer.slot is None:
            return
        if timer.slot != _TAKEN_OUT:
            slot = self._slots[timer.slot]
            del slot[timer]
            if not slot:
                del self._slots[timer.slot]
        timer.slot = None

    def fire_due(self, now_s: float) -> None:
        """Fire the timers that are due, earliest slot first.

        What one of them cancels or schedules anew does not fire now, though it was due as well.
        """
        for timer in self._take_due(now_s):
            if timer.slot != _TAKEN_OUT:
                continue
            timer.slot = None
            try:
                timer.fire()
            except Exception:  # noqa: BLE001 - one bad timer must not stop the others
                _log.exception("timer_failed")

    def _take_due(self, now_s: float) -> list[Timer]:
        current = self._slot_at(now_s)
        if current - self._next_slot > len(self._slots):
            due_slots = sorted(slot for slot in self._slots if slot <= current)
        else:
            due_slots = [s for s in range(self._next_slot, current + 1) if s in self._slots]
        self._next_slot = max(self._next_slot, current + 1)
        due: list[Timer] = []
        for slot in due_slots:
            for timer in self._slots.pop(slot):
                timer.slot = _TAKEN_OUT
                due.append(timer)
        return due

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    async def run(self) -> None:
        """Fire timers on the event loop's clock, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._slots:  # without connections there is no reason to wake up at all
                self._scheduled.clear()
                await self._scheduled.wait()
            await asyncio.sleep(self._tick_s)
            self.fire_due(loop.time())
