"""A worker that runs a MongoDB of its own: two at once, MongoDB's end, the worker's end."""

import asyncio
import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.mongod.directory import MongodDir
from tests.support.api import Api, api
from tests.support.cli import rtserver_many
from tests.support.processes import wait_until
from tests.support.sockets import session
from tests.support.tokens import SECRET
from tests.support.workers import Worker, Workers

ENDS_S = 15.0


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Workers]:
    """Workers without `RT_MONGODB_URI`."""
    factory = Workers(tmp_path, {})
    yield factory
    problems = factory.stop() + factory.unexpected()
    assert problems == []


async def publish(service: Api, data: str) -> str:
    """Publish until it is acknowledged, under one key; its id."""
    while True:
        answer = await service.http.post(
            "/api/v1/projects/p1/events",
            json={"type": "test.event", "data": data},
            headers={"Idempotency-Key": data},
        )
        if answer.status_code == 201:
            return str(answer.json()["id"])
        assert answer.status_code == 503, answer.text


def one_line(worker: Worker) -> str:
    """What a worker that could not start said."""
    (line,) = worker.unexpected()
    assert line.startswith("rtserver: ")
    return line


@pytest.mark.gen_test(timeout=120)
async def test_life_of_a_worker_with_its_own_mongodb(alone: Workers) -> None:
    # Two at once on one directory: one of them has it, the other says who.
    both = [alone.launch(), alone.launch()]
    await asyncio.to_thread(
        wait_until, lambda: any(one.process.poll() is not None for one in both), "one gives up"
    )
    both.sort(key=lambda one: one.process.poll() is not None)
    worker, loser = both
    assert loser.process.returncode == 1
    await asyncio.to_thread(worker.wait_ready)
    assert f"is in use by process {worker.pid}: end that one" in one_line(loser)
    directory = MongodDir(alone.directory / "var")

    # So does whoever comes later, whatever it is that he wants to start.
    settings = {"data_dir": directory.data_dir, "jwt_secret": SECRET, "port": 0}
    done = await asyncio.to_thread(rtserver_many, (["serve"], settings), (["mongod"], settings))
    for each in done:
        assert each.returncode == 1
        lines = [line for line in each.stderr.splitlines() if line.startswith("rtserver:")]
        assert len(lines) == 1
        assert f"kill {worker.pid}" in lines[0]
        assert "Traceback" not in each.stderr

    # MongoDB is killed: connections stay, nothing is lost, it is started again.
    worker.expect("mongod_exited", "private_mongod_ended")
    async with session(worker.address) as viewer, api(worker.address) as service:
        ids = [await publish(service, f"before {number}") for number in range(3)]
        first_pid = mongod_pid(directory)
        os.kill(first_pid, signal.SIGKILL)
        during = asyncio.create_task(publish(service, "during"))
        await asyncio.to_thread(
            wait_until, lambda: worker.get_status("/readyz") == 503, "readyz is red"
        )
        assert worker.get_status("/healthz") == 200
        await asyncio.to_thread(worker.wait_ready)
        assert mongod_pid(directory) != first_pid
        ids += [await during, await publish(service, "after")]
        assert [event["id"] for event in await viewer.recv_events(5)] == ids
        assert viewer.frames[-1]["data"] == "after"
        assert worker.logged("private_mongod_ended")
        assert worker.logged("mongod_started")

    # The worker is killed: its MongoDB goes too, and leaves what a crash leaves.
    mongod = os.pidfd_open(mongod_pid(directory))
    worker.kill()
    try:
        assert select.select([mongod], [], [], ENDS_S)[0], "mongod outlived its server"
    finally:
        os.close(mongod)
    assert (directory.root / "owner.lock").stat().st_size > 0
    directory.socket.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(directory.socket))

    again = await asyncio.to_thread(alone.start)
    async with (
        session(again.address, last_event_id=ids[0]) as viewer,
        api(again.address) as service,
    ):
        assert viewer.frames[0]["resume"]["outcome"] == "replayed"
        assert [event["id"] for event in await viewer.recv_events(4)] == ids[1:]
        ids.append(await publish(service, "later"))
        assert [event["id"] for event in await viewer.recv_events(1)] == ids[-1:]
        epoch = ids[0].partition("-")[0]
        assert ids == [f"{epoch}-{seq}" for seq in range(1, 7)]


def mongod_pid(directory: MongodDir) -> int:
    return int((directory.db / "mongod.lock").read_text())


def test_worker_that_waits_for_a_shared_mongodb_can_be_told_to_stop(alone: Workers) -> None:
    worker = alone.launch(shared_mongod_wait_s=60)
    wait_until(lambda: bool(worker.logged("waiting_for_shared_mongod")), "it waits")
    assert worker.stop() == []
    assert not (alone.directory / "var" / "mongod").exists()
