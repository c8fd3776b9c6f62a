"""Presence between workers: who of the others' people are in the projects that are open here.

    {"op": "presence", "from": W, "n": N, "changes": [[PROJECT, [PERSON, ...], [USER, ...]], ...]}
    {"op": "bye", "from": W}

`changes` has for each project who of worker W's people is there (again, or with something new) and
who of them is gone. N counts a worker's messages, so that one that did not come is noticed.

A worker that opens a project reads the registry of connections, which has everybody under a lease,
and goes on from there by messages. Each is right by itself: what it says of a person replaces what
was known of them on that worker. A change is in the registry before it is in a message, and what
comes while the registry is read is applied again afterwards; so the two join without a seam. What
went wrong in spite of that is mended by reading each open project again from time to time.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import msgspec
import structlog

from rtserver.eventlog.worker_messages import Control, sender_of
from rtserver.lib.backoff import Backoff
from rtserver.lib.lease_trust import LeaseTrust
from rtserver.lib.tasks import TaskOwner
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import BusyError, StoreUnavailableError
from rtserver.presence.messages import Person
from rtserver.presence.room import Bounds, Room

PUBLISH_INTERVAL_S = 0.1
RETRY_S, MAX_RETRY_S = 0.5, 2.0
MESSAGE_PEOPLE = 50
READ_PROJECTS = 100
BYE_S = 3.0

_log = structlog.get_logger()


class PresenceRegistry(Protocol):
    """The connections' registry."""

    async def move(self, entries: Sequence[ConnectionRecord]) -> None:
        """Say what the users of connections look at now. Those that are released stay so."""

    async def present(
        self, project_ids: Sequence[str], *, but_worker: str | None = None
    ) -> Mapping[str, Sequence[ConnectionRecord]]:
        """The live connections of projects, over all workers but one, the oldest first."""


class Leases(Protocol):
    """The registry of workers."""

    async def leases(self) -> Sequence[tuple[str, float]]:
        """All workers, and how many seconds their leases still last; below zero: it ran out."""


class Rooms(Protocol):
    """The projects that are open on this worker, see `presence.PresenceService`."""

    @property
    def rooms(self) -> Mapping[str, Room]:
        """By project id."""

    def changed(self, room: Room) -> None:
        """There is something to tell in a room."""


class _Changes(msgspec.Struct, array_like=True):
    project_id: str
    present: list[Person]
    gone: list[str]


