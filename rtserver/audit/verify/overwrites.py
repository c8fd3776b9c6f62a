"""Overwrites: tells records lost to the capped collection from records that somebody deleted.

MongoDB overwrites the oldest when, and only when, the buffer is full. So whenever the oldest place
has moved on, as workers wrote it down from time to time, the buffer has to be full, but for the
largest document. Who removes the oldest of a full buffer leaves room, until that is filled again:
within an anchor interval as much can vanish unseen as was recorded meanwhile.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rtserver.audit.verify.findings import FindingKind

SLACK_BYTES = 256 * 1024
"""More than the largest document: a batch has 192 KiB, and a record 16 KiB of details."""

Found = Callable[[FindingKind, str, str], None]


@dataclass(frozen=True, slots=True)
class _Note:
    oldest: int
    size_bytes: int
    capacity_bytes: int
    where: str

    def is_full(self, capacity_bytes: int) -> bool:
        return self.size_bytes >= capacity_bytes - SLACK_BYTES


class Overwrites:
    """Follows what was written down of the buffer.

    Attributes:
        oldest: the latest place that was the oldest.
    """

    def __init__(self) -> None:
        self.oldest = 0
        self._first: _Note | None = None
        self._last: _Note | None = None
        self._gaps: list[tuple[int, int, str]] = []
        self._resized_bytes: set[int] = set()

    def resized(self, capacity_bytes: int) -> None:
        """A record says that an operator gave the buffer this capacity, which may be smaller."""
        self._resized_bytes.add(capacity_bytes)

    def gap(self, first: int, last: int, until_ts: str) -> None:
        """An archive says that at a time these numbers had been overwritten."""
        self._gaps.append((first, last, until_ts))

    def note(
        self,
        oldest: int,
        size_bytes: int,
        capacity_bytes: int,
        *,
        ts: str,
        where: str,
        found: Found,
    ) -> None:
        """A worker wrote down what the buffer held.

        Args:
            oldest: sequence number of the oldest record.
            size_bytes: how much was there.
            capacity_bytes: how much there could be.
            ts: when.
            where: that stands.
            found: is told of traces of tampering.
        """
        note = _Note(oldest, size_bytes, capacity_bytes, where)
        self._hold_gaps_against(note, ts, found)
        if self._first is None:
            self._first = note
        self._compare(note, found)
        self._last = note
        self.oldest = max(self.oldest, oldest)

    def _hold_gaps_against(self, note: _Note, ts: str, found: Found) -> None:
        """What was there later had not been overwritten earlier."""
        for first, last, _ in [gap for gap in self._gaps if gap[2] < ts]:
            if note.oldest <= last:
                found(
                    FindingKind.REMOVED,
                    note.where,
                    f"an archive says that numbers {first} to {last} were overwritten, but later "
                    f"the log still had number {max(note.oldest, first)}",
                )
        self._gaps = [gap for gap in self._gaps if gap[2] >= ts]

    def _compare(self, note: _Note, found: Found) -> None:
        last = self._last
        if last is None:
            return
        smaller = note.capacity_bytes < last.capacity_bytes
        if smaller and note.capacity_bytes not in self._resized_bytes:
            found(
                FindingKind.REMOVED,
                note.where,
                f"since {last.where} the log was made smaller, from {last.capacity_bytes} to "
                f"{note.capacity_bytes} bytes, which no record says: its oldest are deleted",
            )
        if note.oldest <= last.oldest:
            return
        # Where the capacity was changed meanwhile it may have been full by the smaller measure.
        if not note.is_full(min(last.capacity_bytes, note.capacity_bytes)):
            found(
                FindingKind.REMOVED,
                note.where,
                f"numbers {last.oldest} to {note.oldest - 1} went from the buffer since "
                f"{last.where}, though it was not full: {note.size_bytes} of "
                f"{note.capacity_bytes} bytes",
            )

    def end(
        self, oldest: int, size_bytes: int, capacity_bytes: int, *, first: int, found: Found
    ) -> None:
        """What the buffer holds now.

        Args:
            oldest: as in `note`.
            size_bytes: the same.
            capacity_bytes: the same.
            first: sequence number of the first record that was read of the log.
            found: is told of traces of tampering.
        """
        now = _Note(oldest, size_bytes, capacity_bytes, "now")
        self._hold_gaps_against(now, "~", found)
        self._compare(now, found)
        # The first note that is left: what was there before it was overwritten, if anything.
        known = self._first or now
        if known.oldest > 1 and known.oldest == first and not known.is_full(known.capacity_bytes):
            found(
                FindingKind.REMOVED,
                known.where,
                f"numbers 1 to {known.oldest - 1} are gone, though the buffer was not full: "
                f"{known.size_bytes} of {known.capacity_bytes} bytes",
            )
