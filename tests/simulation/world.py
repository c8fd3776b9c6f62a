"""Workers, their clients and a replica set in memory, under faults by a seed, in no time."""

import asyncio
import contextlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from rtserver.eventlog.api import Published
from rtserver.eventlog.metrics import LogMetrics
from rtserver.model.connection import ConnectionRecord
from rtserver.model.events import EventPack
from rtserver.observe.metrics import MetricsRegistry
from rtserver.runs.run_log import RUN_ENDS
from store.documents.runs import RUNS
from store.log import tail, writer
from store.log.collection import EVENTS, META
from tests.simulation.commands import UUID
from tests.simulation.reader import Reader
from tests.simulation.replica_set import Link, ReplicaSet
from tests.simulation.worker import (
    EPOCH,
    LEASE_S,
    PROJECT,
    PROJECT_LIMIT,
    USER_LIMIT,
    SimulatedWorker,
)

FAULTS_S, SETTLE_S = 8.0, 30.0
READERS = 3
METRICS = LogMetrics(MetricsRegistry())


@contextlib.contextmanager
def simulated_time(seed: int) -> Iterator[None]:
    """Let nothing depend on how fast this machine is, nor on any other chance."""
    random.seed(seed)  # back-off has it from there
    clock = SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())
    with patch.object(tail, "time", clock), patch.object(writer, "time", clock):
        yield


