"""Signatures in verification: what was read is held against the checkpoints that workers signed.

Each checkpoint is of a tree over records (`rtserver.audit.checkpoints.checkpoint`). The tree is
built from what is read, up to the size that was signed, and its root has to be the signed one. So
nothing of it was changed, removed, inserted or moved. Where what it began with is overwritten, the
tree goes on from the nodes that the first checkpoint states, whose root is signed too.
"""

import base64
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from rtserver.audit.checkpoints.checkpoint import Checkpoint, TreeName
from rtserver.audit.checkpoints.note import VerifierKey, note, open_note
from rtserver.audit.record.actions import Action
from rtserver.audit.verify.chains import Trail
from rtserver.audit.verify.findings import FindingKind
from rtserver.audit.verify.seal import Sealed
from rtserver.lib.merkle import MerkleTree, inclusion_proof
from rtserver.model.positions import Position


class _Stated(msgspec.Struct):
    size: int
    root: str
    key: str
    signature: str
    nodes: list[str] = []
    first: str | None = None
    archive: str | None = None


class _Checkpoints(msgspec.Struct):
    checkpoints: list[_Stated]


@dataclass(frozen=True, slots=True)
class OutsideCheckpoint:
    """A checkpoint that was kept outside, signed by a known key.

    Attributes:
        name: of the file, for people.
        checkpoint: what it says.
        note: the signed note.
    """

    name: str
    checkpoint: Checkpoint
    note: str

    @classmethod
    def open(cls, name: str, content: bytes, keys: Iterable[VerifierKey]) -> "OutsideCheckpoint":
        """Read a signed note.

        Raises:
            ValueError: it is no checkpoint, or no known key signed it.
        """
        text, key = open_note(content, keys)
        return cls(name, Checkpoint.parse(text, key), content.decode())


