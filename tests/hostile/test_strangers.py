"""Strangers: what somebody without a token can do to a worker, and what others notice of it."""

import asyncio
import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.raw_http import RawHttp, raw_http
from tests.support.waiting import until
from tests.support.workers import Worker, Workers

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
            (line,) = worker.logged("accept_paused")
            assert (line.fields["reason"], line.fields["limit"]) == ("EMFILE", limit)
            assert "ulimit -n" in line.fields["hint"]
            for _, writer in strangers:
                writer.transport.abort()
            await until(lambda: bool(worker.logged("accept_resumed")), "the pause's end")
        late = await stack.enter_async_context(raw_http(worker.address))
        assert await _ask(late) == 200
    assert worker.metric("rtserver_accept_pauses_total") == len(worker.logged("accept_paused"))
