"""Locks in MongoDB, one document a project. See `rtserver.reviews.locks` for what the fields mean.

_id project id; while the lock is held by, reason, at, until (end of its lease); outbox
"""

from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from rtserver.model.events import EventDraft
from rtserver.reviews.locks import MAX_REASON_CHARS, Lock
from store.base import leases
from store.base.client import NEWEST_MS, Database, confirmed, core_errors, newest
from store.base.relay import OutboxRelay, waiting_event
from store.base.schemas import OUTBOX, USER_ID, prepare_validated, schema

LOCKS = "locks"
SCHEMA = schema(
    {"_id": {"bsonType": "string", "minLength": 1, "maxLength": 128}, "outbox": OUTBOX},
    {
        "by": USER_ID,
        "reason": {"bsonType": "string", "maxLength": MAX_REASON_CHARS},
        "at": {"bsonType": "date"},
        "until": {"bsonType": "date"},
    },
)
_LAPSED = leases.lapsed()
_SEEN = {"by": 1, "reason": 1, "at": 1, "until": 1, "lapsed": _LAPSED}


class MongoLocks:
    """`rtserver.reviews.locks.LockStore` on MongoDB. Lease times are the database's own."""

    def __init__(self, database: Database, relay: OutboxRelay) -> None:
        self._database = database
        self._locks = confirmed(database)[LOCKS]
        self._newest = newest(database)[LOCKS]
        self._relay = relay

    async def prepare(self) -> None:
        """Make the collection, and the index of the locks that are held."""
        await prepare_validated(self._database, LOCKS, SCHEMA)
        await self._locks.create_index("until", sparse=True, name="held")

    @core_errors
    async def get(self, project_id: str) -> Lock | None:
        """See `LockStore.get`."""
        # What is on its way counts: the caller wants to take the lock, or to write past it.
        document = await self._newest.find_one(
            {"_id": project_id, "by": {"$exists": True}}, _SEEN, max_time_ms=NEWEST_MS
        )
        return None if document is None else _lock(document)

    @core_errors
    async def renew(
        self, project_id: str, by: str, reason: str | None, lease_s: float
    ) -> Lock | None:
        """See `LockStore.renew`."""
        wanted = {"_id": project_id, "by": by}
        if reason is not None:
            wanted["reason"] = reason
        document = await self._locks.find_one_and_update(
            wanted,
            [{"$set": {"until": leases.until(lease_s)}}],
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else _lock(document)

    @core_errors
    async def take(
        self, lock: Lock, lease_s: float, changed: EventDraft, *, from_self: bool = False
    ) -> Lock | None:
        """See `LockStore.take`."""
        # `$literal`: a user id or reason that begins with a dollar sign is no expression.
        update = {
            "by": {"$literal": lock.by},
            "reason": {"$literal": lock.reason},
            "at": lock.at,
            "until": leases.until(lease_s),
            "outbox": {
                "$concatArrays": [
                    {"$ifNull": ["$outbox", []]},
                    [{"$literal": waiting_event(_what(lock), changed)}],
                ]
            },
        }
        free: list[dict[str, Any]] = [{"by": {"$exists": False}}]
        if from_self:
            free.append({"by": lock.by, "reason": {"$ne": lock.reason}})
        try:
            document = await self._locks.find_one_and_update(
                {"_id": lock.project_id, "$or": free},
                [{"$set": update}],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:
            return None  # there is one already
        await self._relay.try_relay(LOCKS, document)
        return _lock(document)

    @core_errors
    async def end(self, lock: Lock, changed: EventDraft, *, only_lapsed: bool) -> bool:
        """See `LockStore.end`."""
        wanted: dict[str, Any] = {"_id": lock.project_id, "by": lock.by, "at": lock.at}
        if only_lapsed:
            wanted["$expr"] = _LAPSED
        document = await self._locks.find_one_and_update(
            wanted,
            {
                "$unset": {"by": "", "reason": "", "at": "", "until": ""},
                "$push": {"outbox": waiting_event(_what(lock), changed)},
            },
            return_document=ReturnDocument.AFTER,
        )
        if document is None:
            return False
        await self._relay.try_relay(LOCKS, document)
        return True

    @core_errors
    async def lapsed(self) -> list[Lock]:
        """See `LockStore.lapsed`."""
        cursor = self._locks.find({"until": {"$exists": True}, "$expr": _LAPSED}, _SEEN)
        return [_lock(document) async for document in cursor]


def _what(lock: Lock) -> str:
    return f"lock:{lock.project_id}"


def _lock(document: dict[str, Any]) -> Lock:
    return Lock(
        project_id=document["_id"],
        by=document["by"],
        reason=document["reason"],
        at=document["at"],
        expires_at=document["until"],
        lapsed=document.get("lapsed", False),
    )
