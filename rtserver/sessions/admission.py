"""Admission: how many connections a user and a project may have, over all workers.

Every connection has an entry with a lease in the registry of its project and in that of its user.
A worker renews the entries of its connections; those of a dead worker lapse. A worker that stood
still for longer than a lease may find that others took the places of its connections: then these
are let in anew, or closed. So the limits hold after every fault.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Protocol

import structlog

from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import ProjectFullError, StoreUnavailableError

NO_LIMIT = 1_000_000
RENEWED_AT_ONCE = 100

_log = structlog.get_logger()


class LeaseStore(Protocol):
    """The registries, kept where all workers see them."""

    async def admit(self, entry: ConnectionRecord, *, limit: int) -> bool:
        """Add an entry to its project unless `limit` live ones are there; whether it was added."""

    async def register(
        self, entry: ConnectionRecord, *, limit: int, oldest: bool = False
    ) -> list[ConnectionRecord]:
        """Add an entry to its user; the oldest live ones that had to leave for it.

        With `oldest` it is added as the user's oldest, and is itself the first that has to leave.
        """

    async def release(self, entry: ConnectionRecord) -> None:
        """Take an entry out of both registries."""

    async def renew(self, entries: Sequence[ConnectionRecord]) -> set[str]:
        """Give entries a new lease, also where it has lapsed.

        Returns:
            The ids of the connections that still have both of their places. The others lost one:
            their lease lapsed and somebody else was let in, or they were evicted.
        """


class Reach(Protocol):
    """Reaches connections that were let in; see `rtserver.sessions.closer.ConnectionCloser`."""

    async def evict(self, entry: ConnectionRecord) -> None:
        """Close a connection, wherever it is, whose place another of its user took."""

    def turn_away(self, entry: ConnectionRecord) -> None:
        """Close a connection of this worker that lost its place in a full project."""

    def behind_bytes(self, connection_id: str) -> int | None:
        """What waits for a connection of this worker; None where it is not here."""


class Admission:
    """Lets connections in, evicts a user's oldest, and keeps leases alive."""

    def __init__(
        self,
        leases: LeaseStore,
        reach: Reach,
        *,
        user_limit: int,
        project_limit: int,
        lease_s: float,
        unlimited: frozenset[str] = frozenset(),
    ) -> None:
        """Make the admission of a worker.

        Args:
            leases: the registries.
            reach: of connections, those of other workers too.
            user_limit: connections a user; beyond it the oldest is evicted.
            project_limit: connections a project; beyond it the new one is refused.
            lease_s: how long an entry lives without renewal.
            unlimited: the projects for which no limit of a project holds.
        """
        self._leases = leases
        self._reach = reach
        self._user_limit = user_limit
        self._project_limit = project_limit
        self._lease_s = lease_s
        self._unlimited = unlimited
        self._entries: dict[str, ConnectionRecord] = {}
        self._renewing = asyncio.Lock()
        self._to_give_back: dict[str, tuple[ConnectionRecord, float]] = {}
        self._has_to_give_back = asyncio.Event()

    def limit(self, *, user: int, project: int) -> None:
        """Let in by other limits from now on; who is in already stays."""
        self._user_limit, self._project_limit = user, project

    async def admit(self, entry: ConnectionRecord) -> list[ConnectionRecord]:
        """Let a connection in; returns those it replaces, when they have been told to go.

        Raises:
            ProjectFullError: no place is left in the project.
            BusyError, StoreUnavailableError: the registries could not be reached, or those that it
                replaces could not be told. It has no place then.
        """
        try:
            if not await self._take_place(entry):
                raise ProjectFullError(
                    f"The project has {self._project_limit} connections, as many as it may have"
                )
            evicted = await self._leases.register(entry, limit=self._user_limit)
            # Not before: a renewal would take the place that it has not yet for one that it lost.
            self._entries[entry.connection_id] = entry
            for old in evicted:
                await self._reach.evict(old)
        except ProjectFullError:
            raise
        except BaseException:
            # It may have its places all the same, where only the answer was lost. Whom it was to
            # replace is let in anew by its own worker, or closed.
            self._entries.pop(entry.connection_id, None)
            self._give_back_later(entry)
            raise
        return evicted

    async def _take_place(self, entry: ConnectionRecord) -> bool:
        limit = NO_LIMIT if entry.project_id in self._unlimited else self._project_limit
        return await self._leases.admit(entry, limit=limit)

    async def release(self, entry: ConnectionRecord) -> None:
        """Give a connection's place back, now or, where MongoDB does not answer, in a while."""
        if self._entries.pop(entry.connection_id, None) is None:
            return
        async with self._renewing:
            pass  # a renewal that began before may let the entry in anew, so it has to be over
        try:
            await self._leases.release(entry)
        except StoreUnavailableError as error:
            _log.warning("lease_not_released", error=str(error))
            self._give_back_later(entry)

    def note(self, entry: ConnectionRecord) -> None:
        """Renew an entry as it is now, from the next time on; nothing where it was released."""
        if entry.connection_id in self._entries:
            self._entries[entry.connection_id] = entry

    async def run(self) -> None:
        """Renew leases, and give back what could not be given back, until cancelled."""
        interval_s = self._lease_s / 3  # two renewals may fail before a place is lost
        now_s = asyncio.get_running_loop().time
        renew_at_s = now_s() + interval_s
        while True:
            try:
                async with asyncio.timeout_at(renew_at_s):
                    await self._has_to_give_back.wait()
            except TimeoutError:
                renew_at_s = now_s() + interval_s
                await self._try(self._renew(), "leases_not_renewed")
            self._has_to_give_back.clear()
            await self._try(self._give_back(), "leases_not_released")

    async def _try(self, doing: Coroutine[Any, Any, None], failure: str) -> None:
        try:
            await doing
        except StoreUnavailableError as error:
            _log.warning(failure, error=str(error))
        except Exception:  # noqa: BLE001 - without this loop every place would lapse
            _log.exception(failure)

    def _give_back_later(self, entry: ConnectionRecord) -> None:
        until_s = asyncio.get_running_loop().time() + self._lease_s
        self._to_give_back[entry.connection_id] = (entry, until_s)
        self._has_to_give_back.set()

    async def _give_back(self) -> None:
        """Take out of the registries what may be there for nobody; later its lease is over."""
        now_s = asyncio.get_running_loop().time()
        listed = [entry for entry, until_s in self._to_give_back.values() if now_s < until_s]
        known = list(self._to_give_back)
        await asyncio.gather(*map(self._leases.release, listed))
        for connection_id in known:
            del self._to_give_back[connection_id]

    async def _renew(self) -> None:
        """Renew what is held, some at a time: all at once would be megabytes of documents."""
        held = list(self._entries)
        for start in range(0, len(held), RENEWED_AT_ONCE):
            async with self._renewing:
                entries = map(self._entries.get, held[start : start + RENEWED_AT_ONCE])
                still = [self._measured(entry) for entry in entries if entry is not None]
                if not still:
                    continue
                placed = await self._leases.renew(still)
                lost = [entry for entry in still if entry.connection_id not in placed]
                if lost:
                    _log.warning("places_lost", connections=len(lost))
                    # All of them are over before the next one, who may be leaving, has a turn.
                    ends = await asyncio.gather(*map(self._readmit, lost), return_exceptions=True)
                    for error in ends:
                        if error is not None:
                            raise error

    async def _readmit(self, entry: ConnectionRecord) -> None:
        """Let in anew whose place another has, or close it.

        As its user's oldest: what was opened elsewhere since is what the user looks at.
        """
        if not await self._take_place(entry):
            self._entries.pop(entry.connection_id, None)  # it may have left meanwhile
            self._give_back_later(entry)  # its user's registry may list it
            self._reach.turn_away(entry)
            return
        for old in await self._leases.register(entry, limit=self._user_limit, oldest=True):
            await self._reach.evict(old)

    def _measured(self, entry: ConnectionRecord) -> ConnectionRecord:
        behind_bytes = self._reach.behind_bytes(entry.connection_id)
        return replace(entry, behind_bytes=behind_bytes) if behind_bytes else entry
