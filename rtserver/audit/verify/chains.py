"""Chains in sequential verification: each is followed, and where it breaks is found."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from rtserver.audit.record.actions import Action
from rtserver.audit.record.chain import GENESIS
from rtserver.audit.verify.findings import FindingKind
from rtserver.audit.verify.overwrites import Overwrites
from rtserver.audit.verify.ranges import ReadRanges
from rtserver.audit.verify.seal import Sealed, claims_of, place_of
from rtserver.model.positions import Position

HASH_BYTES = 32
KEPT_RECORDS = 1_000_000
_UNKNOWN = bytes(HASH_BYTES)


@dataclass(slots=True)
class Trail:
    """State kept per chain during sequential verification.

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


class Chains:
    """The chains, as their records come in the order of the log.

    Attributes:
        trails: what is known of each chain, by its name.
        lost: chains whose worker another one recorded as lost.
        ended: chains that another worker recorded as closed.
        unplaced: sequence numbers whose content belongs to no chain.
        unchecked: how much could not be compared, because it was read too long ago.
    """

    def __init__(
        self,
        ranges: ReadRanges,
        overwrites: Overwrites,
        found: Callable[..., None],
        note: Callable[[str], None],
    ) -> None:
        """Begin.

        Args:
            ranges: what was read of the log, the present place included.
            overwrites: what the buffer had overwritten.
            found: is told of traces of tampering, as `Verifier.find`.
            note: is told of what is worth a word, and no trace.
        """
        self._ranges = ranges
        self._overwrites = overwrites
        self._found = found
        self._note = note
        self._missing: dict[str, list[tuple[int, int, str, str]]] = {}
        self._latest_ts = ""
        self.trails: dict[str, Trail] = {}
        self.lost: set[str] = set()
        self.ended: set[str] = set()
        self.unplaced: list[int] = []
        self.unchecked = 0

    def take_broken(self, position: Position, body: bytes, where: str, why: str) -> None:
        """A record is not what was sealed; where it can be told, take it for what it was."""
        place = place_of(body)
        trail = None if place is None else self.trails.get(place.chain)
        if place is None or trail is None or place.n != trail.last + 1:
            self.unplaced.append(position.seq)
            self._found(FindingKind.CHANGED, where, why)
            return
        self._found(FindingKind.CHANGED, where, why, place.chain, place.n)
        self._append(trail, position, place)

    def has(self, record: Sealed, seq: int) -> bool:
        """Whether the very record was read under this number, whatever the epoch."""
        trail = self.trails.get(record.chain)
        return trail is not None and trail.find(record.n) == (record.hash, seq)

    def compare(self, position: Position, record: Sealed, where: str) -> None:
        """A record in a place that was read before, in another source."""
        trail = self.trails.get(record.chain)
        if trail is not None and trail.forgets(record.n):
            self.unchecked += 1
            return
        known = trail.find(record.n) if trail is not None else None
        if known != (record.hash, position.seq):
            self._found(
                FindingKind.CHANGED,
                where,
                f"{self._ranges.source} does not have here what was read before",
                record.chain,
                record.n,
            )

    def link(self, position: Position, record: Sealed, where: str) -> None:
        """Put a record to its chain."""
        self._latest_ts = max(self._latest_ts, record.ts)
        trail = self.trails.get(record.chain)
        if trail is None:
            self._begin_chain(position, record, where)
            return
        if record.n <= trail.last:
            self._come_late(trail, position, record, where)
            return
        if record.n > trail.last + 1:
            self._skip(trail, record, where)
        elif record.prev != trail.hash:
            self._found(
                FindingKind.CHANGED,
                where,
                f"records {trail.last} and {record.n} do not belong together: one of them was "
                "replaced",
                record.chain,
                trail.last,
                record.n,
            )
        self._append(trail, position, record)

    def _append(self, trail: Trail, position: Position, record: Sealed) -> None:
        trail.append(record.n, record.hash, position)
        trail.range_index = self._ranges.range_index
        trail.seen_ts = self._latest_ts
        trail.stopped = trail.stopped or record.action == Action.WORKER_STOPPED.value
        if record.action == Action.WORKER_LOST.value:
            self.lost |= {claim.chain for claim in claims_of(record)}

    def _begin_chain(self, position: Position, record: Sealed, where: str) -> None:
        trail = Trail(record.n, record.prev)
        if record.n == 1 and record.prev != GENESIS:
            self._found(FindingKind.CHANGED, where, "a chain can't begin so", record.chain, 1)
        if record.n > 1 and self._ranges.are_complete():
            self.miss(record.chain, 1, record.n - 1, where, "nothing was overwritten yet")
        self._append(trail, position, record)
        self.trails[record.chain] = trail

    def _skip(self, trail: Trail, record: Sealed, where: str) -> None:
        """A chain goes on behind a hole in it."""
        unplaced = [seq for seq in self.unplaced if seq > trail.position.seq]
        if len(unplaced) >= record.n - 1 - trail.last:
            return  # said already: there is something else in their place
        if self._ranges.are_joined_since(trail.range_index):
            self.miss(record.chain, trail.last + 1, record.n - 1, where, f"{record.n} is there")

    def _come_late(self, trail: Trail, position: Position, record: Sealed, where: str) -> None:
        """A record comes after one that is newer in its chain.

        What a dead worker's spool holds is delivered once more where the log has overwritten it
        meanwhile. That is a run of records as they were, and all of it was overwritten before.
        """
        known = trail.find(record.n)
        if known is None and trail.forgets(record.n):
            self.unchecked += 1
        elif known is not None and known[0] == record.hash:
            if self._overwrites.oldest > known[1]:
                self._note(f"records of {record.chain} were stored again after being overwritten")
            else:
                self._insert(record, where, f"it is a copy of {position.epoch}-{known[1]}")
        elif known is not None or record.n >= trail.first:
            self._insert(record, where, "the chain has another record of that number, or none")
        elif trail.late is not None and (record.n, record.prev) != (
            trail.late[0] + 1,
            trail.late[1],
        ):
            self._insert(record, where, "it does not belong to the chain")
        elif record.n == trail.first - 1 and record.hash != trail.first_prev:
            self._insert(record, where, "the chain had another record of that number")
        else:
            trail.late = (record.n, record.hash)

    def _insert(self, record: Sealed, where: str, why: str) -> None:
        self._found(FindingKind.INSERTED, where, why, record.chain, record.n)

    def miss(self, chain: str, first: int, last: int, where: str, why: str) -> None:
        """Records of a chain are missing that can't have been overwritten."""
        known = self._missing.setdefault(chain, [])
        for index, (begin, end, seen_at, seen_why) in enumerate(known):
            if first <= end and begin <= last:
                known[index] = (min(first, begin), max(last, end), seen_at, seen_why)
                return
        known.append((first, last, where, why))

    def end(self) -> None:
        """Tell of what is missing, now that everything was read."""
        for chain, trail in self.trails.items():
            if trail.late is not None and trail.late[0] != trail.first - 1:
                why = "it comes late and does not join on to the chain"
                self._found(FindingKind.INSERTED, "the end", why, chain, trail.late[0])
        for chain, missing in self._missing.items():
            for first, last, where, why in missing:
                self._found(
                    FindingKind.REMOVED, where, f"not there, though {why}", chain, first, last
                )
