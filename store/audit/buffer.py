"""The audit log's collection as it is: how full it is, and which documents there are."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from rtserver.audit.record.buffer_usage import BufferUsage
from rtserver.audit.record.chain import Head
from rtserver.eventlog.api import EventLog
from rtserver.model.events import AUDIT_PROJECT
from rtserver.model.positions import Position
from store.audit.archive import ARCHIVES
from store.base.client import Database, core_errors
from store.log.collection import AUDIT

READ_TIMEOUT_MS = 20_000


class _Place(msgspec.Struct):
    chain: str
    n: int
    hash: str


class MongoAuditBuffer:
    """`rtserver.audit.record.buffer_usage.AuditBuffer` on MongoDB."""

    def __init__(self, database: Database, log: EventLog, *, collection: str = AUDIT) -> None:
        """Make it.

        Args:
            database: where the log is.
            log: the log.
            collection: that it is in: `AUDIT` or `STRANGERS`.
        """
        self._audit = database[collection]
        self._archives = database[ARCHIVES]
        self._log = log

    @core_errors
    async def usage(self) -> BufferUsage:
        """See `AuditBuffer.usage`."""
        oldest = await self._log.oldest(AUDIT_PROJECT)
        cursor = self._audit.aggregate([{"$collStats": {"storageStats": {}}}])
        (found,) = await cursor.to_list(1)
        stats = found["storageStats"]
        return BufferUsage(oldest, int(stats["size"]), int(stats.get("maxSize", 0)))

    @core_errors
    async def newest_of(self, chain: str) -> Head | None:
        """See `AuditBuffer.newest_of`."""
        document = await self._audit.find_one(
            {
                "project_id": AUDIT_PROJECT,
                # The keys of a chain's batches, see
                # `rtserver.audit.record.auditor`; ';' comes after ':'.
                "_id": {"$gte": f"audit:{chain}:", "$lt": f"audit:{chain};"},
            },
            {"last": 1, "events": {"$slice": -1}},
            sort=[("first", -1)],
            # From the newest backwards: it is not long ago that the chain ended.
            hint="sequence",
            max_time_ms=READ_TIMEOUT_MS,
        )
        if document is None:
            return None
        try:
            place = msgspec.json.decode(document["events"][0]["b"], type=_Place)
        except (msgspec.DecodeError, LookupError, TypeError):
            return None  # tampered with: `audit verify` says so
        return Head(place.n, place.hash, str(Position(self._log.epoch, int(document["last"]))))

    @core_errors
    async def archived(self, archive_id: str) -> Position | None:
        """How far an archive went when its writer last said so; None where nobody did."""
        document = await self._archives.find_one({"_id": archive_id})
        if document is None or "epoch" not in document:
            return None
        return Position(document["epoch"], document["seq"])

    async def documents(self, after: int, upto: int) -> AsyncIterator[dict[str, Any]]:
        """What is stored with `after < seq <= upto`, as it is, in order: `first`, `last`, `events`.

        Nothing can be taken for granted but that the two are whole numbers.

        Raises:
            DatabaseError: MongoDB does not answer.
        """
        cursor = self._audit.find(
            {"project_id": AUDIT_PROJECT, "first": {"$lte": upto}, "last": {"$gt": after}},
            {"first": 1, "last": 1, "events": 1},
            sort=[("first", 1)],
            batch_size=500,
        )
        try:
            async for document in cursor:
                if isinstance(document["first"], int) and isinstance(document["last"], int):
                    yield document
        finally:
            await cursor.close()
