"""Access to a log's collection: what writes packs, and what follows them."""

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pymongo.errors import AutoReconnect, BulkWriteError

from store.base.client import Database

ELSEWHERE = "another node is primary now"
Command = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Runs a command on the database and gives its reply."""


@dataclass(frozen=True, slots=True)
class Following:
    """The way of one tailing cursor.

    Attributes:
        command: runs its commands.
        is_on_primary: whether the node that answers them is primary still, as far as is known here.
            One that is not may show what a majority has at another place, or never had.
    """

    command: Command
    is_on_primary: Callable[[], bool]


def insertion(database: Database, collection: str) -> dict[str, Any]:
    """The command that inserts, but for the documents."""
    concern = database.write_concern.document
    return {"insert": collection, "ordered": True, "writeConcern": concern}


def check_inserted(reply: Mapping[str, Any]) -> None:
    """See that everything was inserted.

    Raises:
        BulkWriteError: what was refused, and of what no majority is known to have it.
    """
    errors = reply.get("writeErrors", [])
    concern = [reply["writeConcernError"]] if "writeConcernError" in reply else []
    if errors or concern:
        raise BulkWriteError({"writeErrors": errors, "writeConcernErrors": concern})


class LogAccess(Protocol):
    """What the log's writer and its tail need besides reading.

    Whatever fails raises `store.base.client.DatabaseError`.
    """

    @property
    def instance(self) -> object:
        """Differs where inserts may have gone to another MongoDB process than before.

        That one may have been started on files that were put back. The other way round is no harm.
        """

    async def ready(self) -> object:
        """Reach the primary; its `instance`.

        What decides what is inserted is read after this. An insert that would go to another
        primary all the same is not made: what was read of the first may be rolled back there.
        """

    async def insert(
        self, collection: str, documents: list[dict[str, Any]], *, at: object = None
    ) -> None:
        """Insert, in order and once; returns when a majority has all. One call at a time.

        Args:
            collection: where.
            documents: with their `_id`.
            at: what `ready` returned; None: wherever the primary is by now.

        Raises:
            BulkWriteError: what was refused, and of what no majority is known to have it.
            AutoReconnect: another node may be primary than `at`, among other things.
        """

    def following(self) -> AbstractAsyncContextManager[Following]:
        """For commands that belong together: those of one tailing cursor."""

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

    async def ready(self) -> object:
        """See `LogAccess.ready`."""
        if not self.instance:
            await self._database.command("ping")
        return self.instance

    async def insert(
        self, collection: str, documents: list[dict[str, Any]], *, at: object = None
    ) -> None:
        """See `LogAccess.insert`."""
        if at is not None and at != self.instance:
            raise AutoReconnect(ELSEWHERE)
        # As a command: inserts by the driver's methods are sent again, also to the next primary.
        check_inserted(
            await self._database.command(insertion(self._database, collection), documents=documents)
        )

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[Following]:
        """See `LogAccess.following`."""
        # A cursor belongs to the session that opened it. Left to itself the driver takes any
        # session from its pool for each command, and under load that is soon another one.
        client = self._database.client
        async with await client.start_session(causal_consistency=False) as session:
            command = functools.partial(self._database.command, session=session)
            here = await self.ready()
            yield Following(command, lambda: self.instance == here)

    async def close(self) -> None:
        """The driver keeps its connections."""
