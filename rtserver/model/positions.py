"""Positions in the log: `EPOCH-SEQ`, the `id` of every stored event."""

import re
from dataclasses import dataclass
from typing import Self

POSITION_PATTERN = "([0-9a-z]{4,32})-(0|[1-9][0-9]{0,17})"
_POSITION = re.compile(POSITION_PATTERN)


class BadPositionError(ValueError):
    """The text is not a position of any log."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in one project's sequence of events.

    Attributes:
        epoch: names the life of the log; it changes only when the log is lost.
        seq: number of the event within its project, from 1; 0 is the place before the first.
    """

    epoch: str
    seq: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a position from outside.

        Raises:
            BadPositionError: the text does not have the form `EPOCH-SEQ`.
        """
        match = _POSITION.fullmatch(text)
        if match is None:
            shown = text if len(text) <= 64 else text[:64] + "..."
            raise BadPositionError(f"{shown!r} is not an event id; expected EPOCH-SEQ")
        return cls(match[1], int(match[2]))

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"
