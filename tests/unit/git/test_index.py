"""The lock of an index, also of one whose holder was killed."""

import os
from pathlib import Path

import pytest

from rtserver.git.index import LOCK, OWN_LOCK, READY, IndexBusyError, locked_index


def _killed(git_dir: Path) -> None:
    """Leave what a worker leaves that is killed while it holds the lock."""
    (git_dir / OWN_LOCK).touch()
    os.link(git_dir / OWN_LOCK, git_dir / LOCK)


def test_the_index_changes_when_all_is_done(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("old")
    with locked_index(tmp_path) as index:
        copy = index.copy()
        assert copy is not None
        assert (tmp_path / LOCK).exists()
        copy.write_text("new")
        index.prepare()
        assert (tmp_path / "index").read_text() == "old"
        index.finish()
        index.finish()
        assert (tmp_path / "index").read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"index", OWN_LOCK}


def test_without_an_index_there_is_nothing_to_change(tmp_path: Path) -> None:
    with locked_index(tmp_path) as index:
        assert index.copy() is None
        index.finish()
    assert not (tmp_path / "index").exists()


def test_others_locks_are_waited_for_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    with pytest.raises(IndexBusyError), locked_index(tmp_path, wait_s=0.05):
        pass
    assert (tmp_path / LOCK).exists()
    (tmp_path / LOCK).unlink()
    with (
        locked_index(tmp_path),
        pytest.raises(IndexBusyError),
        locked_index(tmp_path, wait_s=0.05),
    ):
        pass


@pytest.mark.parametrize("is_left", [True, False])
def test_what_a_killed_worker_left_is_known(tmp_path: Path, is_left: bool) -> None:
    (tmp_path / READY).write_text("prepared")
    if is_left:
        _killed(tmp_path)
    with locked_index(tmp_path, wait_s=0) as index:
        assert index.is_prepared() is is_left
    assert not (tmp_path / LOCK).exists()
    assert not (tmp_path / READY).exists()