class _Tree:
    """A tree as it is built from what was read."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._tree = MerkleTree()

    @property
    def size(self) -> int:
        return self._tree.size

    def root_at(self, size: int, trail: Trail) -> bytes | None:
        """Its root with so many entries, no less than before; None where some were not read."""
        while self._tree.size < size:
            found = trail.find(self._first + self._tree.size)
            if found is None:
                return None
            self._tree.append(bytes.fromhex(found[0]))
        return self._tree.root()

    def go_on(self, size: int, nodes: Sequence[bytes], root: bytes) -> bool:
        """Go on from what was signed; whether these are the nodes that were."""
        try:
            tree = MerkleTree(size, nodes)
        except ValueError:
            return False
        if tree.root() != root:
            return False
        self._tree = tree
        return True


class Signatures:
    """Takes records in the order of the log, as the verifier does.

    Attributes:
        signed: of each chain, the number up to which its own worker signed it.
        unchecked: checkpoints that could not be checked.
    """

    def __init__(
        self,
        log_name: str,
        keys: Iterable[VerifierKey],
        outside: Iterable[OutsideCheckpoint] = (),
        *,
        trusted_upto: Position | None = None,
    ) -> None:
        """Begin.

        Args:
            log_name: the log whose records these are; checkpoints of others are passed over.
            keys: whose signatures count.
            outside: checkpoints that were kept outside.
            trusted_upto: what records up to here say of an archive was so before the archive was
                read; None: none of them.
        """
        self._log_name = log_name
        self._keys = list(keys)
        self._outside = [one for one in outside if one.checkpoint.tree.log == log_name]
        self._due: dict[tuple[str, int], list[OutsideCheckpoint]] = defaultdict(list)
        for one in self._outside:
            self._due[_end_of(one.checkpoint)].append(one)
        self._archived: dict[str, Position] = {}
        for one in self._outside:
            self._note_archived(one.checkpoint)
        self._trusted_upto = trusted_upto
        self._trees: dict[TreeName, _Tree] = {}
        self._notes: dict[str, tuple[int, str]] = {}
        self._log = Trail(0, "")
        self._epochs: set[str] = set()
        self._seen: set[str] = set()
        self._unknown_keys: set[str] = set()
        self.signed: dict[str, int] = {}
        self.unchecked = 0
        self._found: Callable[..., None] = lambda *_: None

    def tell(self, found: Callable[..., None]) -> None:
        """Let traces of tampering be told to this, as to `Verifier.find`."""
        self._found = found

    def archived(self, archive_id: str) -> Position | None:
        """How far an archive went, as its writers signed; None where they signed nothing."""
        return self._archived.get(archive_id)

    def _note_archived(self, checkpoint: Checkpoint) -> None:
        archive_id, last = checkpoint.tree.archive_id, checkpoint.last
        if archive_id is None or last is None:
            return
        known = self._archived.get(archive_id)
        if known is None or known.epoch != last.epoch or known.seq < last.seq:
            self._archived[archive_id] = last

    # Records

    def take(self, position: Position, record: Sealed, trail: Trail, where: str) -> None:
        """The next record, which is what was sealed.

        Args:
            position: its place in the log.
            record: the record.
            trail: of its chain, the record included.
            where: how to name the place for people.
        """
        self._seen.add(position.epoch)
        if position.seq != self._log.last + 1:
            if position.seq <= self._log.last:
                self._log = Trail(position.seq, "")
            self._epochs.clear()
        self._epochs.add(position.epoch)
        self._log.append(position.seq, record.hash, position)
        if self._due:
            for key in ((position.epoch, position.seq), (record.chain, record.n)):
                for one in self._due.pop(key, ()):
                    self._check(one.checkpoint, trail, one.name, one.note)
        if record.action == Action.AUDIT_CHECKPOINTED.value:
            self._take_stated(position, record, trail, where)

    def _take_stated(self, position: Position, record: Sealed, trail: Trail, where: str) -> None:
        try:
            stated = msgspec.json.decode(record.details, type=_Checkpoints).checkpoints
        except msgspec.DecodeError:
            return  # of another version of the server
        for one in stated:
            signed = self._signed_by(one, record, where)
            if signed is None:
                continue
            checkpoint, text = signed
            last = checkpoint.last
            if last is not None and last.epoch == position.epoch and last.seq >= position.seq:
                self._found(
                    FindingKind.REMOVED,
                    where,
                    f"its worker signed that the log went up to {last} before",
                    record.chain,
                    record.n,
                )
            trusted = self._trusted_upto
            if (
                trusted is not None
                and trusted.epoch == position.epoch
                and position.seq <= trusted.seq
            ):
                self._note_archived(checkpoint)
            nodes = [bytes.fromhex(node) for node in one.nodes if _is_hex(node)]
            self._check(checkpoint, trail, where, text, nodes)

    def _signed_by(self, one: _Stated, record: Sealed, where: str) -> tuple[Checkpoint, str] | None:
        """The checkpoint that a record states, and the note, if a known key signed it."""
        try:
            first = None if one.first is None else Position.parse(one.first)
            tree = TreeName(self._log_name, record.chain, first, one.archive)
            checkpoint = Checkpoint(tree, one.size, bytes.fromhex(one.root))
            key_id, signature = bytes.fromhex(one.key), bytes.fromhex(one.signature)
        except ValueError:
            self._found(FindingKind.CHANGED, where, "it is no checkpoint", record.chain, record.n)
            return None
        keys = [key for key in self._keys if key.key_id == key_id]
        if not keys:
            self._unknown_keys.add(one.key)
            return None
        for key in keys:
            text = checkpoint.text(key)
            if key.has_signed(text, signature):
                return checkpoint, note(text, key, signature)
        self._found(
            FindingKind.CHANGED,
            where,
            "its worker's key did not sign this checkpoint",
            record.chain,
            record.n,
        )
        return None

    # Checkpoints

    def _check(
        self,
        checkpoint: Checkpoint,
        trail: Trail,
        where: str,
        text: str,
        nodes: Sequence[bytes] = (),
    ) -> None:
        """Hold what was read against a checkpoint that a known key signed.

        Args:
            checkpoint: the checkpoint.
            trail: of its chain, where it is about one.
            where: it stands, for people.
            text: the signed note.
            nodes: of its tree.
        """
        name, size = checkpoint.tree, checkpoint.size
        entries = trail if name.first is None else self._log
        if name.first is not None and not self._is_here(name.first.epoch):
            self.unchecked += 1
            return
        tree = self._trees.get(name)
        if tree is None:
            tree = self._trees[name] = _Tree(1 if name.first is None else name.first.seq)
        if tree.size > size:
            return  # a copy of an earlier one; what is behind it was checked
        before = tree.size
        root = tree.root_at(size, entries)
        if root is None and not nodes:
            self.unchecked += 1
        elif root is not None and root != checkpoint.root:
            self._tell_mismatch(checkpoint, before, where)
        if root != checkpoint.root and not tree.go_on(size, nodes, checkpoint.root):
            return
        if name.first is None:
            self.signed[name.chain] = max(size, self.signed.get(name.chain, 0))
            if root == checkpoint.root:
                self._notes[name.chain] = (size, text)

    def proof(self, chain: str, n: int, trail: Trail) -> str:
        """What shows that a record was signed (c2sp.org/tlog-proof), without all the others.

        Args:
            chain: the record's.
            n: its number in it.
            trail: of that chain.

        Raises:
            LookupError: it was not, or too little of the chain was read to tell.
        """
        size, text = self._notes.get(chain, (0, ""))
        if n > size:
            raise LookupError(f"record {n} of {chain} is not signed, or too little of it was read")
        entries = (trail.find(number) for number in range(1, size + 1))
        known = (bytes.fromhex(found[0]) for found in entries if found is not None)
        try:
            hashes = inclusion_proof(known, n - 1, size)
        except ValueError:
            raise LookupError(f"not all of records 1 to {size} of {chain} were read") from None
        lines = ["c2sp.org/tlog-proof@v1", f"index {n - 1}"]
        lines += [base64.b64encode(one).decode() for one in hashes]
        return "\n".join([*lines, "", text])

    def _is_here(self, epoch: str) -> bool:
        """Whether places of an epoch are those that were read last.

        Of a log that was put back all places are in another epoch, under the same numbers; where
        nothing of the earlier one was read, these stand for them.
        """
        return epoch in self._epochs or epoch not in self._seen

    def _tell_mismatch(self, checkpoint: Checkpoint, before: int, where: str) -> None:
        name, size = checkpoint.tree, checkpoint.size
        if name.first is None:
            self._found(
                FindingKind.CHANGED,
                where,
                "its worker signed other records than these",
                name.chain,
                before + 1,
                size,
            )
            return
        first, last = name.first.seq + before, name.first.seq + size - 1
        self._found(
            FindingKind.MOVED,
            where,
            f"{name.chain} signed that other records stood at numbers {first} to {last}, or in "
            "another order",
        )

    # The end

    def finish(
        self, trails: Mapping[str, Trail], tip: Position | None
    ) -> tuple[Position | None, list[tuple[str, int, str]]]:
        """Look at what is left of the checkpoints from outside, now that everything was read.

        Args:
            trails: the chains.
            tip: the newest place of the log, as far as that is known apart from its records; None
                where the log itself was not read.

        Returns:
            The newest place that the log had, as was signed, or `tip`; and the chains that were
            longer than they are: name, number of records, and who says so.
        """
        longer: list[tuple[str, int, str]] = []
        for one in [one for due in self._due.values() for one in due]:
            checkpoint = one.checkpoint
            trail, last = trails.get(checkpoint.tree.chain), checkpoint.last
            if last is None:
                if tip is not None and trail is not None and checkpoint.size > trail.last:
                    longer.append((checkpoint.tree.chain, checkpoint.size, one.name))
            elif tip is None:
                self.unchecked += 1
            elif last.epoch == tip.epoch or last.epoch not in self._seen:
                if last.seq <= self._log.last:
                    self._check(checkpoint, self._log, one.name, one.note)
                elif last.seq > tip.seq:
                    tip = Position(tip.epoch, last.seq)
        return tip, longer

    def notes(self) -> list[str]:
        """What is no tampering, and should be known."""
        notes = []
        if self.unchecked:
            notes.append(
                f"{self.unchecked} signed checkpoints could not be checked: not all that they are "
                "about was read"
            )
        if self._unknown_keys:
            ids = ", ".join(sorted(self._unknown_keys))
            notes.append(f"checkpoints are signed with keys that were not given: {ids}")
        return notes


def _end_of(checkpoint: Checkpoint) -> tuple[str, int]:
    """Where the record is with which a tree has the size: epoch and number, or chain and number."""
    last = checkpoint.last
    return (checkpoint.tree.chain, checkpoint.size) if last is None else (last.epoch, last.seq)


def _is_hex(text: str) -> bool:
    return len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)
