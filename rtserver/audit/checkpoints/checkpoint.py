"""Checkpoints (c2sp.org/tlog-checkpoint) of audit chains, of the log, and of an archive.

A checkpoint says of a tree: whose it is (the origin), how many entries it has, and its root (RFC
6962). An entry is the hash of a record, 32 bytes. Each worker has trees of its own, so that none is
written by two:

- `KEY/LOG/CHAIN`: the records of its chain, as it stored them;
- `KEY/LOG/CHAIN/order/EPOCH-SEQ`: those of all workers, in the order of the log, as it found them
  from that position on;
- `KEY/LOG/CHAIN/archive/ID/EPOCH-SEQ`: those that it put into an archive, from that position on.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rtserver.audit.checkpoints.note import SigningKey, VerifierKey, note
from rtserver.audit.record.chain import sealed_hash
from rtserver.lib.merkle import HASH_BYTES, MerkleTree
from rtserver.model.positions import POSITION_PATTERN, Position

LOG_NAME = "[a-z]{1,32}"
_TEXT = re.compile(
    rf"(?P<log>{LOG_NAME})/(?P<chain>[^/\s]+)"
    rf"(?:/(?:order|archive/(?P<archive_id>[0-9a-z]{{1,64}}))/(?P<first>{POSITION_PATTERN}))?\n"
    r"(?P<size>0|[1-9][0-9]{0,17})\n"
    r"(?P<root>[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)\n"
    r"(?:[^\n]+\n)*"  # further lines, which nothing here has, are allowed by the standard
)


@dataclass(frozen=True, slots=True)
class TreeName:
    """Which tree.

    Attributes:
        log: the log whose records are its entries.
        chain: the chain of the worker that keeps it.
        first: position of the first entry, where it is about places in the log; None: it is the
            chain itself.
        archive_id: the archive that it is about, where it is about one.
    """

    log: str
    chain: str
    first: Position | None = None
    archive_id: str | None = None

    def __str__(self) -> str:
        place = "" if self.first is None else f"/order/{self.first}"
        if self.archive_id is not None:
            place = f"/archive/{self.archive_id}/{self.first}"
        return f"{self.log}/{self.chain}{place}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a tree stood.

    Attributes:
        tree: which.
        size: its entries.
        root: over all of them.
    """

    tree: TreeName
    size: int
    root: bytes

    @property
    def last(self) -> Position | None:
        """The place of its newest entry; None where it is about a chain."""
        first = self.tree.first
        return None if first is None else Position(first.epoch, first.seq + self.size - 1)

    def text(self, key: VerifierKey) -> str:
        """What is signed."""
        root = base64.b64encode(self.root).decode()
        return f"{key.name}/{self.tree}\n{self.size}\n{root}\n"

    @classmethod
    def parse(cls, text: str, key: VerifierKey) -> "Checkpoint":
        """Read what a key signed.

        Raises:
            ValueError: it is no checkpoint of an audit log.
        """
        match = _TEXT.fullmatch(text.removeprefix(f"{key.name}/"))
        if match is None or not text.startswith(f"{key.name}/"):
            raise ValueError("it is no checkpoint of an audit log")
        first = None if match["first"] is None else Position.parse(match["first"])
        tree = TreeName(match["log"], match["chain"], first, match["archive_id"])
        # The pattern lets through what is base64 of 32 bytes, and nothing else.
        return cls(tree, int(match["size"]), base64.b64decode(match["root"]))


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with its signature.

    Attributes:
        checkpoint: what is signed.
        nodes: of its tree; a reader who lacks the earlier entries can go on from them.
        note: the signed note.
        key_id, signature: of the note.
    """

    checkpoint: Checkpoint
    nodes: tuple[bytes, ...]
    note: str
    key_id: bytes
    signature: bytes

    def to_json(self) -> dict[str, Any]:
        """As a record states it: all of the note but what the record says already.

        In hexadecimal digits, since base64 may look like a token and would be taken out.
        """
        tree = self.checkpoint.tree
        return {
            "size": self.checkpoint.size,
            "root": self.checkpoint.root.hex(),
            "key": self.key_id.hex(),
            "signature": self.signature.hex(),
            "nodes": [node.hex() for node in self.nodes],
            **({} if tree.first is None else {"first": str(tree.first)}),
            **({} if tree.archive_id is None else {"archive": tree.archive_id}),
        }


def sign(name: TreeName, tree: MerkleTree, key: SigningKey) -> SignedCheckpoint:
    """Sign where a tree stands now."""
    checkpoint = Checkpoint(name, tree.size, tree.root())
    text = checkpoint.text(key.public)
    signature = key.sign(text)
    signed = note(text, key.public, signature)
    return SignedCheckpoint(checkpoint, tuple(tree.nodes), signed, key.public.key_id, signature)


class PlacedTree:
    """A tree over records in places that follow each other.

    Attributes:
        tree: the tree.
        first: the place of its first entry; None while it has none.
    """

    def __init__(self) -> None:
        self.tree = MerkleTree()
        self.first: Position | None = None

    def add(self, first: Position, entries: Iterable[bytes]) -> None:
        """Add records. Where they don't follow what is there, another tree begins with them.

        Args:
            first: the place of the first of them.
            entries: their hashes.
        """
        if self.first is None or first != Position(
            self.first.epoch, self.first.seq + self.tree.size
        ):
            self.tree, self.first = MerkleTree(), first
        for entry in entries:
            self.tree.append(entry)


def entry_of(body: str) -> bytes:
    """The entry that stands for a record as it is stored: its hash.

    One that was tampered with may have none. The tree then has 32 zeros, as no record has.
    """
    try:
        found = bytes.fromhex(sealed_hash(body))
    except ValueError:
        found = b""
    return found if len(found) == HASH_BYTES else bytes(HASH_BYTES)
