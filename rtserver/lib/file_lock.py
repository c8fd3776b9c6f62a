"""Locks on open files, flock(2): for processes of one host, and given back however one ends."""

import fcntl
import time

POLL_S = 0.02
"""The kernel tells nobody who does not block that a lock is free."""


def try_flock(fd: int, *, exclusive: bool = True) -> bool:
    """Lock an open file if nobody else has; False where somebody has.

    Raises:
        OSError: it can't be locked at all.
    """
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def flock_within(fd: int, timeout_s: float) -> bool:
    """Lock an open file; waits, and blocks its thread, for so long; False where that is over."""
    deadline_s = time.monotonic() + timeout_s
    while not try_flock(fd):
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(POLL_S)
    return True
