"""What a piece of work costs by itself, however busy the machine is with other things."""

import gc
import time
from collections.abc import Callable


def cpu_s(work: Callable[[], object], tries: int = 3) -> float:
    """The least processor time of this thread that the work took, in seconds.

    Without the garbage collector: its cost hangs on all that other tests left in the process.
    """
    taken_s = []
    gc.disable()
    try:
        for _ in range(tries):
            begun_s = time.thread_time()
            work()
            taken_s.append(time.thread_time() - begun_s)
    finally:
        gc.enable()
    return min(taken_s)


def check_growth(
    work: Callable[[int], object], size: int, most: float, *, floor_s: float = 0.001
) -> None:
    """See that ten times the size takes about ten times the work, and not the square of it.

    What else the machine does costs a little too, so the larger one has three tries.

    Args:
        work: what is done, for a size.
        size: the smaller one; large enough to be measured.
        most: how many times the smaller one's cost the larger one's may be.
        floor_s: what the smaller one is taken to cost at least.
    """
    bound_s = most * max(cpu_s(lambda: work(size)), floor_s)
    took_s = [cpu_s(lambda: work(10 * size), tries=1)]
    while min(took_s) >= bound_s and len(took_s) < 3:
        took_s.append(cpu_s(lambda: work(10 * size), tries=1))
    assert min(took_s) < bound_s
