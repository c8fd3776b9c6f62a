"""Token bucket: how many messages a connection may send."""


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
        if self._level < 1:
            return False
        self._level -= 1
        return True