@dataclass
class World:
    """Workers under faults.

    Attributes:
        published: what was acknowledged, by key.
        open: the connections that are there, with the worker that holds them.
        faults: what went wrong in itself.
        readers: and their tasks.
        told: what readers got, by its id.
        overwritten: the last number of the project that the log has no more.
        healed: there will be no more faults.
    """

    seed: int
    published: dict[str, list[Published]] = field(default_factory=lambda: defaultdict(list))
    open: dict[str, tuple[ConnectionRecord, SimulatedWorker]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    workers: list[SimulatedWorker] = field(default_factory=list)
    readers: dict[Reader, asyncio.Task[None]] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    overwritten: int = 0
    healed: bool = False
    metrics: LogMetrics = METRICS
    losses: float = 0.0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.replica_set = ReplicaSet(self.chance)
        meta = {EVENTS: {"_id": EVENTS, "uuid": UUID, "epoch": EPOCH}}
        for collections in (self.replica_set.primary.local, self.replica_set.primary.majority):
            collections[META] = dict(meta)
        self.losses = self.chance.choice([0.0, 0.02, 0.1])
        self.restless = self.chance.choice([0.02, 0.15, 0.15])
        self._names = iter(range(1, 10_000))

    def close(self, connection_id: str) -> None:
        """A connection ends: its worker gives the place back."""
        found = self.open.pop(connection_id, None)
        if found is not None:
            entry, worker = found
            worker.start(worker.admission.release(entry))

    async def evict(self, entry: ConnectionRecord) -> None:
        await asyncio.sleep(self.chance.uniform(0, 0.05))
        self.close(entry.connection_id)

    def turn_away(self, entry: ConnectionRecord) -> None:
        self.close(entry.connection_id)

    def behind_bytes(self, _connection_id: str) -> int | None:
        return None

    def start_worker(self) -> None:
        self.workers.append(SimulatedWorker(f"w{next(self._names)}", self))

    def start_reader(self, position: str | None = None) -> None:
        reader = Reader(f"r{len(self.readers)}", self, position)
        self.readers[reader] = asyncio.get_running_loop().create_task(reader.live())

    async def play(self, *, what: Callable[["World"], None]) -> list[str]:
        """Act under faults, heal, and say what is wrong then."""
        for _ in range(3):
            self.start_worker()
        for _ in range(READERS):
            self.start_reader()
        loop = asyncio.get_running_loop()
        while loop.time() < FAULTS_S:
            what(self)
            if self.chance.random() < self.restless:
                self.chance.choice([self._fail_over, self._stall, self._stall, self._kill])()
            await asyncio.sleep(self.chance.uniform(0, 0.33))
        await self._heal()
        wrong = list(self.faults)
        for check in (
            *(self._log_is_right, self._runs_are_right, self._places_are_right),
            self._readers_are_right,
        ):
            wrong += check()
        if not wrong:
            wrong += await self._afterwards()
        await self._end()
        return wrong

    async def _heal(self) -> None:
        """No more faults; what was asked for comes to its end, and leases of the dead lapse."""
        self.healed = True
        for worker in self.workers:
            worker.link.losses = 0.0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                stalled = [one.link.stalled for one in self.workers]
                await asyncio.gather(*(one for one in stalled if one is not None))
                await self.replica_set.healed()
                while tasks := [task for one in self.workers for task in one.asked]:
                    await asyncio.wait(tasks)
        await asyncio.sleep(2.5 * LEASE_S)

    async def _afterwards(self) -> list[str]:
        """Readers come back to a log of which the beginning was overwritten."""
        packs = self.packs()
        first = self.chance.choice(packs)
        self.overwritten = first["first"] - 1
        documents = list(self.replica_set.primary.local[EVENTS].values())
        self.replica_set.overwrite(EVENTS, documents.index(first))
        for _ in range(2):
            self.start_reader(f"{EPOCH}-{self.chance.randint(0, packs[-1]['last'])}")
        for number in range(4):
            worker = self.chance.choice(self.workers)
            worker.start(worker.publish(f"after{number}"))
            await asyncio.sleep(self.chance.uniform(0, 0.5))
        await asyncio.sleep(2)
        return [*self.faults, *self._readers_are_right()]

    async def _end(self) -> None:
        for worker in self.workers:
            worker.kill()
        for reading in self.readers.values():
            reading.cancel()
        tasks = [task for worker in self.workers for task in worker.tasks]
        await asyncio.gather(*tasks, *self.readers.values(), return_exceptions=True)

    # Faults

    def _fail_over(self) -> None:
        for worker in self.workers:
            worker.link.clings = self.chance.random() < 0.5
        self.replica_set.fail_over(stale_s=self.chance.uniform(0, 4))

    def _stall(self) -> None:
        """A worker stands still, for shorter or longer than a lease."""
        link = self.chance.choice(self.workers).link
        if link.stalled is None:
            loop = asyncio.get_running_loop()
            link.stalled = loop.create_future()
            loop.call_later(self.chance.uniform(0.5, 3 * LEASE_S), self._go_on, link)

    @staticmethod
    def _go_on(link: Link) -> None:
        if link.stalled is not None:
            link.stalled.set_result(None)
            link.stalled = None

    def _kill(self) -> None:
        worker = self.workers.pop(self.chance.randrange(len(self.workers)))
        worker.kill()
        for connection_id, (_, holder) in list(self.open.items()):
            if holder is worker:
                del self.open[connection_id]
        self.start_worker()

    # What must hold

    def packs(self) -> list[dict[str, Any]]:
        stored = self.replica_set.primary.majority.get(EVENTS, {}).values()
        packs = [pack for pack in stored if pack["project_id"] == PROJECT]
        return sorted(packs, key=lambda pack: int(pack["first"]))

    def epoch(self) -> str:
        return str(self.replica_set.primary.majority[META][EVENTS]["epoch"])

    def events(self) -> Iterator[Any]:
        for pack in self.packs():
            yield from EventPack(
                PROJECT, self.epoch(), pack["first"], pack["last"], pack["events"]
            ).events()

    def listed(self) -> set[str]:
        """The connections that have a place in the project."""
        registry = self.replica_set.primary.majority.get("connections", {})
        now = self.replica_set.now()
        entries = registry.get(f"project:{PROJECT}", {}).get("entries", [])
        return {entry["c"] for entry in entries if entry["until"] > now}

    def _readers_are_right(self) -> Iterator[str]:
        """Everybody was told of all, and what was told is what is stored."""
        stored = {event.id: event.payload.decode() for event in self.events()}
        tip = list(stored)[-1]
        for reader, task in self.readers.items():
            if task.done():
                yield f"{reader.name} ended: {task}"
            elif f"{reader.epoch}-{reader.seq}" != tip:
                yield f"{reader.name} is at {reader.epoch}-{reader.seq}, and the log at {tip}"
        for event_id, payload in self.told.items():
            if payload != stored.get(event_id, payload):
                yield f"{event_id} was told as {payload}, and is {stored[event_id]}"
            seq = int(event_id.rpartition("-")[2])
            if event_id not in stored and seq > self.overwritten:
                yield f"{event_id} was told, and is not stored"

    def _log_is_right(self) -> Iterator[str]:
        expected = 1
        for pack in self.packs():
            if pack["first"] != expected:
                yield f"the log has {pack['first']} where {expected} should be"
            expected = pack["last"] + 1
        stored = {pack["_id"]: pack["first"] for pack in self.packs()}
        for key, answers in self.published.items():
            if {answer.first for answer in answers} != {stored.get(key)}:
                yield f"{key} was acknowledged at {answers} and is at {stored.get(key)}"

    def _runs_are_right(self) -> Iterator[str]:
        kinds: dict[str, list[str]] = defaultdict(list)
        for event in self.events():
            if event.type != "test.event":
                kinds[json.loads(event.payload)["run_id"]].append(event.type)
        for run_id, told in kinds.items():
            if sum(kind in RUN_ENDS for kind in told) != 1 or told[-1] not in RUN_ENDS:
                yield f"of run {run_id} is told {told}"
        for run_id, run in self.replica_set.primary.majority.get(RUNS, {}).items():
            told = kinds.get(run_id, [])
            state = "passed" if "validation_complete" in told else "error"
            if run["state"] != state:
                yield f"run {run_id} is {run['state']}, and told is {told}"

    def _places_are_right(self) -> Iterator[str]:
        users = Counter(entry.user_id for entry, _ in self.open.values())
        if len(self.open) > PROJECT_LIMIT or any(count > USER_LIMIT for count in users.values()):
            yield f"there are {users}"
        listed = self.listed()
        if listed != set(self.open):
            yield f"listed are {sorted(listed)}, and there are {sorted(self.open)}"


def act(world: World) -> None:
    """Something that is asked of some worker."""
    worker = world.chance.choice(world.workers)
    number = world.chance.randrange(10**9)
    what = world.chance.random()
    if what < 0.3:
        worker.ask(worker.publish(f"k{number}"))
    elif what < 0.6:
        proposal_id = world.chance.choice("abc")
        lines = world.chance.randint(0, 8)
        worker.ask(worker.carry_out(f"{number:08x}", proposal_id, lines))
    else:
        user = world.chance.choice(["ada", "ben", "cleo"])
        stays_s = world.chance.choice([0.0, 0.0, 1.0, 4.0])
        worker.ask(worker.connect(f"c{number}", user, stays_s))
