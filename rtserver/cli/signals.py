"""Signals: waits for SIGTERM or SIGINT, which end a command in an orderly way."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from rtserver.lib.exit_deadline import ExitDeadline

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def stop_signals(
    deadline: ExitDeadline | None = None, in_s: float = 0.0
) -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set; a second signal ends the process at once.

    Args:
        deadline: set by the first signal too, also where the event loop does not get to run.
        in_s: what it is set to.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        for number in _NUMBERS:
            signal.signal(number, signal.SIG_DFL)
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
