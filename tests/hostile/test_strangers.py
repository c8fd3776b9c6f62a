"""Strangers: what somebody without a token can do to a worker, and what others notice of it."""

import asyncio
import contextlib
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import attacker
from tests.support.raw_http import RawHttp, raw_http
from tests.support.sockets import SocketClient, session
from tests.support.waiting import until
from tests.support.workers import Worker, Workers

MEASURE_S = 0.8
CLIENTS = 4
QUIET_FACTOR = 3
LEAST_S = (0.030, 0.060)
"""Median and 99th percentile that are fine in any case."""
MEMORY_BYTES = 150 * 1024**2
ROOM = 30
"""So many more descriptors than it has already a worker is left."""


@pytest.fixture
def worker(module_workers: Workers) -> Worker:
    """The one that all of these are tried on."""
    return module_workers.all[0] if module_workers.all else module_workers.start()


@contextlib.contextmanager
def _few_descriptors(worker: Worker) -> Iterator[int]:
    used = max(int(path.name) for path in Path(f"/proc/{worker.pid}/fd").iterdir())
    before = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    limit = used + ROOM
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield limit
    finally:
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, before)


async def _ask(connection: RawHttp) -> int:
    await connection.send("GET", "/readyz")
    await (await connection.read_head()).read_body()
    return connection.status


@pytest.mark.gen_test
async def test_a_worker_without_descriptors_waits_for_some(worker: Worker) -> None:
    worker.expect("accept_paused")
    async with contextlib.AsyncExitStack() as stack:
        known = await stack.enter_async_context(raw_http(worker.address))
        assert await _ask(known) == 200
        with _few_descriptors(worker) as limit:
            strangers = [await asyncio.open_connection("127.0.0.1", worker.port) for _ in range(60)]
            await until(lambda: bool(worker.logged("accept_paused")), "the pause")
            # Who is in is served as ever, with a page that has to be opened as a file.
            await known.send("GET", "/")
            assert len(await (await known.read_head()).read_body()) > 100
            line = worker.logged("accept_paused")[0]
            assert (line.fields["reason"], line.fields["limit"]) == ("EMFILE", limit)
            assert "ulimit -n" in line.fields["hint"]
            for _, writer in strangers:
                writer.transport.abort()
            await until(lambda: bool(worker.logged("accept_resumed")), "the pause's end")
        late = await stack.enter_async_context(raw_http(worker.address))
        assert await _ask(late) == 200
    pauses = len(worker.logged("accept_paused"))
    assert worker.metric("rtserver_accept_pauses_total") == pauses <= 3


@dataclass(frozen=True, slots=True)
class Waited:
    """How long others waited for the worker.

    Counted is the time that its main thread was at work meanwhile, on whatever. So it does not
    matter what else the machine does, nor how much of it the attacker takes.
    """

    median_s: float
    p99_s: float

    def is_fine(self, quiet: "Waited") -> bool:
        """Whether nobody noticed much of an attack."""
        median_s = max(QUIET_FACTOR * quiet.median_s, LEAST_S[0])
        return self.median_s <= median_s and self.p99_s <= max(
            QUIET_FACTOR * quiet.p99_s, LEAST_S[1]
        )


def _at_work_s(worker: Worker) -> float:
    spent = Path(f"/proc/{worker.pid}/task/{worker.pid}/schedstat").read_text()
    return int(spent.split()[0]) / 1e9


async def _measure(worker: Worker, clients: list[SocketClient]) -> Waited:
    waited: list[float] = []

    async def ask(client: SocketClient) -> None:
        end_s = time.monotonic() + MEASURE_S
        while time.monotonic() < end_s:
            begun_s = _at_work_s(worker)
            await client.ask("view", proposal_ids=[])
            waited.append(_at_work_s(worker) - begun_s)
            await asyncio.sleep(0.025)

    await asyncio.gather(*map(ask, clients))
    waited.sort()
    return Waited(waited[len(waited) // 2], waited[len(waited) * 99 // 100])


@contextlib.asynccontextmanager
async def _attacker(worker: Worker) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """What begins an attack, in place of the one before."""

    async def begin(kind: str) -> None:
        assert process.stdin is not None
        before = worker.metric("rtserver_http_requests_total")
        process.stdin.write(f"{kind}\n".encode())
        await until(
            lambda: worker.metric("rtserver_http_requests_total") > before + 20, "the attack"
        )

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", attacker.__name__, str(worker.port), stdin=asyncio.subprocess.PIPE
    )
    try:
        yield begin
    finally:
        process.kill()
        await process.wait()


@pytest.mark.gen_test
async def test_others_hardly_notice_an_attack(worker: Worker) -> None:
    found: dict[str, Waited] = {}
    async with contextlib.AsyncExitStack() as stack:
        attack = await stack.enter_async_context(_attacker(worker))
        clients = [
            await stack.enter_async_context(session(worker.address, "p1", user=f"user-{number}"))
            for number in range(CLIENTS)
        ]
        quiet = await _measure(worker, clients)
        quiet_bytes = worker.metric("process_resident_memory_bytes")
        for kind in attacker.KINDS:
            await attack(kind)
            found[kind] = await _measure(worker, clients)
            grown_bytes = worker.metric("process_resident_memory_bytes") - quiet_bytes
            assert grown_bytes < MEMORY_BYTES, kind
    noticed = {kind: waited for kind, waited in found.items() if not waited.is_fine(quiet)}
    assert not noticed, f"quiet: {quiet}; all: {found}"
