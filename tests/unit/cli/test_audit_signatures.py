"""Keys and checkpoints that `audit verify` is given."""

from pathlib import Path

import pytest

from rtserver.audit.checkpoints.checkpoint import TreeName, sign
from rtserver.audit.checkpoints.key_file import make_key_file
from rtserver.audit.checkpoints.note import SigningKey
from rtserver.cli.audit_signatures import known_checkpoints
from rtserver.config.settings import Settings
from rtserver.lib.merkle import MerkleTree
from rtserver.model.errors import OperatorError

KEY = SigningKey("audit.example.com", bytes(32))


def _settings(**given: Path) -> Settings:
    return Settings.load(
        {f"RT_AUDIT_{name.upper()}": str(path) for name, path in given.items()}, {}
    )


def test_keys_and_notes_are_read_and_what_is_neither_is_told(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# ours\n\n{KEY.public}\n{SigningKey('old', bytes([1] * 32)).public}\n")
    kept = tmp_path / "kept"
    kept.mkdir()
    signed = sign(TreeName("audit", "c"), MerkleTree(), KEY)
    (kept / "a.note").write_text(signed.note)
    (kept / "b.note").write_text(signed.note.replace("\n0\n", "\n1\n"))
    (kept / ".c.note.new").write_text("half of")
    known = known_checkpoints(_settings(checkpoints_dir=kept), [keys], [])
    assert len(known.keys) == 2
    assert [one.checkpoint for one in known.outside] == [signed.checkpoint]
    assert [name for name, _ in known.bad] == ["b.note"]
    named = known_checkpoints(_settings(), [keys], [kept / "a.note"])
    assert (named.outside, named.bad) == (known.outside, [])
    assert known.of("audit") is not None


def test_the_servers_own_key_counts_where_none_is_given(tmp_path: Path) -> None:
    key = make_key_file(tmp_path / "key", "audit.example.com")
    known = known_checkpoints(_settings(signing_key_file=tmp_path / "key"), [], [])
    assert known.keys == [key.public]
    # A directory that no worker made yet is none.
    none = known_checkpoints(_settings(checkpoints_dir=tmp_path / "none"), [], [])
    assert (none.keys, none.of("audit")) == ([], None)


def test_what_can_not_be_used_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("nothing")
    with pytest.raises(OperatorError, match="holds no public keys"):
        known_checkpoints(_settings(), [path], [])
    with pytest.raises(OperatorError, match="give --keys"):
        known_checkpoints(_settings(), [], [path])
