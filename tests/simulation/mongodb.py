"""A replica set in memory that fails as MongoDB does, and the driver's view of it for each worker.

A write is applied by the primary at once, and is on a majority a while later; then it is answered.
In between a failover may come: what no other member had is taken back. A primary that was cut off
goes on for those who still reach it: its local reads show what will be rolled back, its majority
reads are stale, and its writes are never confirmed. Answers get lost, whether or not the work was
done; the driver asks once more under the same number, and what was done already is answered in
another shape: a findAndModify then gives the whole document (MongoDB 6.0).
"""

import asyncio
import copy
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import Timestamp
from pymongo import ReturnDocument
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError, ExecutionTimeout

from tests.simulation.expressions import Document, matches, projected, updated

Collections = dict[str, dict[Any, Document]]
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
DUPLICATE_KEY = 11000
WAIT_S = 5.0
UNIQUE: dict[str, tuple[str, ...]] = {
    "events": ("project_id", "first"),
    "runs": ("proposal_id", "kind", "active"),
}
"""Beside `_id`. Of runs only while they are active."""


@dataclass
class Write:
    """One change of one document.

    Attributes:
        after: None where it was removed.
        number: of the driver's attempt, by which a second one is known.
        given: what a findAndModify gives.
        confirmed: done when a majority has it; fails where it is rolled back.
    """

    collection: str
    identity: Any
    after: Document
    number: int
    given: Document | None
    confirmed: asyncio.Future[None]


@dataclass
class Member:
    """A primary, real or deposed.

    Attributes:
        local: what it has.
        majority: what it knows a majority to have.
        pending: what it has beyond that, in order.
        numbers: the attempts that it has carried out.
    """

    local: Collections
    majority: Collections
    pending: list[Write] = field(default_factory=list)
    numbers: dict[int, Document | None] = field(default_factory=dict)
    deposed: bool = False