class PresenceFleet:
    """See `presence.Fleet`."""

    def __init__(
        self,
        rooms: Rooms,
        registry: PresenceRegistry,
        leases: Leases,
        control: Control,
        tasks: TaskOwner,
        *,
        worker_id: str,
        lease_s: float,
        trust: LeaseTrust,
    ) -> None:
        """Make it; `begin` finds the others, `run` watches them.

        Args:
            rooms: this worker's.
            registry: has every connection of every worker.
            leases: tells which workers live.
            control: carries messages between workers.
            tasks: owns what runs beside.
            worker_id: this worker.
            lease_s: how long a worker counts as alive without renewal.
            trust: says whether leases that look lapsed are.
        """
        self._rooms = rooms
        self._registry = registry
        self._leases = leases
        self._control = control
        self._tasks = tasks
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._others: dict[str, int | None] = {}
        self._sent = 0
        self._news: dict[tuple[str, str], None] = {}
        self._moved: dict[str, ConnectionRecord] = {}
        self._publishing = False
        self._to_load: dict[str, None] = {}
        self._loading: dict[str, list[tuple[str, _Changes]]] | None = None
        self._trust = trust
        self._to_refresh = 0.0
        self._refreshed = 0
        control.hear("hello", self._on_hello)
        control.hear("presence", self._on_presence)
        control.hear("bye", self._on_bye)

    # What this worker tells

    def news(self, project_id: str, user_id: str) -> None:
        """See `presence.Fleet.news`."""
        if self._others:
            self._news[project_id, user_id] = None
            self._publish_soon()

    def moved(self, entry: ConnectionRecord) -> None:
        """See `presence.Fleet.moved`."""
        if self._others:  # else the renewal of its lease is soon enough
            self._moved[entry.connection_id] = entry
            self._publish_soon()

    def _publish_soon(self) -> None:
        if not self._publishing:
            self._publishing = True
            self._tasks.start(self._publish(), name="presence-publish")

    async def _publish(self) -> None:
        backoff = Backoff(RETRY_S, MAX_RETRY_S)
        try:
            while self._news or self._moved:
                batch = list(islice(self._news, MESSAGE_PEOPLE))
                moved, self._moved = self._moved, {}
                try:
                    if moved:
                        await self._registry.move(list(moved.values()))
                    if batch:
                        await self._send(batch)
                except (StoreUnavailableError, BusyError) as error:
                    _log.warning("presence_not_told", error=str(error))
                    self._news.update(dict.fromkeys(batch))
                    self._moved = {**moved, **self._moved}
                    await backoff.wait()
                else:
                    backoff.reset()
                    await asyncio.sleep(PUBLISH_INTERVAL_S)
        finally:
            self._publishing = False

    async def _send(self, batch: Iterable[tuple[str, str]]) -> None:
        changes: dict[str, _Changes] = {}
        for project_id, user_id in batch:
            # Send the state as of now; later changes go into the next batch.
            del self._news[project_id, user_id]
            of_project = changes.setdefault(project_id, _Changes(project_id, [], []))
            room = self._rooms.rooms.get(project_id)
            person = None if room is None else room.here(user_id)
            if person is None:
                of_project.gone.append(user_id)
            else:
                of_project.present.append(person)
        self._sent += 1
        await self._control.tell_all(
            "presence", n=self._sent, changes=msgspec.to_builtins(list(changes.values()))
        )

    async def end(self) -> None:
        """Say goodbye. A failure is logged: the others notice by themselves."""
        try:
            async with asyncio.timeout(BYE_S):
                if self._others:
                    await self._control.tell_all("bye")
        except (StoreUnavailableError, BusyError, TimeoutError) as error:
            _log.warning("presence_not_told", error=str(error))

    # What the others tell

    async def _on_presence(self, message: dict[str, Any]) -> None:
        sender, n = sender_of(message), message["n"]
        known = self._others.get(sender)
        if sender not in self._others or (known is not None and n != known + 1):
            self._load_all()  # something of it did not come here
        self._others[sender] = n
        for changes in msgspec.convert(message["changes"], list[_Changes]):
            room = self._rooms.rooms.get(changes.project_id)
            if room is None:
                continue
            if self._loading is not None and changes.project_id in self._loading:
                self._loading[changes.project_id].append((sender, changes))
            room.hear(sender, changes.present, changes.gone)
            self._rooms.changed(room)

    async def _on_hello(self, message: dict[str, Any]) -> None:
        """A worker began; where it has the name of one before, that one is gone."""
        self._lose(sender_of(message))
        self._others[sender_of(message)] = 0

    async def _on_bye(self, message: dict[str, Any]) -> None:
        """A worker ends. Its people are about to turn up elsewhere, so they get the time to."""
        sender = sender_of(message)
        self._others.pop(sender, None)
        asyncio.get_running_loop().call_later(BYE_S, self._lose_unless_back, sender)

    def _lose_unless_back(self, worker_id: str) -> None:
        if worker_id not in self._others:
            self._lose(worker_id)

    def _lose(self, worker_id: str) -> None:
        for room in self._rooms.rooms.values():
            if room.lose(worker_id):
                self._rooms.changed(room)

    # What the registry says

    def load(self, room: Room) -> None:
        """See `presence.Fleet.load`."""
        if not self._others:
            room.loaded = True
            return
        self._load(room.project_id)

    def _load_all(self) -> None:
        for project_id in self._rooms.rooms:
            self._load(project_id)

    def _load(self, project_id: str) -> None:
        self._to_load[project_id] = None
        if self._loading is None:
            self._loading = {}
            self._tasks.start(self._load_rooms(), name="presence-load")

    async def _load_rooms(self) -> None:
        backoff = Backoff(RETRY_S, MAX_RETRY_S)
        try:
            while self._to_load:
                projects = list(islice(self._to_load, READ_PROJECTS))
                for project_id in projects:
                    del self._to_load[project_id]
                try:
                    await self._read(projects)
                except StoreUnavailableError as error:
                    _log.warning("presence_not_read", error=str(error))
                    self._to_load.update(dict.fromkeys(projects))
                    await backoff.wait()
                else:
                    backoff.reset()
        finally:
            self._loading = None

    async def _read(self, projects: Sequence[str]) -> None:
        self._loading = {project_id: [] for project_id in projects}
        found = await self._registry.present(projects, but_worker=self._worker_id)
        for project_id, heard in self._loading.items():
            room = self._rooms.rooms.get(project_id)
            if room is None:
                continue
            # A dead worker's connections stay in the registry for the rest of their leases.
            entries = found.get(project_id, ())
            room.load(entry for entry in entries if entry.worker_id in self._others)
            for sender, changes in heard:
                room.hear(sender, changes.present, changes.gone)
            self._rooms.changed(room)
        self._loading = {}

    # Who lives

    async def begin(self) -> None:
        """Find the other workers.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        await self._look()

    async def run(self) -> None:
        """Watch over the other workers' leases, until cancelled."""
        wait_s = self._lease_s / 3
        while True:
            await asyncio.sleep(wait_s)
            try:
                wait_s = await self._look()
            except StoreUnavailableError as error:
                wait_s = self._lease_s / 3
                _log.warning("workers_not_seen", error=str(error))
            self._refresh(wait_s)

    async def _look(self) -> float:
        """See who lives; returns in how many seconds to look again."""
        # Renewed every third of a lease. So a worker is given up before its lease has run out,
        # and after it missed two renewals: what it leaves is gone within the lease.
        margin_s = self._lease_s / 6
        alive: dict[str, float] = {}
        believed = self._trust.holds()
        for worker_id, left_s in await self._leases.leases():
            if worker_id != self._worker_id and left_s > margin_s:
                alive[worker_id] = max(left_s, alive.get(worker_id, left_s))
        if believed:
            for worker_id in [other for other in self._others if other not in alive]:
                _log.info("presence_worker_gone", worker_id=worker_id)
                del self._others[worker_id]
                self._lose(worker_id)
        strangers = [worker_id for worker_id in alive if worker_id not in self._others]
        if strangers:
            self._others.update(dict.fromkeys(strangers))
            self._load_all()
        soonest_s = min(alive.values(), default=self._lease_s) - margin_s
        return max(self._lease_s / 20, min(self._lease_s / 3, soonest_s + 0.01))

    def _refresh(self, wait_s: float) -> None:
        """Read some of the projects again, so that each has its turn within two leases."""
        projects = list(self._rooms.rooms)
        if not self._others or not projects:
            return
        self._to_refresh += len(projects) * wait_s / (2 * self._lease_s)
        while self._to_refresh >= 1:
            self._to_refresh -= 1
            self._refreshed = (self._refreshed + 1) % len(projects)
            self._load(projects[self._refreshed])

    async def present(self, project_id: str, bounds: Bounds) -> tuple[list[Person], int]:
        """Who is listed of a project that is not open here, and how many there are.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        found = await self._registry.present([project_id])
        room = Room(project_id, bounds)
        room.load(found.get(project_id, ()))
        return room.present()
