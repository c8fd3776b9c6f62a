"""How many connections a user and a project may have, over all workers.

Every connection has an entry with a lease in the registry of its project and in that of its user.
A worker renews the entries of its connections; those of a dead worker lapse.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol

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

    async def register(self, entry: ConnectionRecord, *, limit: int) -> list[ConnectionRecord]:
        """Add an entry to its user; the oldest live ones that had to leave for it."""

    async def release(self, entry: ConnectionRecord) -> None:
        """Take an entry out of both registries."""

    async def renew(self, entries: Sequence[ConnectionRecord]) -> None:
        """Give entries a new lease, also those that had lapsed."""


class Admission:
    """Lets connections in, evicts a user's oldest, and keeps leases alive."""

    def __init__(
        self,
        leases: LeaseStore,
        *,
        user_limit: int,
        project_limit: int,
        lease_s: float,
        evict: Callable[[ConnectionRecord], Awaitable[None]],
        behind_bytes: Callable[[str], int | None] = lambda _connection_id: None,
    ) -> None:
        """Make the admission of a worker.

        Args:
            leases: the registries.
            user_limit: connections a user; beyond it the oldest is evicted.
            project_limit: connections a project; beyond it the new one is refused.
            lease_s: how long an entry lives without renewal.
            evict: closes a connection, wherever it is.
            behind_bytes: what waits for a connection of this worker.
        """
        self._leases = leases
        self._user_limit = user_limit
        self._project_limit = project_limit
        self._lease_s = lease_s
        self._evict = evict
        self._behind_bytes = behind_bytes
        self._entries: dict[str, ConnectionRecord] = {}
        self._renewing = asyncio.Lock()

    async def admit(
        self, entry: ConnectionRecord, *, limited: bool = True
    ) -> list[ConnectionRecord]:
        """Let a connection in; returns those it replaces, when they have been told to go.

        Args:
            entry: the connection.
            limited: whether the project's limit holds for it; the user's always does.

        Raises:
            ProjectFullError: no place is left in the project.
            StoreUnavailableError: the registries could not be reached.
        """
        limit = self._project_limit if limited else NO_LIMIT
        if not await self._leases.admit(entry, limit=limit):
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
        return evicted

    async def release(self, entry: ConnectionRecord) -> None:
        """Give a connection's place back. A failure is logged: the lease ends by itself."""
        if self._entries.pop(entry.connection_id, None) is None:
            return
        async with self._renewing:
            pass  # a renewal that began before puts the entry back, so it has to be over
        try:
            await self._leases.release(entry)
        except StoreUnavailableError as error:
            _log.warning("lease_not_released", error=str(error))

    def note(self, entry: ConnectionRecord) -> None:
        """Renew an entry as it is now, from the next time on; nothing where it was released."""
        if entry.connection_id in self._entries:
            self._entries[entry.connection_id] = entry

    async def run(self) -> None:
        """Renew leases until cancelled."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self._renew()
            except StoreUnavailableError as error:
                _log.warning("leases_not_renewed", error=str(error))

    async def _renew(self) -> None:
        """Renew what is held, some at a time: all at once would be megabytes of documents."""
        held = list(self._entries)
        for start in range(0, len(held), RENEWED_AT_ONCE):
            async with self._renewing:
                entries = map(self._entries.get, held[start : start + RENEWED_AT_ONCE])
                still = [self._measured(entry) for entry in entries if entry is not None]
                if still:
                    await self._leases.renew(still)

    def _measured(self, entry: ConnectionRecord) -> ConnectionRecord:
        behind_bytes = self._behind_bytes(entry.connection_id)
        return replace(entry, behind_bytes=behind_bytes) if behind_bytes else entry