class ReplicaSet:
    """The members that anybody talks to.

    Attributes:
        primary: the one that a majority follows.
        stale: one that does not know yet that it is none; None where there is none.
        rolled_back: how many writes were taken back.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.primary = Member({}, {})
        self.stale: Member | None = None
        self.rolled_back = 0
        self.order = itertools.count(1)

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=asyncio.get_running_loop().time())

    def write(self, member: Member, write: Write) -> None:
        member.local.setdefault(write.collection, {})[write.identity] = write.after
        member.numbers[write.number] = write.given
        member.pending.append(write)
        # Retrieved here: who asked may have gone.
        write.confirmed.add_done_callback(lambda done: done.cancelled() or done.exception())
        if not member.deposed:
            loop = asyncio.get_running_loop()
            loop.call_later(self.chance.uniform(0.001, 0.08), self._confirm, member, write)

    def _confirm(self, member: Member, write: Write) -> None:
        """A majority has a write, and so all before it."""
        if member is not self.primary or write not in member.pending:
            return
        while member.pending:
            first = member.pending.pop(0)
            self._keep(member, first)
            if first is write:
                return

    def _keep(self, member: Member, write: Write) -> None:
        member.majority.setdefault(write.collection, {})[write.identity] = write.after
        if not write.confirmed.done():
            write.confirmed.set_result(None)

    def fail_over(self, *, stale_s: float) -> None:
        """Another member becomes primary; the old one goes on for as long as it does not know.

        It has a part of what was not confirmed: what had come to it by then.
        """
        old = self.primary
        if self.stale is not None:
            self._end_stale(self.stale)
        had = old.pending[: self.chance.randint(0, len(old.pending))]
        new = Member(copy.deepcopy(old.majority), old.majority)
        old.majority = copy.deepcopy(old.majority)
        lost = {write.number for write in old.pending[len(had) :]}
        new.numbers = {n: given for n, given in old.numbers.items() if n not in lost}
        for write in had:
            new.local.setdefault(write.collection, {})[write.identity] = write.after
            self._keep(new, write)
        old.pending = old.pending[len(had) :]
        old.deposed, self.primary, self.stale = True, new, old
        asyncio.get_running_loop().call_later(stale_s, self._end_stale, old)

    def _end_stale(self, member: Member) -> None:
        self.rolled_back += len(member.pending)
        for write in member.pending:
            if not write.confirmed.done():
                write.confirmed.set_exception(AutoReconnect("not primary any more"))
        member.pending.clear()
        if self.stale is member:
            self.stale = None


@dataclass
class Link:
    """A worker's way to MongoDB.

    Attributes:
        clings: it still talks to a primary that was deposed.
        stalled: a future while the worker stands still: nothing is asked, no answer read.
        losses: how likely an answer is lost.
    """

    replica_set: ReplicaSet
    chance: random.Random
    clings: bool = False
    stalled: asyncio.Future[None] | None = None
    losses: float = 0.0
    shapes: int = 0

    def member(self) -> Member:
        stale = self.replica_set.stale
        return stale if self.clings and stale is not None else self.replica_set.primary

    async def travel(self) -> None:
        await asyncio.sleep(self.chance.uniform(0.0005, 0.01))
        while self.stalled is not None:
            await asyncio.shield(self.stalled)

    def loses(self) -> bool:
        return self.chance.random() < self.losses


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
        found = await self._collection.select(self._query, self._projection)
        for name, direction in reversed(self._sort):
            found.sort(key=lambda one: one[0][name], reverse=direction < 0)
        given = [shown for _, shown in found]
        return given[: self._limit] if self._limit else given

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

    async def select(self, query: Document, projection: Any) -> list[tuple[Document, Document]]:
        """The documents that match, whole and as they are given out, in the order of insertion."""
        await self._link.travel()
        documents = await self._database.readable(self.name)
        now = self._set.now()
        found = [
            (one, projected(one, projection, now)) for one in documents if matches(one, query, now)
        ]
        await self._link.travel()
        return found

    def find(self, query: Document, projection: Any = None, **_options: Any) -> Cursor:
        return Cursor(self, query, projection)

    async def find_one(
        self, query: Document, projection: Any = None, *, sort: Any = None, **_options: Any
    ) -> Document | None:
        cursor = self.find(query, projection)
        found = await (cursor.sort(sort) if sort else cursor).limit(1).to_list(1)
        return found[0] if found else None

    async def aggregate(self, pipeline: list[Document], **_options: Any) -> AsyncIterator[Document]:
        """`$match` and `$project` alone."""
        (match, project) = pipeline
        for _, shown in await self.select(match["$match"], project["$project"]):
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
            if member.deposed and self._set.stale is not member:
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
                    await asyncio.shield(one.confirmed)
            except AutoReconnect:
                if attempt == 2:
                    raise
                continue
            await self._link.travel()
            if not self._link.loses():
                return copy.deepcopy(given), again
        raise AutoReconnect("connection closed")

    def _write(self, number: int, identity: Any, after: Document, given: Any = None) -> Write:
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return Write(self.name, identity, after, number, given, confirmed)

    def _insertion(self, document: Document) -> Callable[[Member, int], Write | None]:
        def carry_out(member: Member, number: int) -> Write:
            made = copy.deepcopy(document)
            present = member.local.get(self.name, {})
            if made["_id"] in present:
                raise DuplicateKeyError("_id", DUPLICATE_KEY, {"keyPattern": {"_id": 1}})
            self._check_unique(made, present.values())
            if "stamp" in made:
                made["stamp"] = self._database.timestamp()
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
            before = next((one for one in present.values() if matches(one, query, now)), None)
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
        documents = list(self._link.member().local.get(self.name, {}).values())
        for one in [each for each in documents if matches(each, query, self._set.now())]:
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

    def timestamp(self) -> Timestamp:
        at_s = int(asyncio.get_running_loop().time()) + 1000
        return Timestamp(at_s, next(self.link.replica_set.order))

    async def readable(self, name: str) -> Iterator[Document]:
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
            snapshot = list(member.local.get(name, {}).values())
            for one in pending:
                await asyncio.shield(one.confirmed)
            return iter(snapshot)
        source = member.majority if self._concern == "majority" else member.local
        return iter(list(source.get(name, {}).values()))
