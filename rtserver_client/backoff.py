"""How long to wait before the next attempt."""

import random


class Backoff:
    """Exponential, with full jitter, so that many clients do not come back at once."""

    def __init__(self, first_s: float = 0.5, most_s: float = 30.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._attempts = 0

    def next_s(self, least_s: float = 0.0) -> float:
        """The next wait, on top of what the server asked for."""
        most_s = min(self._most_s, self._first_s * 2 ** min(self._attempts, 16))
        self._attempts += 1
        return least_s + random.uniform(0, most_s)  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        """Begin anew: it worked."""
        self._attempts = 0
