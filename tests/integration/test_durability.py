"""Workers and MongoDB are killed while services publish: nothing acknowledged is missing.

Each publisher repeats what it got no answer to, under the same Idempotency-Key, as a service does.
So in the end each of its events is in the log exactly once, and every id that anybody was told,
publisher or viewer, stands for the same event as then.
"""

import asyncio
import contextlib
import itertools
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import WebSocketException

from tests.support.api import Api, api
from tests.support.mongo import MongodProcess
from tests.support.sockets import SocketClosedError, open_socket, seq_of
from tests.support.workers import Worker, Workers

PROJECT = "p1"
PUBLISHERS = 4
VIEWERS = 3
BETWEEN_KILLS = 25
RECOVERY_S = 60.0


@dataclass
class Told:
    """What the server has told anybody: for each id, the event's data.

    Attributes:
        acknowledged: by the answers to publishers.
        delivered: by what viewers got.
        last_id: of the very last event, once it is known.
        stop: set when publishers are to end.
    """

    acknowledged: dict[str, str] = field(default_factory=dict)
    delivered: dict[str, str] = field(default_factory=dict)
    last_id: str | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @staticmethod
    def note(where: dict[str, str], event_id: str, data: str) -> None:
        assert where.setdefault(event_id, data) == data, f"{event_id} stood for another event"

    async def progress(self, count: int) -> None:
        """Wait until so many more are acknowledged."""
        enough = len(self.acknowledged) + count
        async with asyncio.timeout(RECOVERY_S):
            while len(self.acknowledged) < enough:  # noqa: ASYNC110 - many publishers, no event
                await asyncio.sleep(0.01)


async def publish_on(services: list[Api], name: str, told: Told) -> int:
    """Publish until told to stop; how many events."""
    for number in itertools.count():
        if told.stop.is_set():
            return number
        data = f"{name}.{number}"
        told.note(told.acknowledged, await acknowledged(services, data), data)
    raise AssertionError


async def acknowledged(services: list[Api], data: str) -> str:
    """Publish one event until a worker says that it is stored; its id."""
    while True:
        for service in services:
            with contextlib.suppress(httpx2.TransportError):
                answer = await service.http.post(
                    f"/api/v1/projects/{PROJECT}/events",
                    json={"type": "test.event", "data": data},
                    headers={"Idempotency-Key": data},
                )
                if answer.status_code == 201:
                    return str(answer.json()["id"])
                assert answer.status_code == 503, answer.text
        await asyncio.sleep(0.05)


async def view(addresses: list[str], name: str, told: Told) -> None:
    """View the project on one worker after another, without a hole, up to the last event."""
    last: str | None = None
    for address in itertools.cycle(addresses):
        try:
            client = await open_socket(address, PROJECT, user=name, last_event_id=last)
        except (OSError, WebSocketException):
            await asyncio.sleep(0.05)  # it is not up, or has no MongoDB
            continue
        client.last_event_id = last
        with contextlib.suppress(SocketClosedError):
            while told.last_id is None or client.last_event_id != told.last_id:
                with contextlib.suppress(TimeoutError):
                    frame = await client.recv(0.2)
                    assert frame["type"] in ("welcome", "test.event", "closing"), frame
                    if frame["type"] == "test.event":
                        assert last is None or seq_of(frame["id"]) == seq_of(last) + 1
                        told.note(told.delivered, frame["id"], frame["data"])
                    last = client.last_event_id
        await client.close()
        if last is not None and last == told.last_id:
            return


@dataclass
class Site:
    """A mongod and two workers, all of which may be killed."""

    mongod: MongodProcess
    workers: Workers
    running: list[Worker]

    @property
    def addresses(self) -> list[str]:
        return [worker.address for worker in self.running]

    def kill(self, what: str) -> None:
        """Kill one worker, MongoDB, or both, and start them again."""
        victim = random.randrange(len(self.running))
        worker = self.running[victim]
        if what in ("worker", "both"):
            worker.kill()
        if what in ("mongod", "both"):
            self.mongod.kill()
            self.mongod.start()
        if what in ("worker", "both"):
            self.running[victim] = self.workers.start(port=worker.port)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="rtserver-kill-") as directory:
        mongod = MongodProcess(Path(directory) / "var")
        workers = Workers(
            tmp_path, {"mongodb_uri": mongod.uri, "event_log_bytes": 64 * 1024 * 1024}
        )
        try:
            yield Site(mongod, workers, workers.start_many(2))
        finally:
            problems = workers.stop() + workers.unexpected()
            mongod.stop()
    assert problems == []


async def play(site: Site, rounds: list[str]) -> None:
    told = Told()
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        services = [await stack.enter_async_context(api(address)) for address in site.addresses]
        viewers = [
            group.create_task(
                view(site.addresses[n % 2 :] + site.addresses[: n % 2], f"v{n}", told)
            )
            for n in range(VIEWERS)
        ]
        publishers = [
            group.create_task(publish_on(services[n % 2 :] + services[: n % 2], f"p{n}", told))
            for n in range(PUBLISHERS)
        ]
        for what in rounds:
            await told.progress(BETWEEN_KILLS + random.randrange(20))
            # In a thread, so that publishing goes on while it is killed and started.
            await asyncio.to_thread(site.kill, what)
        await told.progress(BETWEEN_KILLS)
        told.stop.set()
        published = [await publisher for publisher in publishers]
        last_id = await acknowledged(services, "the last")
        told.note(told.acknowledged, last_id, "the last")
        told.last_id = last_id
        async with asyncio.timeout(RECOVERY_S):
            await asyncio.gather(*viewers)
        stored = await history(services[0])
    numbers = [seq_of(event_id) for event_id in stored]
    assert numbers == list(range(1, sum(published) + 2))
    assert len(set(stored.values())) == len(stored)
    assert told.acknowledged == stored
    assert told.delivered.items() <= stored.items()
    assert len(told.delivered) >= len(stored) - BETWEEN_KILLS


async def history(service: Api) -> dict[str, str]:
    """All that is stored."""
    stored: dict[str, str] = {}
    after: dict[str, str] = {}
    more = True
    while more:
        page = await service.get(
            f"/api/v1/projects/{PROJECT}/events", params={"limit": 1000, **after}
        )
        assert page["lost"] == 0
        stored |= {event["id"]: event["data"] for event in page["events"]}
        after, more = {"after": page["position"]}, page["more"]
    return stored


@pytest.mark.gen_test(timeout=240)
async def test_nothing_is_lost_when_workers_and_mongodb_are_killed(site: Site) -> None:
    await play(site, ["worker", "mongod", "both"])


@pytest.mark.soak
@pytest.mark.gen_test(timeout=3600)
async def test_nothing_is_lost_in_a_hundred_kills(site: Site) -> None:
    await play(site, random.choices(["worker", "mongod", "both"], k=100))
