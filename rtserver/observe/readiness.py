"""Readiness: whether this worker can serve, and if not, why."""

from typing import Protocol


class Part(Protocol):
    """What a worker can't serve without."""

    def problem(self) -> str | None:
        """What is wrong with it, in words; None where nothing is."""


class Readiness:
    """Asks each part of a worker; each is added by who builds it."""

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}

    def add(self, name: str, part: Part) -> None:
        """Ask a part too, from now on, under its name."""
        self._parts[name] = part

    def remove(self, name: str) -> None:
        """Ask a part no more."""
        del self._parts[name]

    def problems(self) -> dict[str, str]:
        """What is wrong, by part; empty where the worker can serve."""
        found = {name: part.problem() for name, part in self._parts.items()}
        return {name: problem for name, problem in found.items() if problem is not None}
