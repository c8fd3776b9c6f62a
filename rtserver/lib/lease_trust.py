"""Trust in leases: whether one that looks lapsed has lapsed, or nobody could renew it.

While MongoDB was away, or the whole machine slept, no owner could renew. All leases look lapsed
then although their owners live, and who looks first would take everything from all the others.
"""

import math
import time
from collections.abc import Callable

# The sleep of a machine counts, which MongoDB's clock does not leave out either (Linux).
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _clock_s() -> float:
    return time.clock_gettime(_CLOCK)


class LeaseTrust:
    """One answer for all leases of a worker, by what happens to its own.

    The worker renews its own lease every third of the time that it lasts, by a write that a
    majority has to confirm, as all owners do. As long as that works, others can renew as well. A
    renewal that comes late, by more than the two thirds that a lease still lasts, ends an outage:
    then each owner gets a lease's time to renew before anything of theirs is taken for lapsed.
    """

    def __init__(self, lease_s: float, *, now_s: Callable[[], float] = _clock_s) -> None:
        """Begin without trust, for one round of renewals: MongoDB may have come just now.

        Args:
            lease_s: how long the worker's own lease lasts.
            now_s: the time, in seconds from anywhere.
        """
        self._longest_s = lease_s * 2 / 3
        self._now_s = now_s
        self._renewed_s = now_s()
        self._begin_s = self._renewed_s + lease_s / 3
        self._outage_end_s = -math.inf
        self._lease_s = lease_s

    def renewed(self) -> None:
        """The worker's own lease was renewed just now."""
        now_s = self._now_s()
        if now_s - self._renewed_s > self._longest_s:
            self._outage_end_s = now_s
        self._renewed_s = now_s

    def holds(self, lease_s: float | None = None) -> bool:
        """Whether a lease that has run out, as MongoDB says now, is over.

        Ask before reading which have: an outage may end in between.

        Args:
            lease_s: how long the leases in question last; None: as long as the worker's own.
        """
        now_s = self._now_s()
        if now_s < self._begin_s or now_s - self._renewed_s > self._longest_s:
            return False
        return now_s - self._outage_end_s >= (self._lease_s if lease_s is None else lease_s)
