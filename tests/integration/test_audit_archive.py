"""The audit archive of several workers, one of which is killed while it archives."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rtserver.audit_archive_file import archive_files, read_lines
from rtserver.audit_chain import hash_of
from tests.support.api import api
from tests.support.mongo import MongodProcess
from tests.support.processes import wait_until
from tests.support.workers import Worker, Workers

ACTIVE = "rtserver_audit_archive_active"
POSITION = "rtserver_audit_archive_position"


async def _until_active(workers: list[Worker]) -> Worker:
    found: list[Worker] = []

    def look() -> bool:
        found.extend(worker for worker in workers if worker.metric(ACTIVE))
        return bool(found)

    await asyncio.to_thread(wait_until, look, "somebody archives")
    return found[0]


async def _until_archived(worker: Worker, seq: int) -> None:
    await asyncio.to_thread(wait_until, lambda: worker.metric(POSITION) >= seq, f"{seq} archived")


async def _act(worker: Worker, done: asyncio.Event) -> int:
    """Do what is recorded, until told to end or the worker is gone; how often it was."""
    count = 0
    with contextlib.suppress(httpx2.HTTPError):
        async with api(worker.address) as service:
            while not done.is_set():
                await service.publish_many("p1", 1)
                count += 1
    return count


def _lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in archive_files(directory) for line in read_lines(file)]


@pytest.mark.gen_test
async def test_the_archive_is_whole_when_the_worker_that_archives_is_killed(
    workers: Workers, mongod: MongodProcess, database: str, tmp_path: Path
) -> None:
    directory = tmp_path / "archive"
    pair = workers.start_many(2, audit_archive_dir=directory, lease_s=1)
    first = await _until_active(pair)
    (other,) = [worker for worker in pair if worker is not first]
    done = asyncio.Event()
    acting = [asyncio.create_task(_act(worker, done)) for worker in pair]
    await _until_archived(first, 50)
    first.kill()
    with mongod.client() as client:
        killed_at = client[database].audit.find_one(sort=[("first", -1)])
    assert killed_at is not None
    assert await _until_active([other]) is other
    await _until_archived(other, killed_at["last"] + 20)
    done.set()
    counts = await asyncio.gather(*acting)
    assert other.stop() == []
    found = _lines(directory)
    assert [int(line["id"].rpartition("-")[2]) for line in found] == list(range(1, len(found) + 1))
    assert all(line["hash"] == hash_of(line) for line in found)
    published = [line for line in found if line["action"] == "event.published"]
    # The killed worker's last records are in its spool: at most what was under way.
    assert len(published) >= counts[pair.index(other)]
    with mongod.client() as client:
        stored = client[database].audit.find_one(sort=[("first", -1)])
    assert stored is not None
    assert len(found) == stored["last"]
    assert found[-1]["action"] == "worker.stopped"
