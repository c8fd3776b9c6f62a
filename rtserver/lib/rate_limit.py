"""Rates: a token bucket for one connection, and a table of them for all who may ever come."""

import secrets
from array import array
from hashlib import blake2b

ROUNDING_S = 1e-6
"""Times are sums of many: one that is this close is there."""


class TokenBucket:
    """Allows `burst` at once and `rate_per_s` on the long run. Time is passed in."""

    __slots__ = ("_burst", "_level", "_rate_per_s", "_then_s")

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._level = burst
        self._then_s = now_s

    def take(self, now_s: float) -> bool:
        """Whether one more is within bounds; counts it if so."""
        self._level = min(
            self._burst, self._level + max(0.0, now_s - self._then_s) * self._rate_per_s
        )
        self._then_s = now_s
        if self._level < 1 - ROUNDING_S * self._rate_per_s:
            return False
        self._level = max(0.0, self._level - 1)
        return True


class RateTable:
    """A rate for each of any number of keys, in memory of a fixed size. Time is passed in.

    The generic cell rate algorithm (ITU-T I.371) needs one number for a key: when its bucket will
    be full again. Those numbers stand in the cells of a count-min sketch with conservative update
    (Estan and Varghese, 2002): a key has a cell in each of two rows, and the lower one counts. So a
    key can be held back for others' sake only where both of its cells are shared with keys that are
    beyond their rate, and who has the hash's secret alone can tell which those would be. Nothing is
    ever pushed out, however many keys there are.
    """

    __slots__ = ("_cells", "_full_at_s", "_interval_s", "_secret", "_tolerance_s")

    def __init__(self, rate_per_s: float, burst: float, cells: int = 16_384) -> None:
        """Make an empty one.

        Args:
            rate_per_s: what is allowed to a key on the long run.
            burst: what is allowed to it at once.
            cells: of each row; 16 bytes for the two.
        """
        self._interval_s = 1 / rate_per_s
        self._tolerance_s = max(0.0, burst - 1) / rate_per_s
        self._cells = cells
        self._full_at_s = array("d", [float("-inf")]) * (2 * cells)
        self._secret = secrets.token_bytes(16)

    def take(self, key: str, now_s: float) -> float:
        """Count one more for a key, where it is within bounds.

        Returns:
            0 where it is; else in how many seconds one would be.
        """
        digest = blake2b(key.encode("utf-8", "replace"), digest_size=8, key=self._secret).digest()
        full_at_s, cells = self._full_at_s, self._cells
        one = int.from_bytes(digest[:4]) % cells
        other = cells + int.from_bytes(digest[4:]) % cells
        from_s = max(now_s, min(full_at_s[one], full_at_s[other]))
        wait_s = from_s - now_s - self._tolerance_s
        if wait_s > ROUNDING_S:
            return wait_s
        from_s += self._interval_s
        full_at_s[one] = max(full_at_s[one], from_s)
        full_at_s[other] = max(full_at_s[other], from_s)
        return 0.0
