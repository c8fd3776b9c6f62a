import os
from pathlib import Path

import pytest

from store.mongod.directory import DataDirInUse, Holder, MongodDir, MongodFailed


@pytest.fixture
def directory(tmp_path: Path) -> MongodDir:
    directory = MongodDir(tmp_path)
    directory.create()
    return directory


@pytest.mark.gen_test
async def test_lock_refuses_a_second_holder_and_can_be_taken_after_it(directory: MongodDir) -> None:
    second = MongodDir(directory.data_dir)
    await directory.lock("shared")
    await directory.lock("shared")
    with pytest.raises(DataDirInUse, match=f"kill {os.getpid()}"):
        await second.lock("private")
    directory.unlock()
    await second.lock("private")
    second.unlock()


@pytest.mark.gen_test
async def test_looking_at_the_lock_does_not_keep_an_owner_out(directory: MongodDir) -> None:
    looking = MongodDir(directory.data_dir)
    for _ in range(200):
        assert looking.holder() is None
    await directory.lock("private")
    assert looking.holder() == Holder(os.getpid(), "private")
    directory.unlock()


def test_somebody_elses_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mongod").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MongodFailed, match="must be a directory of the user"):
        MongodDir(tmp_path).create()


def test_data_dir_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MongodFailed, match="cannot use the data directory"):
        MongodDir(tmp_path / "file").create()
