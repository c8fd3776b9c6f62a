"""Reading a log by its index: parts that are bounded in bytes, and counts without what is counted.

A log's documents have anything from a hundred bytes to 15 MiB, and MongoDB fills a reply up to
16 MiB whatever part of it is wanted. So the sizes are asked for first, and what fits then.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from bson import Timestamp
from motor.motor_asyncio import AsyncIOMotorCollection

from rtserver.eventlog.api import READ_BYTES, Horizon
from rtserver.lib.batching import Batcher
from rtserver.model.audience import Audience
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventPack
from store.log.collection import MAX_EVENTS_PER_PACK, read_pack

Collection = AsyncIOMotorCollection[Any]
Sight = Callable[[Audience], bool]
_Range = tuple[str, int, int]

MAX_READS = 4
"""At once: with more nothing would come sooner from one MongoDB."""
TURN_S = 20.0
"""How long to wait for a turn; each read has its own time-out."""

LOOKS_DOCUMENTS = (8, 512)
"""Of so many documents the sizes are asked for: a few large ones fill a part, or many small."""
READ_TIMEOUT_MS = 10_000
COUNT_BATCH_DOCUMENTS = 50
"""An audience may name a hundred users by long names."""
_SIZES = {"_id": 0, "first": 1, "last": 1, "size_bytes": {"$bsonSize": "$$ROOT"}}
_IN_ORDER = [("first", 1)]


def _range(project_id: str, after: int, upto: int | None) -> dict[str, Any]:
    """Selects the documents that hold events with `after < seq <= upto`."""
    # A pack that begins before `after` may reach beyond it, by a pack's length.
    first = {"$gt": after - MAX_EVENTS_PER_PACK}
    if upto is not None:
        first["$lte"] = upto
    return {"project_id": project_id, "first": first, "last": {"$gt": after}}


async def read_documents(
    collection: Collection,
    project_id: str,
    *,
    after: int,
    upto: int | None,
    limit: int,
    limit_bytes: int = READ_BYTES,
) -> list[dict[str, Any]]:
    """Documents that hold events with `after < seq <= upto`, in order, the first of them at least.

    Where that one is too large by itself, a part of its events is read, from `after` on; `first`
    and `last` are of what was read.

    Args:
        collection: the log's.
        project_id: whose events.
        after: events behind this number.
        upto: and not behind this one; None: to the end.
        limit: about so many events.
        limit_bytes: of the documents, but for the first event.
    """
    selection = _range(project_id, after, upto)
    count, last, part = 0, 0, None
    for look in LOOKS_DOCUMENTS:
        sizes = (
            await collection.find(selection, _SIZES, max_time_ms=READ_TIMEOUT_MS)
            .sort(_IN_ORDER)
            .limit(look)
            .batch_size(look)
            .to_list(look)
        )
        if not sizes:
            return []
        count = _fitting(sizes, limit, limit_bytes)
        last = sizes[count - 1]["first"]
        if count == 1 and sizes[0]["size_bytes"] > limit_bytes:
            part = _part(sizes[0], after, limit_bytes)
        if count < len(sizes) or len(sizes) < look:
            break
    # By the number too: where the oldest were overwritten meanwhile, others are not read for them.
    selection["first"] = {**selection["first"], "$lte": last}
    documents: list[dict[str, Any]] = (
        await collection.find(
            selection,
            None if part is None else {"events": {"$slice": part}},
            max_time_ms=READ_TIMEOUT_MS,
        )
        .sort(_IN_ORDER)
        .limit(count)
        .batch_size(count)
        .to_list(count)
    )
    if part is not None:
        for document in documents:
            document["first"] += part[0]
            document["last"] = document["first"] + len(document["events"]) - 1
    return documents


async def oldest_stored(collection: Collection, project_id: str) -> Horizon | None:
    """Where a project's events begin in the buffer; None where it has none there."""
    document = await collection.find_one(
        # A document that somebody tampered with may have no number, or no stamp.
        {"project_id": project_id, "first": {"$gt": 0}},
        {"_id": 0, "first": 1, "stamp": 1},
        sort=_IN_ORDER,
        max_time_ms=READ_TIMEOUT_MS,
    )
    if document is None:
        return None
    stamp = document.get("stamp")
    return Horizon(int(document["first"]), stamp.time if isinstance(stamp, Timestamp) else None)


