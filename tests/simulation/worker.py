"""A worker: what it is made of here is what it is made of in production.

The log's writer with its heads, fences and marks, the relay, the stores of runs and of connections,
leases and admission, the tail and the dispatcher. Only MongoDB, the clock and the sockets are not
there.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from rtserver.delivery.dispatcher import Dispatcher
from rtserver.delivery.fanout import Fanout
from rtserver.delivery.log_pages import LogPages
from rtserver.delivery.membership import Membership, NoMembers
from rtserver.delivery.sender import Sender
from rtserver.lib.lease_trust import LeaseTrust
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import BusyError, ConflictError, ProjectFullError, StoreUnavailableError
from rtserver.model.events import CONTROL_PROJECT, EventDraft, EventPack, EventType
from rtserver.model.run import RunKind, RunState
from rtserver.runs.active_run import ActiveRun
from rtserver.runs.leases import RunLeases
from rtserver.runs.model import Run
from rtserver.runs.run_log import RunLog, run_event, until_answered
from rtserver.sessions.admission import Admission
from store.base.client import DatabaseError
from store.base.relay import OutboxRelay
from store.documents.connections import MongoLeases
from store.documents.runs import RUNS, MongoRuns
from store.log.access import LogAccess
from store.log.collection import EVENTS
from store.log.heads import Heads
from store.log.marks import Marks
from store.log.tail import EventTail
from store.log.writer import MongoEventLog
from tests.simulation.commands import Access
from tests.simulation.mongodb import Database
from tests.simulation.replica_set import Link

if TYPE_CHECKING:
    from tests.simulation.world import World

PROJECT, EPOCH = "p", "e0e0"
LEASE_S = 2.0
USER_LIMIT, PROJECT_LIMIT = 2, 4
RECENT_BYTES = 2_000
"""A dozen events: who comes back later reads of the log."""


@dataclass
class FollowedLog:
    """What the tail has of the log, which is always there."""

    heads: Heads
    marks: Marks
    access: LogAccess
    collection: str = EVENTS

    async def prepare(self) -> str:
        return await self.marks.check()


class SimulatedWorker:
    """One worker.

    Attributes:
        link: its way to MongoDB.
        tasks: all that it does; a kill ends them.
        asked: those of them that clients wait for.
    """

    def __init__(self, name: str, world: "World") -> None:
        self.name = name
        self.world = world
        self.link = Link(world.replica_set, world.chance, losses=world.losses)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.asked: set[asyncio.Task[Any]] = set()
        self.active: dict[str, ActiveRun] = {}
        # The driver's types are not ours to copy; what is used of them is.
        self.database = cast("Any", Database(self.link))
        heads, access = Heads(self.database, buffer_bytes=1 << 28), Access(self.database)
        marks = Marks(self.database, EVENTS, heads)
        self.log = MongoEventLog(
            self.database, heads, world.metrics, access,
            marks=marks, epoch=EPOCH, queue_bytes=1 << 20, publish_timeout_s=10,
        )  # fmt: skip
        self.dispatcher = Dispatcher(
            self.log, Fanout(world.metrics, Sender()), cast("Any", self), Membership(NoMembers()),
            recent_bytes=RECENT_BYTES,
        )  # fmt: skip
        self.pages = LogPages(self.log, 1 << 20)
        self.sessions: set[asyncio.Task[Any]] = set()
        tail = EventTail(
            self.database, FollowedLog(heads, marks, access), world.metrics, self,
            epoch=EPOCH, own=self.log, under_way=self.log.under_way,
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
            *(self.admission.run(), self._renew(), tail.run(), self._hello()),
        ):
            self.start(doing)

    def active_runs(self) -> list[ActiveRun]:
        return list(self.active.values())

    def record_end(self, run: Run, state: RunState, fields: Mapping[str, Any]) -> None:
        pass

    async def on_packs(self, packs: list[EventPack]) -> None:
        await self.dispatcher.on_packs(packs)

    def on_epoch(self, epoch: str) -> None:
        self.log.begin_epoch(epoch)
        self.dispatcher.begin_epoch()
        for session in self.sessions:
            session.cancel()

    async def _hello(self) -> None:
        """So that there is something for tails to stand on."""
        with contextlib.suppress(StoreUnavailableError):
            await self.log.publish([EventDraft(CONTROL_PROJECT, EventType.CONTROL, {})])

    def start(self, work: Coroutine[Any, Any, Any], *, name: str = "") -> "asyncio.Task[Any]":
        """See also `rtserver.lib.tasks.TaskOwner`."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def ask(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self.start(work)
        self.asked.add(task)
        task.add_done_callback(self.asked.discard)

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
