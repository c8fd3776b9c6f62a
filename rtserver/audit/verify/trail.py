"""What is remembered of a chain while its records are read one after the other."""

from array import array
from dataclasses import dataclass, field

from rtserver.model.positions import Position

HASH_BYTES = 32
KEPT_RECORDS = 1_000_000
_UNKNOWN = bytes(HASH_BYTES)


@dataclass(slots=True)
class Trail:
    """A chain as it was met.

    Attributes:
        first, first_prev: number and `prev` of its first record.
        last, hash: number and hash of its newest.
        position: where its newest is.
        range_index: the contiguous part of the log that its newest is in.
        seen_ts: the latest time that any record had when its newest was read.
        late: number and hash of the newest of the records that came after later ones; see
            `rtserver.audit.verify.verifier`.
        stopped: its worker wrote that it ended.
    """

    first: int
    first_prev: str
    last: int = 0
    hash: str = ""
    position: Position = field(default_factory=lambda: Position("none", 0))
    range_index: int = 0
    seen_ts: str = ""
    late: tuple[int, str] | None = None
    stopped: bool = False
    _base: int = 0
    _hashes: bytearray = field(default_factory=bytearray)
    _seqs: "array[int]" = field(default_factory=lambda: array("q"))

    def append(self, n: int, digest: str, position: Position) -> None:
        """The next record; what is between the newest and it counts as missing."""
        missing = n - 1 - self.last if self._seqs else 0
        if not self._seqs or missing > KEPT_RECORDS:
            self._base = n
            self._hashes.clear()
            self._seqs = array("q")
            missing = 0
        self._hashes += _UNKNOWN * missing + bytes.fromhex(digest)
        self._seqs.extend([0] * missing)
        self._seqs.append(position.seq)
        self.last, self.hash, self.position = n, digest, position
        if len(self._seqs) > 2 * KEPT_RECORDS:
            del self._seqs[:KEPT_RECORDS]
            del self._hashes[: KEPT_RECORDS * HASH_BYTES]
            self._base += KEPT_RECORDS

    def forgets(self, n: int) -> bool:
        """Whether a record was read too long ago to be remembered."""
        return self.first <= n < self._base

    def find(self, n: int) -> tuple[str, int] | None:
        """Hash and sequence number of a record; None where it was not read, or is forgotten."""
        index = n - self._base
        if not 0 <= index < len(self._seqs) or not self._seqs[index]:
            return None
        return self._hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES].hex(), self._seqs[index]
