"""Workers of the real classes on a replica set in memory, under faults by a seed, in no time.

What a worker is made of here is what it is made of in production: the log's writer with its heads
and fences, the relay, the stores of runs and of connections, leases and admission, the tail and the
dispatcher. Only MongoDB, the clock and the sockets are not there.
"""

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from rtserver.eventlog.api import Published
from rtserver.eventlog.metrics import LogMetrics
from rtserver.lib.lease_trust import LeaseTrust
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import BusyError, ConflictError, ProjectFullError, StoreUnavailableError
from rtserver.model.events import EventDraft, EventPack, EventType
from rtserver.model.run import RunKind, RunState
from rtserver.observe.metrics import MetricsRegistry
from rtserver.runs.active_run import ActiveRun
from rtserver.runs.leases import RunLeases
from rtserver.runs.model import Run
from rtserver.runs.run_log import RUN_ENDS, RunLog, run_event, until_answered
from rtserver.sessions.admission import Admission
from store.base.client import DatabaseError
from store.base.relay import OutboxRelay
from store.documents.connections import MongoLeases
from store.documents.runs import RUNS, MongoRuns
from store.log.access import DriverAccess
from store.log.collection import EVENTS
from store.log.heads import Heads
from store.log.marks import Marks
from store.log.writer import MongoEventLog
from tests.simulation.mongodb import Database, Link, ReplicaSet

PROJECT, EPOCH = "p", "e0e0"
LEASE_S = 2.0
USER_LIMIT, PROJECT_LIMIT = 2, 4
FAULTS_S, SETTLE_S = 12.0, 30.0


class SameLog(Marks):
    """Nobody puts files back here."""

    async def check(self) -> str:
        return EPOCH


class Access(DriverAccess):
    """What it promises, on the members that are there."""

    instance = None

    def __init__(self, database: Any) -> None:
        super().__init__(database)
        self._link: Link = database.link
        self._simulated: Any = database

    async def ready(self) -> object:
        await self._link.travel()
        return self._link.member()

    async def insert(
        self, collection: str, documents: list[dict[str, Any]], *, at: object = None
    ) -> None:
        await self._simulated[collection].insert_many(documents, only_at=at)


class SimulatedWorker:
    """One worker.

    Attributes:
        link: its way to MongoDB.
        tasks: all that it does; a kill ends them.
    """

    def __init__(self, name: str, world: "World") -> None:
        self.name = name
        self.world = world
        self.link = Link(world.replica_set, world.chance, losses=world.losses)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.active: dict[str, ActiveRun] = {}
        # The driver's types are not ours to copy; what is used of them is.
        self.database = cast("Any", Database(self.link))
        heads = Heads(self.database, buffer_bytes=1 << 28)
        self.log = MongoEventLog(
            self.database, heads, world.metrics, Access(self.database),
            marks=SameLog(self.database, EVENTS, heads), epoch=EPOCH, queue_bytes=1 << 20,
            publish_timeout_s=10,
        )  # fmt: skip
        self.relay = OutboxRelay(self.database, self.log, [RUNS])
        self.runs = MongoRuns(self.database, self.relay, lease_s=LEASE_S)
        self.trust = LeaseTrust(LEASE_S, now_s=asyncio.get_running_loop().time)
        self.leases = RunLeases(self.runs, self, name, LEASE_S, trust=self.trust, salvage={})
        self.admission = Admission(
            MongoLeases(self.database, lease_s=LEASE_S), world, user_limit=USER_LIMIT,
            project_limit=PROJECT_LIMIT, lease_s=LEASE_S,
        )  # fmt: skip
        for doing in (
            *(heads.run(), self.log.run(), self.relay.run(), self.leases.run()),
            *(self.admission.run(), self._renew()),
        ):
            self.start(doing)

    def active_runs(self) -> list[ActiveRun]:
        return list(self.active.values())

    def record_end(self, run: Run, state: RunState, fields: Mapping[str, Any]) -> None:
        pass

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.world.faults.append(f"{self.name}: {error!r}")

    async def _renew(self) -> None:
        """The worker's own lease, by which it judges those of others."""
        while True:
            try:
                await self.database["workers"].update_one(
                    {"_id": self.name}, {"$set": {"at": 1}}, upsert=True
                )
                self.trust.renewed()
            except DatabaseError:
                pass
            await asyncio.sleep(LEASE_S / 3)

    def kill(self) -> None:
        for task in self.tasks:
            task.cancel()

    # What is asked of it

    async def publish(self, key: str) -> None:
        """As a service does: under its key until it is acknowledged."""
        while True:
            try:
                told = EventDraft(PROJECT, "test.event", {"data": key})
                done = await self.log.publish([told], key=key)
            except (BusyError, StoreUnavailableError):
                await asyncio.sleep(0.1)
            else:
                self.world.published[key].append(done)
                return

    async def carry_out(self, run_id: str, proposal_id: str, lines: int) -> None:
        """A run, as its service carries it out."""
        now = self.world.replica_set.now()
        run = Run(run_id, RunKind.VALIDATION, PROJECT, proposal_id, self.name, "ada", now)
        active = ActiveRun(run, Nothing(), has_place=True)
        try:
            run.replay_from = f"{EPOCH}-{await self.log.head(PROJECT)}"
            started = run_event(run, EventType.VALIDATION_START, {"command": "c"})
            await self.runs.create(run, started)
        except (StoreUnavailableError, ConflictError):
            return
        active.stored = True
        self.active[run_id] = active
        log = RunLog(self.log, active)
        try:
            for n in range(1, lines + 1):
                await log.append(EventType.OUTPUT, [{"n": n, "line": "l", "stream": "stdout"}])
                await asyncio.sleep(self.world.chance.uniform(0, 0.6))
            active.finishing = True
            fields = {"status": "passed"}
            ended = run_event(run, EventType.VALIDATION_COMPLETE, fields)
            await until_answered(lambda: self.runs.finish(run, RunState.PASSED, fields, ended), run)
        except asyncio.CancelledError:
            if not active.lost:
                raise
        finally:
            self.active.pop(run_id, None)

    async def connect(self, connection_id: str, user: str, stays_s: float) -> None:
        """A client that comes, stays, and leaves unless it is to stay."""
        entry = ConnectionRecord(
            connection_id, self.name, user, PROJECT, "websocket", 0.0, "", 0, user, frozenset()
        )
        try:
            await self.admission.admit(entry)
        except ProjectFullError:
            if connection_id in self.world.listed():
                self.world.faults.append(f"{connection_id} was refused, and has a place")
            return
        except StoreUnavailableError:
            return
        self.world.open[connection_id] = (entry, self)
        if stays_s:
            await asyncio.sleep(stays_s)
            self.world.close(connection_id)


