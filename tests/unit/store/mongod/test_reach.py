import asyncio
import os
from pathlib import Path

import pytest

from store.mongod.directory import DataDirInUse, Holder, Mode, MongodDir, MongodFailed
from store.mongod.reach import attach, reach


@pytest.fixture
def directory(tmp_path: Path) -> MongodDir:
    directory = MongodDir(tmp_path)
    directory.create()
    return directory


@pytest.mark.gen_test
async def test_attach_waits_for_a_shared_mongod_that_is_starting(directory: MongodDir) -> None:
    data_dir = directory.data_dir
    assert await attach(data_dir) is None
    await directory.lock("shared")
    with pytest.raises(MongodFailed, match=r"not ready within 0\.1 s"):
        await attach(data_dir, timeout_s=0.1)
    directory.write_holder(Holder(os.getpid(), "shared", "mongodb://somewhere"))
    assert await attach(data_dir) == "mongodb://somewhere"
    directory.unlock()
    directory.unlock()
    assert await attach(data_dir) is None


@pytest.mark.gen_test
async def test_shared_mongod_is_waited_for_also_before_anybody_holds_the_directory(
    tmp_path: Path,
) -> None:
    directory = MongodDir(tmp_path / "not-there-yet")
    waiting = asyncio.create_task(reach(directory.data_dir, shared_wait_s=30))
    await asyncio.sleep(0.1)
    directory.create()
    await directory.lock("shared")
    await asyncio.sleep(0.1)
    assert not waiting.done()
    directory.write_holder(Holder(os.getpid(), "shared", "mongodb://somewhere"))
    assert await asyncio.wait_for(waiting, 5) == ("mongodb://somewhere", None)
    directory.unlock()


@pytest.mark.gen_test
async def test_waiting_for_a_shared_mongod_ends_with_what_to_do(directory: MongodDir) -> None:
    with pytest.raises(MongodFailed, match=r"within 0\.1 s: run `python -m rtserver mongod`"):
        await reach(directory.data_dir, shared_wait_s=0.1)
    await directory.lock("private")
    with pytest.raises(MongodFailed, match=rf"process {os.getpid()} holds it for itself alone"):
        await reach(directory.data_dir, shared_wait_s=0.1)
    directory.unlock()


@pytest.mark.gen_test
@pytest.mark.parametrize("mode", ["shared", "private"])
async def test_directory_that_is_taken_between_a_look_and_the_start(
    directory: MongodDir, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def attach_late(data_dir: Path) -> str | None:
        nonlocal looks
        looks += 1
        if looks > 1:
            return await attach(data_dir)
        await directory.lock(mode)
        directory.write_holder(Holder(os.getpid(), mode, "mongodb://somewhere"))
        return None

    monkeypatch.setattr("store.mongod.reach.attach", attach_late)
    if mode == "shared":
        assert await reach(directory.data_dir) == ("mongodb://somewhere", None)
    else:
        with pytest.raises(DataDirInUse, match=f"kill {os.getpid()}"):
            await reach(directory.data_dir)
    directory.unlock()


@pytest.mark.gen_test
async def test_private_mongod_is_not_attached_to(directory: MongodDir) -> None:
    await directory.lock("private")
    assert await attach(directory.data_dir) is None
    directory.unlock()
