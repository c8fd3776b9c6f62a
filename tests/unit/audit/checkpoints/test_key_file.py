"""The file of the key: made once, closed to others, and refused where it is not."""

import stat
from pathlib import Path

import pytest

from rtserver.audit.checkpoints.key_file import make_key_file, read_key_file
from rtserver.model.errors import OperatorError


def test_a_key_is_made_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = make_key_file(path, "audit.example.com")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key_file(path).public == made.public
    with pytest.raises(OperatorError, match="is there already"):
        make_key_file(path, "audit.example.com")
    assert read_key_file(path).public == made.public


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_key_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    make_key_file(path, "audit.example.com")
    path.chmod(mode)
    with pytest.raises(OperatorError, match="chmod 600"):
        read_key_file(path)


@pytest.mark.parametrize("content", [b"", b"nothing", b"\xff", b"PRIVATE+KEY+a+b+c" * 100])
def test_what_is_no_key_is_said_without_quoting_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(OperatorError, match="holds no key"):
        read_key_file(path)


def test_what_can_not_be_made_or_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="audit key --new"):
        read_key_file(tmp_path / "none")
    with pytest.raises(OperatorError, match="can't be written"):
        make_key_file(tmp_path / "none" / "key", "audit.example.com")
    with pytest.raises(OperatorError, match="a key's name"):
        make_key_file(tmp_path / "key", "no name")
    assert not (tmp_path / "key").exists()
