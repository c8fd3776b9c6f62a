"""Offsets in a run's stream, as the Durable Streams protocol has them (its section "Offsets")."""

import re
from dataclasses import dataclass
from typing import Self

SEQ_DIGITS = 18
END = "end"
"""Sorts behind every number, so that it is greater than all other offsets of the stream."""
OFFSET_PATTERN = f"([0-9a-z]{{4,32}})_([0-9]{{{SEQ_DIGITS}}}|{END})"
_OFFSET = re.compile(OFFSET_PATTERN)


class BadOffsetError(ValueError):
    """The text is no offset that a stream has given."""


@dataclass(frozen=True, slots=True)
class Offset:
    """A place between two events of a run. As text, later ones are greater.

    Attributes:
        epoch: the life of the log.
        seq: everything of the run up to this number of its project lies before it; None: all of the
            run does, its terminal event included. That place needs no number, and so is known also
            when the log has forgotten it.
    """

    epoch: str
    seq: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an offset from outside.

        Raises:
            BadOffsetError: it does not have the form of one.
        """
        match = _OFFSET.fullmatch(text)
        if match is None:
            raise BadOffsetError("This is no offset of this stream")
        return cls(match[1], None if match[2] == END else int(match[2]))

    def __str__(self) -> str:
        return f"{self.epoch}_{END if self.seq is None else f'{self.seq:0{SEQ_DIGITS}d}'}"