def _fitting(sizes: list[dict[str, Any]], limit: int, limit_bytes: int) -> int:
    """How many documents make a part; 1 at least."""
    events = size_bytes = 0
    for count, document in enumerate(sizes):
        size_bytes += document["size_bytes"]
        if count and size_bytes > limit_bytes:
            return count
        events += document["last"] - document["first"] + 1
        if events >= limit:
            return count + 1
    return len(sizes)


def _part(document: dict[str, Any], after: int, limit_bytes: int) -> list[int]:
    """Which events of a document that is too large: how many to pass over, how many to take."""
    events = document["last"] - document["first"] + 1
    return [
        max(0, after + 1 - document["first"]),
        max(1, events * limit_bytes // document["size_bytes"]),
    ]


async def audiences(
    collection: Collection, project_id: str, *, after: int, upto: int
) -> AsyncIterator[tuple[Audience, int]]:
    """Whom the events with `after < seq <= upto` are for, and how many; no text leaves MongoDB.

    An audience may come more than once.
    """
    pipeline: list[dict[str, Any]] = [
        {"$match": _range(project_id, after, upto)},
        {
            "$project": {
                "first": 1,
                # A null for each event that has none, so that places in the array stay.
                "to": {"$map": {"input": "$events", "in": {"$ifNull": ["$$this.a", None]}}},
            }
        },
        {"$unwind": {"path": "$to", "includeArrayIndex": "place"}},
        {"$set": {"seq": {"$add": ["$first", "$place"]}}},
        {"$match": {"seq": {"$gt": after, "$lte": upto}}},
        {"$group": {"_id": "$to", "count": {"$sum": 1}}},
    ]
    cursor = collection.aggregate(
        pipeline,
        hint="sequence",
        allowDiskUse=True,
        batchSize=COUNT_BATCH_DOCUMENTS,
        maxTimeMS=READ_TIMEOUT_MS,
    )
    async for group in cursor:
        yield Audience.from_document(group["_id"]), group["count"]


class Reader:
    """Reads the log's collection for many, a few at a time: what is read at once is in memory."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._turns = asyncio.Semaphore(MAX_READS)
        self._counts: Batcher[_Range, Sight, int] = Batcher(self._count)

    async def read(
        self, project_id: str, epoch: str, *, after: int, upto: int, limit: int, limit_bytes: int
    ) -> list[EventPack]:
        """See `rtserver.eventlog.api.EventLog.read`."""
        async with self._turn():
            documents = await read_documents(
                self._collection,
                project_id,
                after=after,
                upto=upto,
                limit=limit,
                limit_bytes=limit_bytes,
            )
        packs: list[EventPack] = []
        for document in documents:
            pack = read_pack(document, epoch)
            if packs and pack.first != packs[-1].last + 1:
                break  # others were overwritten, or taken away, while these were read
            packs.append(pack)
        return packs

    async def count(self, events: _Range, sees: Sight) -> int:
        """See `rtserver.eventlog.api.EventLog.count`; `events` is project, after and upto."""
        return await self._counts(events, sees)

    async def _count(self, events: _Range, askers: Sequence[Sight]) -> list[int]:
        project_id, after, upto = events
        counts = [0] * len(askers)
        async with self._turn():
            async for audience, count in audiences(
                self._collection, project_id, after=after, upto=upto
            ):
                for index, sees in enumerate(askers):
                    if sees(audience):
                        counts[index] += count
        return counts

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise StoreUnavailableError("The log is read by too many; try again soon") from None
        try:
            yield
        finally:
            self._turns.release()
