"""An application's collection is followed while primaries and followers come and go."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import WebSocketException

from tests.support import note_keeper
from tests.support.api import api
from tests.support.line_process import line_process
from tests.support.processes import wait_until
from tests.support.replica_set import ReplicaSet, three_mongods
from tests.support.sockets import SocketClosedError, is_event, open_socket
from tests.support.workers import Worker, Workers

LEASE_S = 2.0
INTERVAL_S = 0.01
BETWEEN = 150
ROUNDS = 3
RECOVERY_S = 90.0
DATABASE = "rtserver"
FOLLOWING: dict[str, Any] = {
    "watch": "app.notes:note:project=project:send=n,done:on=insert,update",
    "lease_s": LEASE_S,
}
Frame = dict[str, Any]


@pytest.fixture
def replica_set() -> Iterator[ReplicaSet]:
    with three_mongods() as three:
        yield three


@pytest.fixture
def apart(replica_set: ReplicaSet, tmp_path: Path) -> Iterator[Workers]:
    factory = Workers(tmp_path, {"mongodb_uri": replica_set.uri, "mongodb_database": DATABASE})
    yield factory
    problems = factory.stop() + factory.unexpected()
    if problems:
        pytest.fail("workers had problems:\n" + "\n".join(problems))


class Viewer:
    """Somebody who looks at a project all the time, on whichever worker there is."""

    def __init__(self, workers: list[Worker]) -> None:
        """Look at these workers; the list may change."""
        self.workers = workers
        self.events: list[Frame] = []
        self.outcomes: list[str] = []
        self._last: str | None = None

    async def look(self) -> None:
        """View, until cancelled; each time from where it stood."""
        turn = 0
        while True:
            turn += 1
            worker = self.workers[turn % len(self.workers)]
            try:
                client = await open_socket(worker.address, "p1", last_event_id=self._last)
            except (OSError, WebSocketException):
                await asyncio.sleep(0.1)
                continue
            client.last_event_id = self._last
            try:
                while True:
                    with contextlib.suppress(TimeoutError):
                        frame = await client.recv(1)
                        if frame["type"] == "welcome":
                            self.outcomes.append(frame["resume"]["outcome"])
                        if is_event(frame):
                            self.events.append(frame)
                        self._last = client.last_event_id
            except SocketClosedError:
                pass
            finally:
                await client.close()

    async def progress(self, count: int) -> None:
        """Wait until so many more events have come."""
        await self.until(len(self.events) + count)

    async def until(self, enough: int) -> None:
        """Wait until so many events have come."""
        async with asyncio.timeout(RECOVERY_S):
            while len(self.events) < enough:  # noqa: ASYNC110 - one condition of many
                await asyncio.sleep(0.05)


def _holder(workers: list[Worker]) -> Worker:
    found: list[Worker] = []

    def is_there() -> bool:
        found.extend(one for one in workers if one.metric("rtserver_watches_held") == 1)
        return bool(found)

    wait_until(is_there, "one worker follows the collection")
    return found[0]


@contextlib.asynccontextmanager
async def looking(viewer: Viewer) -> AsyncIterator[None]:
    """Have somebody look meanwhile."""
    task = asyncio.create_task(viewer.look())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _history(worker: Worker) -> list[Frame]:
    events: list[Frame] = []
    where: dict[str, str] = {"limit": "1000"}
    async with api(worker.address) as reader:
        while True:
            page = await reader.get("/api/v1/projects/p1/events", params=where)
            assert page["lost"] == 0
            events += page["events"]
            if not page["more"]:
                return events
            where["after"] = page["position"]


@pytest.mark.soak
@pytest.mark.gen_test(timeout=600)
async def test_each_change_is_told_once_through_elections_and_deaths(
    replica_set: ReplicaSet, apart: Workers, tmp_path: Path
) -> None:
    """The application writes on all the time, and no event is missing, doubled or out of order."""
    argv = [sys.executable, note_keeper.__file__, replica_set.uri, "app", str(INTERVAL_S)]
    workers = apart.start_many(2, **FOLLOWING)
    _holder(workers)
    viewer = Viewer(workers)
    with line_process(argv, tmp_path) as keeper:
        async with looking(viewer):
            await viewer.progress(BETWEEN)
            for _ in range(ROUNDS):
                await asyncio.to_thread(replica_set.step_down)
                await viewer.progress(BETWEEN)
                port = await asyncio.to_thread(replica_set.kill_primary)
                await viewer.progress(BETWEEN)
                await asyncio.to_thread(replica_set.start_member, port)
                await viewer.progress(BETWEEN)
                holder = await asyncio.to_thread(_holder, workers)
                holder.kill()
                await viewer.progress(BETWEEN)
                workers[workers.index(holder)] = await asyncio.to_thread(apart.start, **FOLLOWING)
            # Nobody follows for a while.
            for worker in workers:
                worker.kill()
            await asyncio.sleep(2 * LEASE_S)
            workers[:] = await asyncio.to_thread(apart.start_many, 2, **FOLLOWING)
            await viewer.progress(BETWEEN)
            keeper.process.terminate()
            await asyncio.to_thread(keeper.process.wait, RECOVERY_S)
            count = int(keeper.text())
            await viewer.until(2 * count)
    told = [(event["type"], event["data"]["id"]) for event in viewer.events]
    assert told == [
        (f"note.{what}", number) for number in range(count) for what in ("inserted", "updated")
    ]
    assert all(event["data"]["document"]["done"] for event in viewer.events[1::2])
    assert set(viewer.outcomes) <= {"fresh", "nothing_missed", "replayed"}
    for worker in workers:
        assert await _history(worker) == viewer.events
