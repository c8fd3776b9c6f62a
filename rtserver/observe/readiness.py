"""Readiness: whether this worker can serve, and if not, why."""

from collections.abc import Callable
from dataclasses import dataclass, field

Check = Callable[[], str | None]


@dataclass(slots=True)
class Readiness:
    """Asks each part; a part answers None, or in words what is wrong."""

    checks: dict[str, Check] = field(default_factory=dict)

    def problems(self) -> dict[str, str]:
        """What is wrong, by part; empty where the worker can serve."""
        found = {name: check() for name, check in self.checks.items()}
        return {name: problem for name, problem in found.items() if problem is not None}
