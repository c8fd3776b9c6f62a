"""A rolling restart: every worker is replaced while clients read and publish."""

import asyncio
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tests.support.api import api
from tests.support.lateness import lateness
from tests.support.sockets import SocketClosedError, open_socket, seq_of
from tests.support.waiting import until
from tests.support.workers import Worker, Workers

READERS = 20
LONGEST_PAUSE_S = 1.0
BETWEEN_S = 0.02


@dataclass
class Seen:
    """What clients went through, all together.

    Attributes:
        reading: how many have got an event.
        reconnects: how often one came back.
        longest_s: the longest time without an event that there was, of anybody, once all read.
        published: how many events were acknowledged.
    """

    reading: int = 0
    reconnects: int = 0
    longest_s: float = 0.0
    published: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)


async def read(worker: Worker, name: str, seen: Seen) -> None:
    """Read without a hole; whoever is refused or dropped fails the test."""
    last: str | None = None
    arrived_s = 0.0
    while True:
        client = await open_socket(worker.address, user=name, last_event_id=last)
        client.last_event_id = last
        try:
            while True:
                frame = await client.recv()
                if frame["type"] == "test.event":
                    now_s = time.monotonic()
                    if arrived_s:
                        assert last is not None
                        assert seq_of(frame["id"]) == seq_of(last) + 1
                        seen.longest_s = max(seen.longest_s, now_s - arrived_s)
                    seen.reading += arrived_s == 0.0
                    arrived_s = now_s
                last = client.last_event_id
        except SocketClosedError as closed:
            if closed.code != 1001:
                raise
            seen.reconnects += 1
            await asyncio.sleep(closed.frames[-1]["retry_after_ms"] / 1000)
        finally:
            await client.close()


async def publish(worker: Worker, seen: Seen) -> None:
    """Publish on one connection for as long as it lasts, as a service does."""
    async with api(worker.address) as service:
        while not seen.stop.is_set():
            await service.publish("p1", seen.published)
            seen.published += 1
            await asyncio.sleep(BETWEEN_S)


async def roll(workers: Sequence[Worker], readers: int) -> tuple[Seen, float]:
    """Replace all workers under readers; what was seen, and how late the machine was."""
    seen = Seen()
    with lateness() as late_s:
        async with asyncio.TaskGroup() as clients:
            reading = [
                clients.create_task(read(workers[number % len(workers)], f"user {number}", seen))
                for number in range(readers)
            ]
            for worker in workers:
                clients.create_task(publish(worker, seen))
            await until(lambda: seen.reading == readers, "all readers")
            seen.longest_s = 0.0
            for done, worker in enumerate(workers, 1):
                worker.process.send_signal(signal.SIGHUP)
                await until(lambda w=worker: bool(w.logged("worker_replaced")), "a successor")  # type: ignore[misc]
                await until(lambda d=done: seen.reconnects >= d * readers // len(workers), "all")  # type: ignore[misc]
            after = seen.published + 10
            await until(lambda: seen.published >= after, "some more")
            seen.stop.set()
            for task in reading:
                task.cancel()
        return seen, late_s()


@pytest.mark.gen_test
async def test_nobody_is_refused_and_readers_hardly_wait(workers: Workers) -> None:
    """One in thirty publications failed at TCP, and readers waited for up to 2.9 s."""
    running = workers.start_masters(2, max_connections_per_project=1000)
    before = [worker.logged("serving")[-1].fields["worker_id"] for worker in running]
    seen, late_s = await roll(running, READERS)
    assert seen.reconnects == READERS
    assert seen.longest_s < LONGEST_PAUSE_S + 10 * late_s
    after = [worker.logged("serving")[-1].fields["worker_id"] for worker in running]
    assert not set(before) & set(after)
