"""Checkpoints of audit trees as texts, and trees over places that follow each other."""

import pytest

from rtserver.audit.checkpoints.checkpoint import (
    Checkpoint,
    PlacedTree,
    TreeName,
    entry_of,
    sign,
)
from rtserver.audit.checkpoints.note import SigningKey, open_note
from rtserver.lib.merkle import MerkleTree
from rtserver.model.positions import Position

KEY = SigningKey("audit.example.com/a", bytes(32))
FIRST = Position("e0e0", 5)
NAMES = [
    TreeName("audit", "host-1:2.5b0c"),
    TreeName("audit", "host-1.5b0c", FIRST),
    TreeName("strangers", "host-1.5b0c", FIRST, "0123abcd"),
]


@pytest.mark.parametrize("name", NAMES, ids=str)
def test_a_signed_checkpoint_says_what_it_said(name: TreeName) -> None:
    tree = MerkleTree()
    for entry in range(3):
        tree.append(bytes([entry] * 32))
    signed = sign(name, tree, KEY)
    text, key = open_note(signed.note.encode(), [KEY.public])
    assert text.split("\n")[:2] == [f"audit.example.com/a/{name}", "3"]
    assert Checkpoint.parse(text, key) == signed.checkpoint
    # Further lines are allowed, and mean nothing here.
    assert Checkpoint.parse(text + "more\n", key) == signed.checkpoint
    assert signed.checkpoint.last == (None if name.first is None else Position("e0e0", 7))
    assert signed.to_json().get("archive") == name.archive_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "audit.example.com/a/audit/c\n1\n",
        "audit.example.com/b/audit/c\n1\n{root}\n",
        "audit.example.com/a/audit\n1\n{root}\n",
        "audit.example.com/a/audit/c/order/x\n1\n{root}\n",
        "audit.example.com/a/audit/c/archive/e0e0-1\n1\n{root}\n",
        "audit.example.com/a/audit/c\n01\n{root}\n",
        "audit.example.com/a/audit/c\n-1\n{root}\n",
        "audit.example.com/a/audit/c\n1\n{root}=\n",
        "audit.example.com/a/audit/c\n1\n{root}\n\n",
        "audit/c\n1\n{root}\n",
    ],
)
def test_what_is_no_checkpoint_of_an_audit_log_is_refused(text: str) -> None:
    root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    with pytest.raises(ValueError, match="no checkpoint"):
        Checkpoint.parse(text.format(root=root), KEY.public)


def test_a_tree_begins_anew_where_places_do_not_follow() -> None:
    tree = PlacedTree()
    tree.add(FIRST, [bytes(32)] * 2)
    tree.add(Position("e0e0", 7), [bytes(32)])
    assert (tree.first, tree.tree.size) == (FIRST, 3)
    for place in (Position("e0e0", 9), Position("e0e0", 9), Position("f1f1", 10)):
        tree.add(place, [bytes(32)])
        assert (tree.first, tree.tree.size) == (place, 1)


def test_a_record_stands_by_its_hash_and_one_that_has_none_by_zeros() -> None:
    assert entry_of('{"n":1,"hash":"' + "ab" * 32 + '"}') == bytes([0xAB] * 32)
    for body in ("", "x" * 80, '{"n":1,"hash":"' + "g" * 64 + '"}', " " * 70):
        assert entry_of(body) == bytes(32)
