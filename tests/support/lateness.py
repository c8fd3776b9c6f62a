"""How slow the machine is meanwhile, so that a bound on time can be held to without guessing."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STEP_S = 0.005


@contextmanager
def lateness() -> Iterator[Callable[[], float]]:
    """Measure how much later than asked for a thread of this process goes on, at worst, in seconds.

    That says what the machine, and the other threads of this process, take; not how busy whatever
    is being tested is with itself.
    """
    worst = [0.0]
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            begun_s = time.monotonic()
            time.sleep(STEP_S)
            worst[0] = max(worst[0], time.monotonic() - begun_s - STEP_S)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lambda: worst[0]
    finally:
        done.set()
        thread.join()
