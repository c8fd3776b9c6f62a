"""As much of the driver's database as is used, over a `Link` to the simulated replica set."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError, ExecutionTimeout

from store.log.collection import EVENTS
from tests.simulation.commands import run_command
from tests.simulation.expressions import (
    Document,
    copied,
    piped,
    projected,
    selected,
    updated,
)
from tests.simulation.replica_set import Link, Member, Write

DUPLICATE_KEY = 11000
WAIT_S = 5.0
UNIQUE: dict[str, tuple[str, ...]] = {
    EVENTS: ("project_id", "first"),
    "runs": ("proposal_id", "kind", "active"),
}
"""Beside `_id`. Of runs only while they are active."""


class Cursor:
    """What a find selects."""

    def __init__(self, collection: "Collection", query: Document, projection: Any) -> None:
        self._collection = collection
        self._query = query
        self._projection = projection
        self._sort: list[tuple[str, int]] = []
        self._limit = 0

    def sort(self, key: Any, direction: int = 1) -> "Cursor":
        self._sort = [(key, direction)] if isinstance(key, str) else list(key)
        return self

    def limit(self, count: int) -> "Cursor":
        self._limit = count
        return self

    def max_time_ms(self, _ms: int) -> "Cursor":
        return self

    batch_size = max_time_ms

    async def to_list(self, _count: int) -> list[Document]:
        found, now = await self._collection.select(self._query)
        for name, direction in reversed(self._sort):
            found.sort(key=lambda one: one[name], reverse=direction < 0)
        given = found[: self._limit] if self._limit else found
        return [projected(one, self._projection, now) for one in given]

    async def __aiter__(self) -> AsyncIterator[Document]:
        for document in await self.to_list(0):
            yield document


class Collection:
    """As much of the driver's collection as is used."""

    def __init__(self, database: "Database", name: str) -> None:
        self._database = database
        self._link = database.link
        self._set = database.link.replica_set
        self.name = name

    async def create_index(self, *_keys: Any, **_options: Any) -> None:
        """The unique ones are there."""

    # Reads

    async def select(self, query: Document) -> tuple[list[Document], datetime]:
        """The documents that match, in the order of insertion, and when that was."""
        await self._link.travel()
        documents = await self._database.readable(self.name)
        now = self._set.now()
        found = selected(documents, query, now)
        await self._link.travel()
        return found, now

    def find(self, query: Document, projection: Any = None, **_options: Any) -> Cursor:
        return Cursor(self, query, projection)

    async def find_one(
        self, query: Document, projection: Any = None, *, sort: Any = None, **_options: Any
    ) -> Document | None:
        cursor = self.find(query, projection)
        found = await (cursor.sort(sort) if sort else cursor).limit(1).to_list(1)
        return found[0] if found else None

    async def aggregate(self, pipeline: list[Document], **_options: Any) -> AsyncIterator[Document]:
        match, *stages = pipeline
        found, now = await self.select(match["$match"])
        for shown in piped(found, stages, now):
            yield shown

    # Writes

    async def _attempts(
        self, carry_out: Callable[[Member, int], Write | None], only_at: object = None
    ) -> tuple[Any, bool]:
        """Carry a write out as the driver does: once more where the answer did not come.

        Args:
            carry_out: does it on a member.
            only_at: the member that it is for; then it is not tried again.

        Returns:
            What a findAndModify gives, and whether that is the answer to a second attempt.

        Raises:
            AutoReconnect: the second answer did not come either; what was done is not known.
        """
        number = next(self._set.order)
        for attempt in (1, 2):
            await self._link.travel()
            if self._link.loses():
                continue  # it did not even arrive
            member = self._link.member()
            if only_at is not None and (attempt == 2 or only_at is not member):
                break
            if self.name == EVENTS and not member.local.get(EVENTS):
                await self._count_first(member)
            if not self._set.answers(member):
                continue
            if number in member.numbers:
                self._link.shapes += 1
                given, again = member.numbers[number], True
                pending = [one for one in member.pending if one.number == number]
            else:
                write = carry_out(member, number)
                if write is None:
                    await self._link.travel()
                    return None, False
                self._set.write(member, write)
                given, again, pending = write.given, False, [write]
            try:
                for one in pending:
                    await one.confirmed()
            except AutoReconnect:
                if attempt == 2:
                    raise
                continue
            await self._link.travel()
            if not self._link.loses():
                return copied(given), again
        raise AutoReconnect("connection closed")

    async def _count_first(self, member: Member) -> None:
        """The first document of the log counts a moment before it can be read."""
        member.inserting += 1
        await asyncio.sleep(self._set.chance.uniform(0, 0.03))
        member.inserting -= 1

    def _write(self, number: int, identity: Any, after: Document, given: Any = None) -> Write:
        return Write(self.name, identity, after, number, given)

    def _insertion(self, document: Document) -> Callable[[Member, int], Write | None]:
        def carry_out(member: Member, number: int) -> Write:
            made = copied(document)
            present = member.local.get(self.name, {})
            if made["_id"] in present:
                raise DuplicateKeyError("_id", DUPLICATE_KEY, {"keyPattern": {"_id": 1}})
            self._check_unique(made, present.values())
            if "stamp" in made:
                made["stamp"] = self._set.timestamp()
            return self._write(number, made["_id"], made)

        return carry_out

    def _check_unique(self, made: Document, present: Any) -> None:
        names = UNIQUE.get(self.name, ())
        if names and all(name in made for name in names):
            for one in present:
                if one["_id"] != made["_id"] and all(one.get(n) == made[n] for n in names):
                    pattern = dict.fromkeys(names, 1)
                    raise DuplicateKeyError("unique", DUPLICATE_KEY, {"keyPattern": pattern})

    async def insert_one(self, document: Document, *, only_at: object = None) -> None:
        await self._attempts(self._insertion(document), only_at)

    async def insert_many(self, documents: list[Document], *, only_at: object = None) -> None:
        for index, document in enumerate(documents):
            try:
                await self.insert_one(document, only_at=only_at)
            except DuplicateKeyError as error:
                failed = {"index": index, "code": DUPLICATE_KEY, **(error.details or {})}
                raise BulkWriteError({"writeErrors": [failed]}) from None

    async def find_one_and_update(
        self, query: Document, update: Any, *, upsert: bool = False, projection: Any = None,
        return_document: Any = ReturnDocument.BEFORE,
    ) -> Document | None:  # fmt: skip
        def carry_out(member: Member, number: int) -> Write | None:
            now = self._set.now()
            present = member.local.get(self.name, {})
            before = next(iter(selected(present, query, now)), None)
            if before is None:
                if not upsert:
                    return None
                before = {"_id": query["_id"]}
                if before["_id"] in present:
                    raise DuplicateKeyError("_id", DUPLICATE_KEY, {"keyPattern": {"_id": 1}})
            after = updated(before, update, now)
            given = after if return_document == ReturnDocument.AFTER else before
            return self._write(number, after["_id"], after, given)

        given, again = await self._attempts(carry_out)
        if given is None:
            return None
        if again:  # the second time without the projection
            whole: Document = given
            return whole
        return projected(given, projection, self._set.now())

    async def update_one(self, query: Document, update: Any, *, upsert: bool = False) -> None:
        await self.find_one_and_update(query, update, upsert=upsert)

    async def update_many(self, query: Document, update: Any) -> None:
        await self._link.travel()
        documents = self._link.member().local.get(self.name, {})
        for one in selected(documents, query, self._set.now()):
            await self.update_one({"_id": one["_id"], **query}, update)

    async def bulk_write(self, updates: list[Any], *, ordered: bool) -> None:
        assert not ordered
        for one in updates:
            await self.update_one(one._filter, one._doc, upsert=bool(one._upsert))


class Database:
    """As much of the driver's database as is used."""

    def __init__(self, link: Link, concern: str = "local") -> None:
        self.link = link
        self._concern = concern

    def __getitem__(self, name: str) -> Collection:
        return Collection(self, name)

    def with_options(self, *, read_concern: Any) -> "Database":
        return Database(self.link, read_concern.level)

    @property
    def name(self) -> str:
        return "simulated"

    async def command(self, command: Any, **_options: Any) -> Document:
        return await run_command(self.link, command)

    async def readable(self, name: str) -> dict[Any, Document]:
        """What can be read under the read concern.

        Raises:
            AutoReconnect, ExecutionTimeout: there is no answer.
        """
        link, member = self.link, self.link.member()
        if link.loses() and link.loses():
            raise AutoReconnect("connection closed")
        if self._concern == "linearizable":
            pending = list(member.pending)
            if member.deposed:
                await asyncio.sleep(WAIT_S / 5)
                raise ExecutionTimeout("no majority confirms that this is the primary")
            snapshot = dict(member.local.get(name, {}))
            for one in pending:
                await one.confirmed()
            return snapshot
        source = member.majority if self._concern == "majority" else member.local
        return source.get(name, {})
