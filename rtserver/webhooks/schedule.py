"""When a message that was not taken is tried again. Kept with the place: it outlives workers.

As Standard Webhooks recommends: quickly at first, then ever more seldom, over a day.
"""

import math
import random
from dataclasses import dataclass, replace

from rtserver.model.positions import Position

FIRST_S = 5.0
MOST_S = 3600.0


@dataclass(frozen=True, slots=True)
class FeedState:
    """How far an endpoint was told of a project's events, and how that goes. Times are Unix times.

    Attributes:
        position: of the last event that was dealt with.
        failures: attempts that failed since one was accepted.
        failing_since_s: when the first of them did.
        due_s: no attempt is made before.
    """

    position: Position
    failures: int = 0
    failing_since_s: float = 0.0
    due_s: float = 0.0

    def moved(self, position: Position) -> "FeedState":
        """The same after dealing with what came up to there."""
        return replace(self, position=position)

    def accepted(self) -> "FeedState":
        """After an attempt that was accepted."""
        return FeedState(self.position)

    def failed(self, now_s: float, *, retry_after_s: float | None = None) -> "FeedState":
        """After an attempt that was not.

        Args:
            now_s: the present time.
            retry_after_s: for how long the endpoint wants to be left alone.
        """
        wait_s = min(FIRST_S * 2.0 ** min(self.failures, 30), MOST_S)
        wait_s *= random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        if retry_after_s is not None:
            wait_s = max(wait_s, min(retry_after_s, MOST_S))
        return FeedState(
            self.position,
            self.failures + 1,
            self.failing_since_s if self.failures else now_s,
            now_s + wait_s,
        )

    def given_up_at_s(self, made_s: float, retry_s: float) -> float:
        """When `is_given_up` is so, unless something is accepted before."""
        if not self.failures:
            return math.inf
        return max(self.failing_since_s, made_s) + retry_s

    def is_given_up(self, made_s: float, retry_s: float, now_s: float) -> bool:
        """Whether a message has been tried for long enough.

        One that waited behind others counts as tried all the time: else an endpoint that is gone
        would hold up each of them for as long again, until the log overwrote the rest.

        Args:
            made_s: when its event was made.
            retry_s: how long messages are tried.
            now_s: the present time.
        """
        return now_s >= self.given_up_at_s(made_s, retry_s)
