"""Access to a log's collection: what writes packs, and what follows them."""

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, cast

from pymongo.errors import DuplicateKeyError

from store.base.client import Database

Command = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Runs a command on the database and gives its reply."""


class LogAccess(Protocol):
    """What the log's writer and its tail need besides reading.

    Whatever fails raises `store.base.client.DatabaseError`.
    """

    @property
    def instance(self) -> object:
        """Differs where inserts may have gone to another MongoDB process than before.

        That one may have been started on files that were put back. The other way round is no harm.
        """

    async def insert(self, collection: str, documents: list[dict[str, Any]]) -> None:
        """Insert, in order; returns when a majority has all. One call at a time.

        Raises:
            BulkWriteError: what was refused, and of what no majority is known to have it.
        """

    def following(self) -> AbstractAsyncContextManager[Command]:
        """Commands that belong together: those of one tailing cursor."""

    async def close(self) -> None:
        """Give back what inserting holds. The next insert takes it anew."""


class DriverAccess:
    """`LogAccess` by way of the driver."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def instance(self) -> object:
        """See `LogAccess.instance`: each process has an id of its own, by which it is known."""
        client = cast("Any", self._database.client)  # typed as if its properties were methods
        servers = client.topology_description.server_descriptions().values()
        return [one.topology_version for one in servers if one.is_writable]

    async def insert(self, collection: str, documents: list[dict[str, Any]]) -> None:
        """See `LogAccess.insert`."""
        if len(documents) == 1:
            # Half the driver's work; but where it is refused, it does not say all that counts.
            with contextlib.suppress(DuplicateKeyError):
                await self._database[collection].insert_one(documents[0])
                return
        await self._database[collection].insert_many(documents)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[Command]:
        """See `LogAccess.following`."""
        # A cursor belongs to the session that opened it. Left to itself the driver takes any
        # session from its pool for each command, and under load that is soon another one.
        client = self._database.client
        async with await client.start_session(causal_consistency=False) as session:
            yield functools.partial(self._database.command, session=session)

    async def close(self) -> None:
        """The driver keeps its connections."""
