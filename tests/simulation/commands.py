"""The commands of which the log's tail, its life and its marks are made."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

from pymongo.errors import AutoReconnect, ExecutionTimeout, OperationFailure

from store.log.access import ELSEWHERE, DriverAccess, Following
from store.log.collection import EVENTS
from tests.simulation.expressions import Document, selected
from tests.simulation.replica_set import Link, Member, ReplicaSet

UUID = b"0123456789abcdef"
CAPPED_POSITION_LOST = 136
IDS = iter(range(1, 1 << 62))


def batch_of(documents: list[Document], name: str, cursor_id: int = 0) -> Document:
    return {name: documents, "id": cursor_id}


async def run_command(link: Link, command: Any) -> Document:
    """A command by way of the driver.

    Raises:
        AutoReconnect, ExecutionTimeout: there is no answer.
    """
    replica_set = link.replica_set
    await link.travel()
    member = link.member()
    if link.loses() and link.loses():
        raise AutoReconnect("connection closed")
    operation_time = replica_set.timestamp()
    found: list[Document] = []
    match command:
        case {"listCollections": 1}:
            found = [{"name": EVENTS, "options": {"capped": True}, "info": {"uuid": UUID}}]
        case {"find": name, "filter": pack, "readConcern": {"level": level}}:
            if level == "majority":
                await confirmed(member)
            documents = member.majority if level == "majority" else member.local
            found = selected(documents.get(name, {}), pack, replica_set.now())
        case "ping" | {"killCursors": _}:
            pass
        case _:
            raise NotImplementedError(command)
    await link.travel()
    return {"cursor": batch_of(found, "firstBatch"), "operationTime": operation_time}


async def confirmed(member: Member) -> None:
    """What a majority read after now waits for.

    Raises:
        ExecutionTimeout: no majority confirms what the member has.
        AutoReconnect: it was rolled back.
    """
    try:
        async with asyncio.timeout(5):
            for one in list(member.pending):
                await one.confirmed()
    except TimeoutError:
        raise ExecutionTimeout("no majority confirms it") from None


class TailConnection:
    """A connection to one member, with at most one tailing cursor."""

    def __init__(self, link: Link, member: Member) -> None:
        self._link = link
        self._set: ReplicaSet = link.replica_set
        self._member = member
        self._next = 0
        self._is_deaf = False
        self._since: Any = None

    async def command(self, command: Document) -> Document:
        """Carry out what the tail asks for.

        Raises:
            AutoReconnect: the connection is lost, or leads elsewhere.
            OperationFailure: what comes next was overwritten.
        """
        link, member = self._link, self._member
        await link.travel()
        if link.member() is not member:
            raise AutoReconnect(ELSEWHERE)
        if link.loses() or not self._set.answers(member):
            raise AutoReconnect("connection closed")
        if not command.get("tailable") and "find" in command:
            cursor = batch_of(self._documents()[:1], "firstBatch")
        elif "find" in command:
            cursor = self._open(command)
        else:
            cursor = await self._more(command["maxTimeMS"] / 1000)
        operation_time = self._set.timestamp()
        await link.travel()
        if link.loses():
            raise AutoReconnect("connection closed")
        return {"cursor": cursor, "operationTime": operation_time}

    def _documents(self, start: int = 0) -> list[Document]:
        return list(itertools.islice(self._member.local.get(EVENTS, {}).values(), start, None))

    def _open(self, command: Document) -> Document:
        self._since = command["filter"]["stamp"]["$gte"]
        self._next = self._member.overwritten
        found = self._documents()
        # A document that is not committed yet counts, but the scan found nothing and is at its end.
        self._is_deaf = not found
        exists = found or self._member.inserting
        return batch_of(self._fresh(), "firstBatch", next(IDS) if exists else 0)

    def _fresh(self) -> list[Document]:
        if self._is_deaf:
            return []
        if self._next < self._member.overwritten:
            raise OperationFailure("capped position lost", CAPPED_POSITION_LOST)
        found = self._documents(self._next - self._member.overwritten)
        self._next += len(found)
        return [one for one in found if one["stamp"] >= self._since]

    async def _more(self, timeout_s: float) -> Document:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        while not (found := self._fresh()) and (left_s := end_s - loop.time()) > 0:
            await self._member.growth(left_s)
            if not self._set.answers(self._member):
                raise AutoReconnect("connection closed")
        return batch_of(found, "nextBatch", 1)


class Access(DriverAccess):
    """What it promises, on the members that are there."""

    instance: object = None

    def __init__(self, database: Any) -> None:
        super().__init__(database)
        self._link: Link = database.link
        self._simulated: Any = database

    async def ready(self) -> object:
        await self._link.travel()
        self.instance = self._link.member()
        return self.instance

    async def insert(
        self, collection: str, documents: list[dict[str, Any]], *, at: object = None
    ) -> None:
        self.instance = self._link.member()
        await self._simulated[collection].insert_many(documents, only_at=at)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[Following]:
        await self._link.travel()
        link, here = self._link, self._link.member()
        yield Following(TailConnection(link, here).command, lambda: link.member() is here)
