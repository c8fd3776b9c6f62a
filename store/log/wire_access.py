"""The log's own connections to MongoDB, beside the driver's."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

from pymongo.errors import AutoReconnect
from pymongo.uri_parser import parse_uri

from store.base.client import Database
from store.log.access import ELSEWHERE, Following, check_inserted, insertion
from store.log.wire import Address, WireConnection


def is_plain(uri: str) -> bool:
    """Whether MongoDB is reached without TLS, a user or anything else that the driver is for."""
    if not uri.startswith("mongodb://"):  # the other is looked up in the DNS, and means TLS
        return False
    parsed = parse_uri(uri)
    asked = {name.lower() for name, value in parsed["options"].items() if value}
    return parsed["username"] is None and not any(
        name.startswith(("tls", "ssl", "auth", "proxy", "loadbalanced")) for name in asked
    )


class WireAccess:
    """`store.log.access.LogAccess` on two connections past the driver, for an `is_plain` address.

    The driver tells which node is primary. A connection that leads elsewhere is given up: a node
    that has stepped down goes on answering an open cursor, but gets no new events where it is cut
    off from the others.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._client = cast("Any", database.client)  # typed as if its properties were methods
        pool = self._client.options.pool_options
        self._connect_timeout_s: float | None = pool.connect_timeout
        self._reply_timeout_s: float | None = pool.socket_timeout
        self._writer: WireConnection | None = None
        self._writers = 0

    @property
    def instance(self) -> object:
        """See `LogAccess.instance`: a process that ends takes its connections along."""
        return self._writers

    async def ready(self) -> object:
        """See `LogAccess.ready`."""
        primary = await self._find_primary()
        if self._writer is None or not self._writer.is_open or self._writer.address != primary:
            await self.close()
            self._writers += 1
            self._writer = await self._open(primary)
        return self.instance

    async def insert(
        self, collection: str, documents: list[dict[str, Any]], *, at: object = None
    ) -> None:
        """See `LogAccess.insert`."""
        here = await self.ready()
        if at is not None and at != here:
            raise AutoReconnect(ELSEWHERE)
        assert self._writer is not None  # noqa: S101 - it is ready
        command = {**insertion(self._database, collection), "$db": self._database.name}
        check_inserted(await self._writer.command(command, documents))

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[Following]:
        """See `LogAccess.following`."""
        connection = await self._open(await self._find_primary())

        async def follow(command: dict[str, Any]) -> dict[str, Any]:
            if await self._find_primary() != connection.address:
                raise AutoReconnect(ELSEWHERE)
            return await connection.command({**command, "$db": self._database.name})

        try:
            yield Following(follow, lambda: self._look() == connection.address)
        finally:
            await connection.close()

    async def close(self) -> None:
        """See `LogAccess.close`."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()

    async def _open(self, address: Address) -> WireConnection:
        return await WireConnection.open(
            address,
            connect_timeout_s=self._connect_timeout_s,
            reply_timeout_s=self._reply_timeout_s,
            is_primary=lambda address: self._look() in (address, None),
        )

    async def _find_primary(self) -> Address:
        """Where the primary is, waiting for the driver to find one.

        Raises:
            DatabaseError: it found none in time.
        """
        address = self._look()
        if address is None:
            await self._database.command("ping")
            address = self._look()
        if address is None:
            raise AutoReconnect("MongoDB has no primary just now")
        return address

    def _look(self) -> Address | None:
        """Where the driver's monitor says that the primary is."""
        servers = self._client.topology_description.server_descriptions().values()
        return next((one.address for one in servers if one.is_writable), None)
