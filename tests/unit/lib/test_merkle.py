"""Merkle trees, held against the roots that certificate transparency's own tests have."""

import hashlib

import pytest

from rtserver.lib.merkle import MerkleTree, inclusion_proof, leaf_hash

ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def _root_by(entry: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """The root that a proof leads to, as RFC 9162 section 2.1.3.2 has it checked."""
    node, last = index, size - 1
    root = leaf_hash(entry)
    for sibling in proof:
        assert last
        if node & 1 or node == last:
            root = hashlib.sha256(b"\x01" + sibling + root).digest()
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = hashlib.sha256(b"\x01" + root + sibling).digest()
        node, last = node >> 1, last >> 1
    assert not last
    return root


def test_a_tree_that_grows_has_the_known_roots_and_goes_on_from_its_nodes() -> None:
    tree = MerkleTree()
    assert tree.root().hex() == ROOTS[0]
    for entry, root in zip(ENTRIES, ROOTS[1:], strict=True):
        tree.append(entry)
        assert tree.root().hex() == root
        tree = MerkleTree(tree.size, tree.nodes)
        assert tree.root().hex() == root


@pytest.mark.parametrize(("size", "nodes"), [(1, []), (2, [bytes(32)] * 2), (1, [b"short"])])
def test_nodes_that_are_none_of_a_tree_are_refused(size: int, nodes: list[bytes]) -> None:
    with pytest.raises(ValueError, match="no nodes"):
        MerkleTree(size, nodes)


def test_each_entry_is_shown_to_be_in_each_tree() -> None:
    for size in range(1, 9):
        for index in range(size):
            proof = inclusion_proof(iter(ENTRIES), index, size)
            assert _root_by(ENTRIES[index], index, size, proof).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 2), (1, 9)])
def test_there_is_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="entr"):
        inclusion_proof(ENTRIES, index, size)
