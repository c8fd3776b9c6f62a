"""supervisord.conf as it is, run by supervisord itself on ports that are free."""

import asyncio
import http.client
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest

from tests.support.api import api
from tests.support.cli import environ_of
from tests.support.processes import ROOT, end, spawn, wait_until
from tests.support.sockets import session
from tests.support.tokens import SECRET

WORKERS = 4
CTL_S = 60.0


class Site:
    """A folder like the repository's, by links, in which supervisord runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_ports(WORKERS)
        for name in ("supervisord.conf", "rtserver", "handlers", "store", "static"):
            (folder / name).symlink_to(ROOT / name)
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "var").mkdir()
        log = folder / "supervisord.out"
        self.process = spawn(
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", "supervisord.conf"],
            environ=environ_of(
                port=self.port, jwt_secret=SECRET, event_log_bytes=16 * 1024 * 1024, lease_s=3
            ),
            stdout=log,
            stderr=log,
            cwd=folder,
        )

    @property
    def addresses(self) -> list[str]:
        return [f"127.0.0.1:{self.port + number}" for number in range(WORKERS)]

    def wait_ready(self) -> None:
        for address in self.addresses:
            wait_until(lambda at=address: is_ready(at), address, explain=self.words)  # type: ignore[misc]

    def wait_running(self) -> dict[str, int]:
        """Wait until supervisord counts each program as started, and say the process id of each.

        A worker may well be ready before it has run for the `startsecs` that this takes.
        """
        found: dict[str, int] = {}

        def all_run() -> bool:
            found.update(self.pids())
            return len(found) == WORKERS + 1

        wait_until(all_run, "supervisord's programs", explain=self.words)
        return found

    def words(self) -> str:
        """What all of them wrote."""
        texts = [self.folder / "supervisord.out", *sorted((self.folder / "var").glob("*.log"))]
        return "\n".join(f"--- {path.name}\n{path.read_text()}" for path in texts)

    def control(self, *arguments: str) -> str:
        """supervisorctl; what it prints."""
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "supervisor.supervisorctl",
                "-c",
                "supervisord.conf",
                *arguments,
            ],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=CTL_S,
            check=True,
        ).stdout

    def pids(self) -> dict[str, int]:
        """The process id of each program that runs."""
        lines = [line.split() for line in self.control("status").splitlines()]
        return {name: int(words[1].rstrip(",")) for name, state, *words in lines if words}


def is_ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def free_ports(count: int) -> int:
    """The first of so many consecutive ports that nobody listens on."""
    while True:
        first = random.randrange(20_000, 30_000)  # below those that the system gives out by itself
        try:
            with ExitStack() as stack:
                for port in range(first, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue
        return first


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that have to do with a folder."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            command = (process / "cmdline").read_bytes()
            known_by = command + (process / "environ").read_bytes()
            is_in = (process / "cwd").readlink().is_relative_to(folder)
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
        if is_in or os.fsencode(folder) in known_by:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    try:
        yield site
    finally:
        end(site.process)


@pytest.mark.gen_test(timeout=120)
async def test_workers_share_a_mongodb_and_are_restarted_and_stopped_in_order(site: Site) -> None:
    await asyncio.to_thread(site.wait_ready)
    pids = await asyncio.to_thread(site.wait_running)
    assert sorted(pids) == ["mongod", *(f"worker:worker-{number}" for number in range(WORKERS))]
    # Had a worker not waited, it would have taken the data directory, and others would have failed.
    assert "exited" not in (site.folder / "var" / "supervisord.log").read_text()

    one, other, *_ = site.addresses
    async with AsyncExitStack() as stack:
        viewers = [await stack.enter_async_context(session(each)) for each in site.addresses]
        services = [await stack.enter_async_context(api(each)) for each in site.addresses]
        ids = [await service.publish("p1", at) for at, service in enumerate(services)]
        for viewer in viewers:
            assert [event["id"] for event in await viewer.recv_events(WORKERS)] == ids

        restarting = asyncio.create_task(
            asyncio.to_thread(site.control, "restart", "worker:worker-1")
        )
        code, closing = await viewers[1].closed()
        assert (code, closing["code"]) == (1001, 1001)
        ids.append(await services[0].publish("p1", "meanwhile"))
        await restarting
        await asyncio.to_thread(site.wait_ready)
        async with session(other, last_event_id=viewers[1].last_event_id) as again:
            assert [event["id"] for event in await again.recv_events(1)] == ids[-1:]
            ids.append(await services[0].publish("p1", "live"))
            assert [event["id"] for event in await again.recv_events(1)] == ids[-1:]
        # The others noticed nothing of it.
        for viewer in (viewers[0], *viewers[2:]):
            assert [event["id"] for event in await viewer.recv_events(2)] == ids[-2:]
    restarted = await asyncio.to_thread(site.pids)
    assert {name for name, pid in restarted.items() if pid != pids[name]} == {"worker:worker-1"}

    assert len(processes_of(site.folder)) >= WORKERS + 3  # or it would not see them gone
    assert await asyncio.to_thread(end, site.process), site.words()
    assert processes_of(site.folder) == []
    assert "SIGKILL" not in (site.folder / "var" / "supervisord.log").read_text()
    assert one in site.addresses
