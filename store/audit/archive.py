"""The store of the audit archive: who archives, and the records with their hours.

Collection `audit_archives`, a document for each directory:

    _id        the directory's id
    owner      the audit chain of the worker that archives; as unique as its process
    term       rises with every new holder, and whenever the old one takes it anew
    until      end of the lease
    epoch, seq how far the holder had come when it last renewed: for the others' metrics only
"""

from typing import Any

from bson import Int64
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from rtserver.audit.archive.file import HOUR_S
from rtserver.audit.archive.ports import Extent, Lease, LogReading
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import AUDIT_PROJECT
from rtserver.model.positions import Position
from store.base.client import Database, confirmed, core_errors
from store.base.leases import lapsed, until
from store.log.collection import (
    AUDIT,
    HEADS,
    CollectionProblemError,
    read_epoch,
    read_pack,
)
from store.log.reading import read_documents

ARCHIVES = "audit_archives"
MAX_READ_BYTES = 4 * 1024 * 1024


class MongoArchive:
    """`rtserver.audit.archive.ports.ArchiveStore` on MongoDB.

    Lease times are the database's own.
    """

    def __init__(self, database: Database, *, lease_s: float) -> None:
        self._database = database
        self._archives = database[ARCHIVES]
        # What a failover may take back must not be in the archive.
        self._records = confirmed(database)[AUDIT]
        self._heads = database[HEADS]
        self._lease_s = lease_s

    @core_errors
    async def acquire(self, archive_id: str, owner: str, *, above: int) -> Lease:
        """See `ArchiveStore.acquire`."""
        free = {"$or": [lapsed(), {"$eq": ["$owner", owner]}]}
        taken = {
            "owner": owner,
            "term": {"$add": [{"$max": ["$term", above]}, 1]},
            "until": until(self._lease_s),
        }
        document = await self._archives.find_one_and_update(
            {"_id": archive_id, "$expr": free},
            [{"$set": taken}],
            return_document=ReturnDocument.AFTER,
        )
        if document is None:
            try:  # MongoDB takes no `$expr` for an upsert
                document = await self._archives.find_one_and_update(
                    {"_id": archive_id, "owner": {"$exists": False}},
                    [{"$set": taken}],
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:  # it is there, and another's
                document = await self._archives.find_one({"_id": archive_id})
        if document is None:
            return Lease(None, None)
        position = None
        if "epoch" in document:
            position = Position(document["epoch"], document["seq"])
        return Lease(document["term"] if document["owner"] == owner else None, position)

    @core_errors
    async def renew(
        self, archive_id: str, owner: str, term: int, position: Position | None
    ) -> bool:
        """See `ArchiveStore.renew`."""
        fields: dict[str, Any] = {"until": until(self._lease_s)}
        if position is not None:
            fields |= {"epoch": position.epoch, "seq": Int64(position.seq)}
        result = await self._archives.update_one(
            {"_id": archive_id, "owner": owner, "term": term}, [{"$set": fields}]
        )
        return result.matched_count == 1

    @core_errors
    async def release(self, archive_id: str, owner: str, term: int) -> None:
        """See `ArchiveStore.release`."""
        await self._archives.update_one(
            {"_id": archive_id, "owner": owner, "term": term},
            [{"$set": {"until": "$$NOW"}}],
        )

    @core_errors
    async def epoch(self) -> str:
        """See `ArchiveStore.epoch`."""
        try:
            return await read_epoch(self._database, AUDIT)
        except CollectionProblemError:
            raise StoreUnavailableError("The audit log is not there at the moment") from None

    @core_errors
    async def read(self, after: int, limit: int) -> LogReading:
        """See `ArchiveStore.read`."""
        epoch = await self.epoch()
        documents = await read_documents(
            self._records,
            AUDIT_PROJECT,
            after=after,
            upto=None,
            limit=limit,
            limit_bytes=MAX_READ_BYTES,
        )
        reading = LogReading(epoch, more=bool(documents))
        for document in documents:
            pack = read_pack(document, epoch)
            if reading.packs and pack.first > reading.packs[-1][1].last + 1:
                break  # overwritten while it was read: what is missing shows in the next reading
            reading.packs.append((document["stamp"].time // HOUR_S, pack))
        if reading.packs and await self.epoch() != epoch:
            raise StoreUnavailableError("The audit log was replaced while it was read")
        return reading

    @core_errors
    async def extent(self) -> Extent:
        """See `ArchiveStore.extent`."""
        epoch = await self.epoch()
        of_log = {"project_id": AUDIT_PROJECT}
        oldest = await self._records.find_one(of_log, {"first": 1}, sort=[("first", 1)])
        newest = await self._records.find_one(of_log, {"last": 1}, sort=[("first", -1)])
        head = await self._heads.find_one({"_id": AUDIT_PROJECT})
        pipeline: list[dict[str, Any]] = [{"$collStats": {"storageStats": {}}}]
        async for stats in self._database[AUDIT].aggregate(pipeline):
            storage = stats["storageStats"]
            seq = max(0 if newest is None else newest["last"], 0 if head is None else head["seq"])
            return Extent(
                epoch=epoch,
                oldest=seq + 1 if oldest is None else oldest["first"],
                head=seq,
                size_bytes=storage["size"],
                capacity_bytes=storage.get("maxSize", 0),
            )
        raise StoreUnavailableError("The audit log is not there at the moment")
