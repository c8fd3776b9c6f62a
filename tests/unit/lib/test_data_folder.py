"""Folders closed to others."""

import os
from pathlib import Path

import pytest

from rtserver.lib.data_folder import make_folder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o022])
@pytest.mark.parametrize("wanted", [0o700, 0o750, 0o755])
def test_each_new_one_has_the_mode_whatever_the_umask(
    tmp_path: Path, umask: int, wanted: int
) -> None:
    tmp_path.chmod(0o711)
    before = os.umask(umask)
    try:
        make_folder(tmp_path / "a" / "b", wanted)
    finally:
        os.umask(before)
    assert [mode(path) for path in (tmp_path / "a", tmp_path / "a" / "b")] == [wanted, wanted]
    assert mode(tmp_path) == 0o711


def test_what_is_there_is_left(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)
    make_folder(tmp_path / "a", 0o700)
    assert mode(tmp_path / "a") == 0o755
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "file" / "b", 0o700)
