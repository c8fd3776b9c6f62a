"""The verifier of the audit log: finds what was changed, removed or inserted.

What there is to go by:

- A record's hash covers all of it, and the next one of its chain names that hash. So within a chain
  nothing can be changed, left out or put in between.
- Every chain's place is written into the others' records from time to time (`Claim`): number, hash
  and position. So a chain can't be rewritten from some point on, and what a claim names and the
  buffer still covers has to be there. Before a chain leaves the registry its end is in another
  chain, so nothing can be added to it later, and a chain that no other knows was made up.
- Sequence numbers have no holes. So what is missing is either before everything that is there, or
  it was removed.
- What is missing before everything may have been overwritten: `rtserver.audit.verify.overwrites`
looks whether the buffer was full enough for that.

Nothing of that is secret: an attacker who can rewrite all of the collection, the registry and the
archive can also make it all fit. An archive or an earlier report that is kept where the attacker
can't write shows it; and checkpoints that workers signed do (`rtserver.audit.verify.signatures`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from rtserver.audit.record.chain import Head
from rtserver.audit.verify.chains import Chains, Trail
from rtserver.audit.verify.findings import ChainState, Finding, FindingKind, Report
from rtserver.audit.verify.overwrites import Overwrites
from rtserver.audit.verify.ranges import ReadRanges
from rtserver.audit.verify.seal import (
    Claim,
    SealBrokenError,
    Sealed,
    claim_of,
    claims_of,
    read_sealed,
    resized_of,
    usage_of,
)
from rtserver.audit.verify.signatures import Signatures
from rtserver.model.positions import Position

MAX_FINDINGS = 1_000
MAX_SHOWN_CHARS = 80
AUDIT_LOG = "audit"
"""What operators call the log whose records these are, where they change its size."""


class Verifier:
    """Takes records in the order of the log, then says what is wrong.

    Several sources may be given one after the other, oldest first; where they overlap they have to
    agree.

    Attributes:
        resized_bytes: by the name of a log, the sizes that operators gave it, as records say.
    """

    def __init__(
        self,
        claims: Iterable[Claim] = (),
        *,
        resized_bytes: Iterable[int] = (),
        signatures: Signatures | None = None,
        prove: Position | None = None,
    ) -> None:
        """Begin.

        Args:
            claims: known from elsewhere: an earlier report.
            resized_bytes: sizes that an operator gave the log, as another log says.
            signatures: holds what is read against what workers signed; None: no key is known.
            prove: place of a record that `proof` is wanted of.
        """
        self.resized_bytes: dict[str, set[int]] = defaultdict(set)
        self._report = Report()
        self._given = list(claims)
        self._ranges = ReadRanges(self.find, self.note)
        self._vouched: dict[str, int] = {}
        self._vouchers: dict[str, set[str]] = {}
        self._overwrites = Overwrites()
        for size_bytes in resized_bytes:
            self._overwrites.resized(size_bytes)
        self._chains = Chains(self._ranges, self._overwrites, self.find, self.note)
        self._shifts: set[int] = set()
        self._prove = prove
        self._proved: Sealed | None = None
        self._signatures = signatures
        if signatures is not None:
            signatures.tell(self.find)

    def begin(self, source: str, *, anew: bool = False, whole: bool = False) -> None:
        """What follows is from this source; see `ReadRanges.begin`."""
        self._ranges.begin(source, anew=anew, whole=whole)

    def ends(self, source: str, stated: Position | None) -> None:
        """All of an archive was read.

        Args:
            source: the archive.
            stated: how far it went, as its writer said; None where that is not known.
        """
        reached = self._ranges.reached(source)
        if reached is None:
            self.note(f"{source} holds no records")
        if stated is None or (reached is not None and reached.epoch != stated.epoch):
            return
        following = Position(stated.epoch, 1 if reached is None else reached.seq + 1)
        if following.seq <= stated.seq:
            self.find(
                FindingKind.REMOVED,
                source,
                f"the archive went up to {stated}, {following} is not there",
            )

    def note(self, text: str) -> None:
        """Something that should be known and is no trace of tampering."""
        if text not in self._report.notes:
            self._report.notes.append(text)

    def find(
        self,
        kind: FindingKind,
        where: str,
        what: str,
        chain: str | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        """A trace of tampering."""
        if len(self._report.findings) < MAX_FINDINGS:
            shown = None if chain is None else chain[:MAX_SHOWN_CHARS]
            self._report.findings.append(Finding(kind, what, where, shown, first, last))
        else:
            self._report.more += 1

    # Records

    def add(self, position: Position, body: bytes, *, where: str = "", action: str = "") -> None:
        """The next record.

        Args:
            position: its place in the log.
            body: its text as it was sealed.
            where: how to name the place for people; the position unless given.
            action: that by which it is found in the log, where it is from there.
        """
        where = where or str(position)
        is_new = self._ranges.take(position, where)
        self._report.records += is_new
        try:
            record = read_sealed(body)
            if action and action != record.action:
                raise SealBrokenError("it is filed under another action")
        except SealBrokenError as error:
            self._chains.take_broken(position, body, where, str(error))
            return
        if not is_new:
            self._chains.compare(position, record, where)
            return
        if self._chains.has(record, position.seq):
            # In another epoch: the log was put back from a copy, with what it had then.
            self._report.records -= 1
            self.note(
                f"{self._ranges.source} has again, in epoch {position.epoch}, what was read in "
                "another one: the log was put back from a copy"
            )
            return
        self._chains.link(position, record, where)
        if self._signatures is not None:
            trail = self._chains.trails[record.chain]
            self._signatures.take(position, record, trail, where)
        if position == self._prove:
            self._proved = record
        for claim in claims_of(record):
            self._check(claim, where, position)
        resized = resized_of(record)
        if resized is not None:
            log, size_bytes = resized
            self.resized_bytes[log].add(size_bytes)
            if log == AUDIT_LOG:
                self._overwrites.resized(size_bytes)
            self.note(f"{where} says that an operator gave the log {log} {size_bytes} bytes")
        usage = usage_of(record)
        if usage is not None:
            self._overwrites.note(*usage, ts=record.ts, where=where, found=self.find)

    def stray(self, where: str, why: str) -> None:
        """A line of an archive is no record, and does not say what it is in the place of."""
        if self._ranges.newest is not None:
            self._chains.unplaced.append(self._ranges.newest.seq + 1)
        self.find(FindingKind.CHANGED, where, why)

    def unreadable(self, first: Position, last: Position, why: str) -> None:
        """Something is in the place of these records that is not a record."""
        self._ranges.take(first, str(first))
        self._ranges.stretch(last)
        self._chains.unplaced += range(first.seq, last.seq + 1)
        self.find(FindingKind.CHANGED, str(first), why)

    def gap(self, first: Position, last: Position, why: str, *, until_ts: str = "") -> None:
        """The source itself says that these records are not in it.

        Args:
            first: where the first of them would be.
            last: where the last.
            why: as the source says.
            until_ts: when the buffer did not have them any more.
        """
        self._ranges.skip(last)
        self._overwrites.gap(first.seq, last.seq, until_ts)
        self.note(f"{self._ranges.source} does not have {first} to {last}: {why}")

    def proof(self) -> str:
        """See `Signatures.proof`, of the record that was asked for.

        Raises:
            LookupError: there is none.
        """
        record = self._proved
        if record is None or self._signatures is None:
            raise LookupError(f"{self._prove} was not read, or there is no key")
        return self._signatures.proof(record.chain, record.n, self._chains.trails[record.chain])

    # Claims

    def _check(self, claim: Claim, where: str, at: Position | None = None) -> None:
        """Hold what was read against what somebody says of it.

        Args:
            claim: what is said.
            where: that stands.
            at: the position of the record in which it stands.
        """
        trail = self._chains.trails.get(claim.chain)
        if claim.ended:
            self._chains.ended.add(claim.chain)
        if claim.by_chain != claim.chain:
            self._vouched[claim.chain] = max(claim.n, self._vouched.get(claim.chain, 0))
            if claim.by_chain is not None:
                self._vouchers.setdefault(claim.chain, set()).add(claim.by_chain)
        if trail is not None and trail.forgets(claim.n):
            self._chains.unchecked += 1
            return
        known = trail.find(claim.n) if trail is not None else None
        if known is not None:
            self._match(claim, known, where)
            return
        position = claim.position
        if trail is not None and (position is None or not self._ranges.cover(position)):
            # Without a place in what was read: it can only be said of what comes at the end.
            if claim.n > trail.last and self._reaches(trail, position, at):
                self._chains.miss(
                    claim.chain, trail.last + 1, claim.n, where, f"{claim.by} names it"
                )
        elif position is not None and self._ranges.cover(position):
            if trail is None or not trail.first <= claim.n <= trail.last:
                first, last = claim.n, claim.n
                if trail is not None and claim.n > trail.last:
                    first = trail.last + 1
                elif trail is not None:
                    last = trail.first - 1
                self._chains.miss(claim.chain, first, last, where, f"{claim.by} names it")
        elif position is not None and at is None and self._ranges.end_before(position):
            self._chains.miss(claim.chain, claim.n, claim.n, where, f"{claim.by} names it")

    def _reaches(self, trail: Trail, position: Position | None, at: Position | None) -> bool:
        """Whether a chain's records after its newest would have been read, if they were there."""
        in_last = trail.range_index == self._ranges.range_index
        return in_last and (position is None or at is None or position.seq > trail.position.seq)

    def _match(self, claim: Claim, known: tuple[str, int], where: str) -> None:
        digest, seq = known
        if digest != claim.hash:
            self.find(
                FindingKind.CHANGED,
                where,
                f"{claim.by} knew another one: it and those before it may be made up",
                claim.chain,
                claim.n,
            )
        elif claim.position is not None and self._is_moved(claim.position, seq):
            self.find(
                FindingKind.MOVED,
                where,
                f"{claim.by} knew it at {claim.position}, now it is at number {seq}: records were "
                "removed or inserted before it",
                claim.chain,
                claim.n,
            )

    def _is_moved(self, stated: Position, seq: int) -> bool:
        """Whether a record is elsewhere, and not just as far as another of which that was said."""
        shift = seq - stated.seq
        if not shift or shift in self._shifts or not self._ranges.cover(stated):
            return False
        self._shifts.add(shift)
        return True

    # The end

    def finish(
        self,
        registry: Mapping[str, tuple[Head, bool]] | None = None,
        *,
        earlier: Mapping[str, tuple[Head, bool]] | None = None,
        tip: Position | None = None,
        usage: tuple[int, int, int] | None = None,
        recent_ts: str = "~",
    ) -> Report:
        """What came out.

        Args:
            registry: where each chain stands that the workers' registry lists, and whether it
                ended, after everything was read; None where only files were read.
            earlier: the same before that.
            tip: the newest place of the log, as far as that is known apart from its records.
            usage: what the buffer holds now: oldest sequence number, bytes, capacity in bytes.
            recent_ts: what came later may still be under way into the log.
        """
        for claim in self._given:
            self._check(claim, claim.by)
        known = {**(earlier or {}), **(registry or {})}
        for chain, (head, _) in (earlier or {}).items():
            stated = claim_of(chain, head, "the registry of workers")
            if stated is not None:
                self._check(stated, "the end")
        for chain, (head, _) in known.items():
            self._vouched[chain] = max(head.n, self._vouched.get(chain, 0))
        if self._signatures is not None:
            tip, longer = self._signatures.finish(self._chains.trails, tip)
            for chain, n, by in longer:
                self._check(Claim(chain, n, "", None, by), "the end")
        if tip is not None:
            self._look_at_end(tip)
        if usage is not None:
            self._overwrites.end(*usage, first=self._ranges.first, found=self.find)
        if registry is not None:
            self._find_unregistered_chains(known, recent_ts)
        self._chains.end()
        return self._conclude(known, registry is not None)

    def _look_at_end(self, tip: Position) -> None:
        """Whether the log itself goes up to its newest place, whatever an archive has."""
        reached = self._ranges.newest
        last = self._ranges.last if reached is None else reached.seq
        if last < tip.seq:
            following = Position(tip.epoch, last + 1)
            self.find(
                FindingKind.REMOVED, "the end", f"{following} to {tip} are not there any more"
            )

    def _find_unregistered_chains(
        self, known: Mapping[str, tuple[Head, bool]], recent_ts: str
    ) -> None:
        """Find what was added to chains that had ended, and chains that were made up."""
        trusted = set(known)
        growing = True
        while growing:
            found = {
                chain
                for chain, vouchers in self._vouchers.items()
                if chain not in trusted and not vouchers.isdisjoint(trusted)
            }
            trusted |= found
            growing = bool(found)
        living = {chain for chain, (_, ended) in known.items() if not ended}
        for chain, trail in self._chains.trails.items():
            if chain in living or trail.range_index != self._ranges.range_index:
                continue
            vouched = self._vouched.get(chain, 0) if chain in trusted else 0
            if trail.last <= vouched:
                continue
            if living and trail.seen_ts > recent_ts:
                self.note(f"the end of {chain} is not known to any other worker yet")
                continue
            first = max(vouched + 1, trail.first)
            why = "no other worker knows of it" if vouched else "no other worker knows the chain"
            self.find(FindingKind.INSERTED, str(trail.position), why, chain, first, trail.last)

    def _conclude(self, known: Mapping[str, tuple[Head, bool]], knows_all: bool) -> Report:
        report = self._report
        report.ranges = self._ranges.ranges()
        if self._chains.unchecked:
            count = self._chains.unchecked
            self.note(f"{count} statements were about records that were read too long ago")
        signatures = self._signatures
        if signatures is not None:
            report.notes += signatures.notes()
        for name, trail in sorted(self._chains.trails.items()):
            state = self._state(name, trail, known)
            signed = None if signatures is None else signatures.signed.get(name, 0)
            place = str(trail.position)
            report.chains.append(
                ChainState(name, trail.first, trail.last, trail.hash, place, state, signed)
            )
            if trail.first > 1:
                self.note(
                    f"records 1 to {trail.first - 1} of {name} were overwritten, or are in an "
                    "archive that was not read; nothing speaks against it"
                )
            if state == "lost":
                self.note(
                    f"the worker of {name} was killed or cut off after record {trail.last}: what "
                    "it had not written yet is not there"
                )
            elif state == "open" and knows_all:
                self.note(f"nobody says how {name} ended, after record {trail.last}")
        return report

    def _state(self, chain: str, trail: Trail, known: Mapping[str, tuple[Head, bool]]) -> str:
        if trail.stopped:
            return "ended"
        if chain in self._chains.lost:
            return "lost"
        if chain in self._chains.ended:
            return "ended"
        return "registered" if chain in known else "open"
