"""The registry of workers in MongoDB.

_id chain, worker_id, host, pid, n, hash, id, ended, lease_until, claimed_until (while somebody
tells that the worker is lost)
"""

from typing import Any

from bson import Int64
from pymongo import ReturnDocument

from rtserver.audit.record.workers import Worker
from store.base.client import Database, core_errors
from store.base.leases import lapsed, until

WORKERS = "workers"
STRANGERS_WORKERS = "audit_strangers_workers"


class MongoWorkers:
    """`rtserver.audit.record.workers.WorkerStore` on MongoDB.

    Lease times are the database's own.
    """

    def __init__(self, database: Database, *, lease_s: float, collection: str = WORKERS) -> None:
        self._workers = database[collection]
        self._lease_s = lease_s

    @core_errors
    async def renew(self, worker: Worker) -> None:
        """See `WorkerStore.renew`."""
        fields = {
            "worker_id": {"$literal": worker.worker_id},
            "host": {"$literal": worker.host},
            "pid": worker.pid,
            "n": Int64(worker.n),
            "hash": worker.hash,
            "id": worker.id,
            "ended": worker.ended,
            "lease_until": until(self._lease_s),
        }
        await self._workers.update_one({"_id": worker.chain}, [{"$set": fields}], upsert=True)

    @core_errors
    async def withdraw(self, chain: str) -> None:
        """See `WorkerStore.withdraw`."""
        await self._workers.delete_one({"_id": chain})

    @core_errors
    async def listed(self) -> list[Worker]:
        """See `WorkerStore.listed`."""
        return [_worker(document) async for document in self._workers.find().sort("_id", 1)]

    @core_errors
    async def leases(self) -> list[tuple[str, float]]:
        """See `rtserver.presence.fleet.Leases`."""
        left_ms = {"$subtract": ["$lease_until", "$$NOW"]}
        found = self._workers.find({}, {"worker_id": 1, "left_ms": left_ms})
        return [(worker["worker_id"], worker["left_ms"] / 1000) async for worker in found]

    @core_errors
    async def claim_lapsed(self) -> Worker | None:
        """See `WorkerStore.claim_lapsed`."""
        wanted = {
            "ended": {"$ne": True},
            "$expr": {
                "$and": [
                    lapsed("$lease_until"),
                    lapsed({"$ifNull": ["$claimed_until", "$lease_until"]}),
                ]
            },
        }
        document = await self._workers.find_one_and_update(
            wanted,
            [{"$set": {"claimed_until": until(self._lease_s)}}],
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else _worker(document)


def _worker(document: dict[str, Any]) -> Worker:
    return Worker(
        chain=document["_id"],
        worker_id=document["worker_id"],
        host=document["host"],
        pid=document["pid"],
        n=document["n"],
        hash=document["hash"],
        id=document.get("id"),
        ended=bool(document.get("ended")),
    )
