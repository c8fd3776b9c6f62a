"""Merkle trees as certificate transparency has them (RFC 6962 section 2.1), over SHA-256.

A tree that only grows needs no more than the roots of its perfect subtrees, one for each bit of its
size: with 64 hashes at most it takes another entry and tells its root. A proof is made from all
entries, read once.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import islice

HASH_BYTES = 32


def leaf_hash(entry: bytes) -> bytes:
    """The hash that stands for an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def _join(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class MerkleTree:
    """A tree that grows.

    Attributes:
        size: how many entries it has.
    """

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        """Begin with nothing, or where another one stood.

        Args:
            size: entries that it has already.
            nodes: as `nodes` of a tree of that size.

        Raises:
            ValueError: so many nodes are none of a tree of this size.
        """
        self.size = size
        self._nodes = list(nodes)
        if len(self._nodes) != size.bit_count() or any(len(n) != HASH_BYTES for n in self._nodes):
            raise ValueError("these are no nodes of a tree of this size")

    @property
    def nodes(self) -> Sequence[bytes]:
        """The roots of the perfect subtrees that it consists of, the largest first."""
        return tuple(self._nodes)

    def append(self, entry: bytes) -> None:
        """Add an entry."""
        node, rest = leaf_hash(entry), self.size
        while rest & 1:
            node = _join(self._nodes.pop(), node)
            rest >>= 1
        self._nodes.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The hash that stands for all entries and their order."""
        if not self._nodes:
            return hashlib.sha256(b"").digest()
        *others, root = self._nodes
        for node in reversed(others):
            root = _join(node, root)
        return root


def inclusion_proof(entries: Iterable[bytes], index: int, size: int) -> list[bytes]:
    """What shows that an entry is in a tree (RFC 6962 section 2.1.1), from the leaf upwards.

    Args:
        entries: all of them, in order; only `size` are read.
        index: of the entry, from 0.
        size: of the tree.

    Raises:
        ValueError: there is no such entry, or there are too few.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} entries has no entry {index}")
    begin, end = 0, size
    spans = []
    while end - begin > 1:
        # A subtree divides behind the largest power of two that is less than its size.
        split = begin + (1 << ((end - begin - 1).bit_length() - 1))
        if index < split:
            spans.append((split, end))
            end = split
        else:
            spans.append((begin, split))
            begin = split
    # Each of these parts is the sibling of one node on the way up; they don't overlap.
    siblings = {span: MerkleTree() for span in sorted(spans)}
    begins = [begin for begin, _ in siblings]
    trees = list(siblings.values())
    count = 0
    for count, entry in enumerate(islice(entries, size), start=1):
        if count - 1 != index:
            at = bisect_right(begins, count - 1) - 1
            trees[at].append(entry)
    if count < size:
        raise ValueError(f"there are {count} entries, not {size}")
    return [siblings[span].root() for span in reversed(spans)]
