"""Signals: waits for those that end a command in an orderly way: SIGTERM, SIGINT, SIGUSR1."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Iterator
from types import FrameType
from typing import Any

from rtserver.lib.exit_deadline import ExitDeadline

_NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopRequest(asyncio.Event):
    """Set by a signal.

    Attributes:
        has_successor: it was SIGUSR1: another worker serves on the same socket already.
    """

    has_successor = False


@contextlib.contextmanager
def stop_signals(deadline: ExitDeadline | None = None, in_s: float = 0.0) -> Iterator[StopRequest]:
    """An event that a signal sets; a second signal ends the process at once.

    Args:
        deadline: set by the first signal too, also where the event loop does not get to run.
        in_s: what it is set to.
    """
    stop = StopRequest()
    loop = asyncio.get_running_loop()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop.has_successor = number == signal.SIGUSR1
        for each in _NUMBERS:
            signal.signal(each, signal.SIG_DFL)
        if deadline is not None:
            deadline.set(in_s)
        loop.call_soon_threadsafe(stop.set)

    # Not the loop's own handlers: those wait until the loop comes round to them.
    before = {number: signal.signal(number, on_signal) for number in _NUMBERS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is on_signal:
                signal.signal(number, handler)


async def done_unless_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Do some work, and give it up when a signal comes; whether it was done."""
    doing = asyncio.ensure_future(work)
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({doing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
            return True
        return False
    finally:
        for task in (doing, waiting):
            task.cancel()
        await asyncio.gather(doing, waiting, return_exceptions=True)
