"""Ranges of the log that were read, and the holes between them."""

from collections.abc import Callable
from dataclasses import dataclass

from rtserver.audit.verify.findings import FindingKind
from rtserver.model.positions import Position


@dataclass(slots=True)
class _Range:
    """A part of the log that was read without a hole; `broken`: the hole before it is a trace."""

    epoch: str
    first: int
    last: int
    broken: bool = False


class ReadRanges:
    """The places, in the order in which they are read.

    Attributes:
        source: what is read now.
        newest: the last place that was read of it; None before the first.
    """

    def __init__(
        self, found: Callable[[FindingKind, str, str], None], note: Callable[[str], None]
    ) -> None:
        """Begin.

        Args:
            found: is told of traces of tampering.
            note: is told of what is worth a word, and no trace.
        """
        self._found = found
        self._note = note
        self._ranges: list[_Range] = []
        self._known: dict[str, Position] = {}
        self.source = ""
        self.newest: Position | None = None
        self._whole = False

    @property
    def range_index(self) -> int:
        """Which part without a hole the present place is in."""
        return len(self._ranges) - 1

    @property
    def first(self) -> int:
        """The first number of that part; 0 where nothing was read."""
        return self._ranges[-1].first if self._ranges else 0

    @property
    def last(self) -> int:
        """The last number of that part."""
        return self._ranges[-1].last if self._ranges else 0

    def ranges(self) -> list[tuple[str, str]]:
        """The parts, as pairs of ids."""
        return [
            (f"{part.epoch}-{part.first}", f"{part.epoch}-{part.last}")
            for part in self._ranges
            if part.last >= part.first
        ]

    def begin(self, source: str, *, anew: bool = False, whole: bool = False) -> None:
        """What follows is from this source.

        Args:
            source: another one, which may begin before the last one ended; or one that was begun
                before, and goes on where it was.
            anew: it goes on behind a hole that has its reason.
            whole: it has to be without a hole by itself, whatever others have in its place.
        """
        self._whole = whole
        if self.newest is not None:
            self._known[self.source] = self.newest
        self.source = source
        self.newest = None if anew else self._known.get(source)

    def reached(self, source: str) -> Position | None:
        """How far a source went; None where nothing was read of it."""
        return self.newest if source == self.source else self._known.get(source)

    def skip(self, last: Position) -> None:
        """The source says that it has nothing up to this place."""
        self.newest = last
        self._ranges.append(_Range(last.epoch, last.seq + 1, last.seq))

    def stretch(self, last: Position) -> None:
        """What was taken last goes up to this place."""
        self.newest = last
        self._ranges[-1].last = max(self._ranges[-1].last, last.seq)

    def take(self, position: Position, where: str) -> bool:
        """The next place; whether nothing was read there yet.

        Args:
            position: the place.
            where: how to name it for people.
        """
        before, self.newest = self.newest, position
        current = self._ranges[-1] if self._ranges else None
        joins = (
            current is not None
            and current.epoch == position.epoch
            and current.last + 1 == position.seq
        )
        if current is not None and joins and before == Position(current.epoch, current.last):
            current.last = position.seq  # as nearly always
            return True
        follows = before is not None and before.epoch == position.epoch
        if before is not None and follows:
            self._look_at_step(before, position, where)
        if self.cover(position, exactly=True):
            return False
        if current is not None and joins:
            current.last = position.seq
            return True
        if current is not None and not follows:
            self._note_hole(current, position)
        self._ranges.append(_Range(position.epoch, position.seq, position.seq, follows))
        return True

    def _look_at_step(self, before: Position, position: Position, where: str) -> None:
        following = Position(before.epoch, before.seq + 1)
        if position.seq <= before.seq:
            self._found(FindingKind.INSERTED, where, f"it comes after {before}")
        elif position != following and (self._whole or not self.cover(following)):
            last = Position(before.epoch, position.seq - 1)
            self._found(
                FindingKind.REMOVED,
                where,
                f"{self.source} lacks {following} to {last} in the middle",
            )

    def _note_hole(self, current: _Range, position: Position) -> None:
        if current.epoch != position.epoch:
            self._note(f"the log was made anew between epochs {current.epoch} and {position.epoch}")
        elif current.last < position.seq:
            first = Position(current.epoch, current.last + 1)
            last = Position(position.epoch, position.seq - 1)
            self._note(f"nothing that was read has {first} to {last}")

    def cover(self, position: Position, *, exactly: bool = False) -> bool:
        """Whether what stood in a place was read, if it was there.

        Numbers go on where a log is made anew, and where it is copied they stay, so a place in an
        epoch of which nothing was read is looked for in the newest one.
        """
        parts = [part for part in self._ranges if part.epoch == position.epoch]
        if not parts and not exactly and self._ranges:
            newest = self._ranges[-1].epoch
            parts = [part for part in self._ranges if part.epoch == newest]
        return any(part.first <= position.seq <= part.last for part in parts)

    def end_before(self, position: Position) -> bool:
        """Whether a place is behind everything that was read."""
        return position.seq > self.last

    def are_complete(self) -> bool:
        """Whether everything from the first place of the log on was read."""
        return len(self._ranges) == 1 and self._ranges[0].first == 1

    def are_joined_since(self, range_index: int) -> bool:
        """Whether there is no hole after a part, but such as are traces of tampering."""
        return all(part.broken for part in self._ranges[range_index + 1 :])
