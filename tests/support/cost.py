"""What a piece of work costs by itself, however busy the machine is with other things."""

import time
from collections.abc import Callable


def cpu_s(work: Callable[[], object], tries: int = 3) -> float:
    """The least processor time of this thread that the work took, in seconds."""
    taken_s = []
    for _ in range(tries):
        begun_s = time.thread_time()
        work()
        taken_s.append(time.thread_time() - begun_s)
    return min(taken_s)
