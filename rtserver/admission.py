"""How many connections a user and a project may have, over all workers.

A project's registry has a number for each worker: a worker is the authority on its own connections,
so each change sets its whole number, and no mistake outlives the next one. A user's registry lists
connections, because the oldest has to be found. Both are held under leases that a worker renews;
those of a dead worker lapse.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from rtserver.errors import StoreUnavailableError
from rtserver.tasks import TaskOwner

RENEWALS_AT_ONCE = 8

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Entry:
    """One connection in the registries.

    Attributes:
        connection_id, worker_id: which, and who owns it.
        user_id, project_id, transport: what it is for.
        opened_at: Unix time in seconds.
    """

    connection_id: str
    worker_id: str
    user_id: str
    project_id: str
    transport: str
    opened_at: float


class LeaseStore(Protocol):
    """The registries, kept where all workers see them."""

    async def take_places(
        self, project_id: str, worker_id: str, *, held: int, wanted: int, limit: int
    ) -> int:
        """Set a worker's number in a project to `held` and as many of `wanted` as `limit` allows.

        Calls for one project and worker must follow one another. Returns how many were granted.
        """

    async def register(self, entry: Entry, *, limit: int) -> list[Entry]:
        """Add an entry to its user; the oldest that had to leave for it."""

    async def unregister(self, entry: Entry) -> None:
        """Take an entry out of its user's registry."""

    async def renew_users(self, entries: Sequence[Entry]) -> None:
        """Give entries a new lease in their users' registries, as far as they are still there."""


class ProjectFullError(Exception):
    """The project has as many connections as it may have."""


@dataclass(slots=True)
class _Gate:
    """The way into one project. Whoever comes while one change is under way shares the next.

    Attributes:
        held: places of this worker that are granted and not given back.
        waiting: who wants a place.
        leaving: who waits until a place that was given back is free for others.
        stale: the registry does not say `held`, or its lease is to be renewed.
    """

    held: int = 0
    waiting: "list[asyncio.Future[bool]]" = field(default_factory=list)
    leaving: "list[asyncio.Future[None]]" = field(default_factory=list)
    stale: bool = False
    work: "asyncio.Task[None] | None" = None


class Admission:
    """Lets connections in, evicts a user's oldest, and keeps leases alive."""

    def __init__(
        self,
        leases: LeaseStore,
        tasks: TaskOwner,
        *,
        worker_id: str,
        user_limit: int,
        project_limit: int,
        lease_s: float,
        evict: Callable[[Entry], Awaitable[None]],
    ) -> None:
        """Make the admission of a worker.

        Args:
            leases: the registries.
            tasks: owns the changes of projects' registries.
            worker_id: this worker.
            user_limit: connections a user; beyond it the oldest is evicted.
            project_limit: connections a project; beyond it the new one is refused.
            lease_s: how long an entry lives without renewal.
            evict: closes a connection, wherever it is.
        """
        self._leases = leases
        self._tasks = tasks
        self._worker_id = worker_id
        self._user_limit = user_limit
        self._project_limit = project_limit
        self._lease_s = lease_s
        self._evict = evict
        self._entries: dict[str, Entry] = {}
        self._gates: dict[str, _Gate] = {}

    async def admit(self, entry: Entry) -> None:
        """Let a connection in; returns when those it replaces have been told to go.

        Raises:
            ProjectFullError: no place is left in the project.
            StoreUnavailableError: the registries could not be reached.
        """
        if not await self._enter(entry.project_id):
            raise ProjectFullError(
                f"The project has {self._project_limit} connections, as many as it may have"
            )
        self._entries[entry.connection_id] = entry
        try:
            evicted = await self._leases.register(entry, limit=self._user_limit)
        except BaseException:
            await self.release(entry)
            raise
        for old in evicted:
            await self._evict(old)

    async def release(self, entry: Entry) -> None:
        """Give a connection's place back. A failure is logged: the lease ends by itself."""
        if self._entries.pop(entry.connection_id, None) is None:
            return
        gate = self._gates[entry.project_id]
        gate.held -= 1
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gate.leaving.append(gone)
        self._start(entry.project_id, gate)
        try:
            await self._leases.unregister(entry)
        except StoreUnavailableError as error:
            _log.warning("lease_not_released", error=str(error))
        await gone

    async def _enter(self, project_id: str) -> bool:
        gate = self._gates.setdefault(project_id, _Gate())
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        gate.waiting.append(place)
        self._start(project_id, gate)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and not place.exception() and place.result():
                gate.held -= 1  # granted to somebody who went away in the same moment
                gate.stale = True
                self._start(project_id, gate)
            raise

    def _start(self, project_id: str, gate: _Gate) -> None:
        if gate.work is None:
            gate.work = self._tasks.start(self._work(project_id, gate), name="project-places")

    async def _work(self, project_id: str, gate: _Gate) -> None:
        try:
            while gate.waiting or gate.leaving or gate.stale:
                await self._change(project_id, gate)
        finally:
            gate.work = None
            # Somebody is left only where this task itself was cancelled.
            for place in gate.waiting:
                place.cancel()
            for gone in gate.leaving:
                gone.cancel()
            if gate.held == 0 and not gate.waiting and not gate.stale:
                self._gates.pop(project_id, None)

    async def _change(self, project_id: str, gate: _Gate) -> None:
        # Whoever has gone away meanwhile wants no place.
        waiting = [place for place in gate.waiting if not place.done()]
        gate.waiting.clear()
        leaving, gate.leaving = gate.leaving, []
        gate.stale = False
        try:
            granted = await self._leases.take_places(
                project_id,
                self._worker_id,
                held=gate.held,
                wanted=len(waiting),
                limit=self._project_limit,
            )
        except StoreUnavailableError as error:
            for place in waiting:
                if not place.done():
                    place.set_exception(error)
            if leaving:
                _log.warning("places_not_given_back", project_id=project_id, error=str(error))
        else:
            for number, place in enumerate(waiting):
                if place.done():
                    gate.stale = gate.stale or number < granted  # gone while it was granted
                else:
                    gate.held += number < granted
                    place.set_result(number < granted)
        finally:
            for gone in leaving:
                if not gone.done():
                    gone.set_result(None)

    async def run(self) -> None:
        """Renew leases until cancelled."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            entries = list(self._entries.values())
            if not entries:
                continue
            at_once = asyncio.Semaphore(RENEWALS_AT_ONCE)
            await asyncio.gather(
                self._renew_users(entries),
                *(
                    self._renew_project(project_id, at_once)
                    for project_id in Counter(entry.project_id for entry in entries)
                ),
            )

    async def _renew_users(self, entries: list[Entry]) -> None:
        try:
            await self._leases.renew_users(entries)
        except StoreUnavailableError as error:
            _log.warning("leases_not_renewed", error=str(error))

    async def _renew_project(self, project_id: str, at_once: asyncio.Semaphore) -> None:
        async with at_once:
            gate = self._gates.get(project_id)
            if gate is None:
                return
            gate.stale = True
            self._start(project_id, gate)
            if gate.work is not None:
                await asyncio.wait([gate.work])
