"""Workers with presence and nothing else, in one process: what is between them is the test's."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rtserver.delivery.feed import Feed
from rtserver.eventlog.api import Fence, Published
from rtserver.eventlog.worker_messages import Control
from rtserver.lib.tasks import TaskOwner
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import CONTROL_PROJECT, EventDraft
from rtserver.model.visibility import Viewer
from rtserver.presence.fleet import PresenceFleet
from rtserver.presence.room import Bounds
from rtserver.presence.service import PresenceService
from tests.support.fakes import FakeSubscriber, MemoryLog
from tests.support.lease_trust import ScriptedTrust
from tests.support.people import Frame, People
from tests.support.wire_reader import messages

LEASE_S = 15.0
LOG_S = 0.005
READ_S = 0.002


def entry(
    user: str,
    connection: str = "",
    *,
    worker: str = "w1",
    project: str = "p1",
    at: Sequence[str] = (),
    name: str | None = None,
) -> ConnectionRecord:
    """A connection of a user."""
    return ConnectionRecord(
        connection or f"c-{user}",
        worker,
        user,
        project,
        "websocket",
        time.time(),
        name=user.title() if name is None else name,
        looking_at=frozenset(at),
    )


class Watcher(FakeSubscriber):
    """A live connection that keeps its own list of who is there, as a client does."""

    def __init__(self, user: str = "ada") -> None:
        super().__init__(Viewer(user))
        self._people = People()
        self._read_to = 0

    def read(self) -> People:
        """What it knows, by all that came."""
        received = bytes(self.sink.received)
        for frame in messages(received[self._read_to :]):
            self._people.take(frame)
        self._read_to = len(received)
        return self._people

    @property
    def names(self) -> list[str]:
        """Who is there."""
        return self.read().names

    @property
    def frames(self) -> list[Frame]:
        """All that it was told."""
        return self.read().frames


class World:
    """What workers share: the log, the registry of connections, and that of workers.

    Attributes:
        registry: the live connections.
        dead: workers whose leases ran out.
        is_down: whether nothing of this answers.
        lose: so many of the next messages reach nobody.
        messages: those that were sent.
        trust: of all workers.
        on_message: called with each, before it reaches anybody.
    """

    def __init__(self) -> None:
        self.registry: dict[str, ConnectionRecord] = {}
        self.workers: dict[str, PresenceWorker] = {}
        self.dead: set[str] = set()
        self.is_down = False
        self.lose = 0
        self.messages: list[Frame] = []
        self.on_message: Callable[[Frame], None] = lambda _message: None
        self.reads = 0
        self.trust = ScriptedTrust()
        self._log = MemoryLog()

    async def publish(
        self,
        drafts: Sequence[EventDraft],
        *,
        key: str | None = None,
        fence: Fence | None = None,
        timeout_s: float | None = None,
    ) -> Published:
        """See `rtserver.eventlog.api.EventLog`.

        Every worker gets it soon, the one that sent it as well.
        """
        await self._answer(LOG_S)
        pack = self._log.append(CONTROL_PROJECT, *drafts)
        for event in pack.events():
            self.messages.append(event.frame())
            self.on_message(event.frame())
            if self.lose:
                self.lose -= 1
                continue
            for worker in list(self.workers.values()):
                await worker.control.on_event(event)
        return Published(self._log.epoch, pack.first, pack.last)

    async def _answer(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if self.is_down:
            raise StoreUnavailableError("The database does not answer; try again soon")

    async def move(self, entries: Sequence[ConnectionRecord]) -> None:
        """See `PresenceRegistry.move`."""
        await self._answer(LOG_S)
        for moved in entries:
            if moved.connection_id in self.registry:
                self.registry[moved.connection_id] = moved

    async def present(
        self, project_ids: Sequence[str], *, but_worker: str | None = None
    ) -> Mapping[str, Sequence[ConnectionRecord]]:
        """See `PresenceRegistry.present`. What is read is older than the answer."""
        self.reads += 1
        found: dict[str, list[ConnectionRecord]] = {}
        for known in self.registry.values():
            if known.project_id in project_ids and known.worker_id != but_worker:
                found.setdefault(known.project_id, []).append(known)
        await self._answer(READ_S)
        return found

    async def leases(self) -> Sequence[tuple[str, float]]:
        """See `Leases`."""
        await self._answer(READ_S)
        return [(name, -1.0 if name in self.dead else LEASE_S) for name in self.workers]

    async def start(self, worker_id: str, bounds: Bounds | None = None) -> "PresenceWorker":
        """Start a worker."""
        worker = PresenceWorker(self, worker_id, bounds or Bounds())
        self.workers[worker_id] = worker
        await worker.fleet.begin()
        worker.tasks.start(worker.fleet.run(), name="presence")
        await worker.control.send("hello", worker_id)
        return worker

    async def kill(self, worker_id: str) -> None:
        """End a worker without a word."""
        worker = self.workers[worker_id]
        self.dead.add(worker_id)
        worker.service.stop()
        await worker.tasks.stop()

    async def end(self) -> None:
        """End all of it."""
        for worker in self.workers.values():
            worker.service.stop()
            await worker.tasks.stop()


class PresenceWorker:
    """One worker."""

    def __init__(self, world: World, worker_id: str, bounds: Bounds) -> None:
        self._world = world
        self.worker_id = worker_id
        self.tasks = TaskOwner()
        self.feeds: dict[str, Feed] = {}
        self.control = Control(world, worker_id=worker_id)  # type: ignore[arg-type]
        self.service = PresenceService(self.feeds, bounds)
        self.fleet = self.service.fleet = PresenceFleet(
            self.service,
            world,
            world,
            self.control,
            self.tasks,
            worker_id=worker_id,
            lease_s=LEASE_S,
            trust=world.trust,
        )

    def open(self, user: str, connection: str = "", **where: Any) -> ConnectionRecord:
        """A connection comes, of which nothing is looked at."""
        came = entry(user, connection, worker=self.worker_id, **where)
        self._world.registry[came.connection_id] = came
        self.service.arrive(came)
        return came

    def watch(
        self, user: str, connection: str = "", **where: Any
    ) -> tuple[ConnectionRecord, Watcher]:
        """A connection comes, and what it is sent is kept."""
        came = self.open(user, connection, **where)
        watcher = Watcher(user)
        if came.project_id not in self.feeds:
            self.feeds[came.project_id] = Feed(came.project_id, 0)
        self.feeds[came.project_id].live.add(watcher)
        self.service.greet(came.project_id, watcher)
        return came, watcher

    def move(self, known: ConnectionRecord, *at: str) -> ConnectionRecord:
        """A connection shows something else."""
        moved = replace(known, looking_at=frozenset(at))
        self.service.move(moved)
        return moved

    def close(self, known: ConnectionRecord) -> None:
        """A connection goes."""
        self._world.registry.pop(known.connection_id, None)
        self.service.depart(known)
