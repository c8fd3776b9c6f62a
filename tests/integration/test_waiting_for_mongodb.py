"""A worker whose MongoDB is not there when it starts, and one whose MongoDB hangs."""

import asyncio
import http.client
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.support.api import api
from tests.support.mongo import MongodProcess
from tests.support.replica_set import free_ports
from tests.support.sockets import open_socket, session
from tests.support.waiting import until
from tests.support.workers import Worker, Workers

AT_MOST_S = 5.0
LATE_S = 5.0
"""As late as a busy machine may be; what hung before took 20 s."""


@pytest.fixture
def own_mongod() -> Iterator[MongodProcess]:
    with tempfile.TemporaryDirectory(prefix="rtserver-late-") as directory:
        process = MongodProcess(Path(directory) / "var")
        try:
            yield process
        finally:
            process.stop()


@pytest.fixture
def late_workers(own_mongod: MongodProcess, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path, {"mongodb_uri": own_mongod.uri})
    yield workers
    assert workers.stop() + workers.unexpected() == []


def readiness(worker: Worker) -> tuple[int, dict[str, Any]]:
    """Status and problems that `/readyz` tells."""
    connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()).get("problems", {})
    finally:
        connection.close()


@pytest.mark.gen_test
async def test_a_worker_waits_for_a_mongodb_that_is_late_and_tells_of_one_that_hangs(
    own_mongod: MongodProcess, late_workers: Workers
) -> None:
    """It ended within seconds; and who came to it while MongoDB hung waited for 20 s."""
    own_mongod.kill()
    port = free_ports(1)[0]
    worker = late_workers.launch(port=port)
    worker.port = port
    await until(lambda: bool(worker.logged("waiting_for_mongodb")), "a word on what it waits for")
    assert await asyncio.to_thread(worker.get_status, "/healthz") == 200
    status, problems = await asyncio.to_thread(readiness, worker)
    assert status == 503
    assert "MongoDB" in problems["start"]
    assert await asyncio.to_thread(worker.get_status, "/api/v1/projects/p1") == 503
    await asyncio.to_thread(own_mongod.start)
    await asyncio.to_thread(worker.wait_ready)
    assert len(worker.logged("waiting_for_mongodb")) == 1

    async with session(worker.address) as client, api(worker.address) as http:
        os.kill(own_mongod.mongod_pid, signal.SIGSTOP)
        try:
            began_s = time.monotonic()
            turned_away = asyncio.create_task(come_in(worker, "ben"))
            asked = asyncio.create_task(http.get("/api/v1/projects/p1", 503))
            await until(lambda: is_red(worker), "/readyz red")
            assert time.monotonic() - began_s < AT_MOST_S + LATE_S
            assert (await asyncio.to_thread(readiness, worker))[1].keys() == {"mongodb"}
            assert await turned_away == 503
            await asked
            assert time.monotonic() - began_s < AT_MOST_S + LATE_S
            assert await come_in(worker, "eve") == 503
            await http.get("/api/v1/proposals/none/comments", 503)
            assert time.monotonic() - began_s < AT_MOST_S + LATE_S
            assert await asyncio.to_thread(worker.get_status, "/healthz") == 200
        finally:
            os.kill(own_mongod.mongod_pid, signal.SIGCONT)
        await asyncio.to_thread(worker.wait_ready)
        async with session(worker.address, user="ben"):
            pass
        assert client.ws.close_code is None  # who was there has stayed


async def is_red(worker: Worker) -> bool:
    return (await asyncio.to_thread(readiness, worker))[0] == 503


async def come_in(worker: Worker, user: str) -> int:
    """The status with which a socket is refused."""
    with pytest.raises(InvalidStatus) as refused:
        await open_socket(worker.address, user=user)
    return refused.value.response.status_code