class Nothing:
    """The work of a run whose lines come from elsewhere."""

    started = EventType.VALIDATION_START
    cancelled = EventType.VALIDATION_CANCELLED
    failed = EventType.VALIDATION_ERROR

    def start_fields(self) -> dict[str, Any]:
        return {}

    async def carry_out(self, run: Run, emit: Any) -> Any:
        raise NotImplementedError


@dataclass
class World:
    """Workers under faults.

    Attributes:
        published: what was acknowledged, by key.
        open: the connections that are there, with the worker that holds them.
        faults: what went wrong in itself.
    """

    seed: int
    published: dict[str, list[Published]] = field(default_factory=lambda: defaultdict(list))
    open: dict[str, tuple[ConnectionRecord, SimulatedWorker]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    workers: list[SimulatedWorker] = field(default_factory=list)
    metrics: LogMetrics = field(default_factory=lambda: LogMetrics(MetricsRegistry()))
    losses: float = 0.0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.replica_set = ReplicaSet(self.chance)
        self.losses = self.chance.choice([0.0, 0.02, 0.1])
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

    async def play(self, *, what: Callable[["World"], None]) -> list[str]:
        """Act under faults, heal, and say what is wrong then."""
        for _ in range(3):
            self.start_worker()
        loop = asyncio.get_running_loop()
        while loop.time() < FAULTS_S:
            what(self)
            if self.chance.random() < 0.15:
                self.chance.choice([self._fail_over, self._stall, self._stall, self._kill])()
            await asyncio.sleep(self.chance.uniform(0, 0.5))
        for worker in self.workers:
            worker.link.losses = 0.0
        await asyncio.sleep(SETTLE_S)
        wrong = list(self.faults)
        for check in (self._log_is_right, self._runs_are_right, self._places_are_right):
            wrong += check()
        for worker in self.workers:
            worker.kill()
        await asyncio.gather(*(t for w in self.workers for t in w.tasks), return_exceptions=True)
        return wrong

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
        return sorted(stored, key=lambda pack: int(pack["first"]))

    def events(self) -> Iterator[Any]:
        for pack in self.packs():
            document = {**pack, "stamp": None}
            yield from EventPack(
                PROJECT, EPOCH, document["first"], document["last"], document["events"]
            ).events()

    def listed(self) -> set[str]:
        """The connections that have a place in the project."""
        registry = self.replica_set.primary.majority.get("connections", {})
        now = self.replica_set.now()
        entries = registry.get(f"project:{PROJECT}", {}).get("entries", [])
        return {entry["c"] for entry in entries if entry["until"] > now}

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
        worker.start(worker.publish(f"k{number}"))
    elif what < 0.6:
        proposal_id = world.chance.choice("abc")
        lines = world.chance.randint(0, 8)
        worker.start(worker.carry_out(f"{number:08x}", proposal_id, lines))
    else:
        user = world.chance.choice(["ada", "ben", "cleo"])
        stays_s = world.chance.choice([0.0, 0.0, 1.0, 4.0])
        worker.start(worker.connect(f"c{number}", user, stays_s))
