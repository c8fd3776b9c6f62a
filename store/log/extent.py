"""What a log's collection holds: how much, and since when."""

from typing import Any

from pymongo.errors import OperationFailure

from rtserver.eventlog.extent import LogExtent
from store.base.client import Database, core_errors

NAMESPACE_NOT_FOUND = 26
TIMEOUT_MS = 10_000


class MongoLogExtents:
    """`rtserver.eventlog.extent.LogExtents` on MongoDB."""

    def __init__(self, database: Database, collection: str) -> None:
        self._collection = database[collection]

    @core_errors
    async def extent(self) -> LogExtent | None:
        """See `LogExtents.extent`."""
        try:
            stats = await self._first([{"$collStats": {"storageStats": {}}}])
        except OperationFailure as error:
            if error.code == NAMESPACE_NOT_FOUND:
                return None
            raise
        capacity_bytes = stats and stats["storageStats"].get("maxSize")
        if stats is None or not capacity_bytes:
            return None  # a writer made it anew, and no tail has seen it yet
        oldest = await self._first(
            [
                {"$limit": 1},
                {"$project": {"age_ms": {"$subtract": ["$$NOW", {"$toDate": "$stamp"}]}}},
            ],
            hint={"$natural": 1},
        )
        # A stamp is of whole seconds, and may be of one that has just begun.
        age_s = 0.0 if oldest is None else max(0.0, oldest["age_ms"] / 1000)
        return LogExtent(age_s, int(stats["storageStats"]["size"]), int(capacity_bytes))

    async def _first(self, pipeline: list[dict[str, Any]], **options: Any) -> dict[str, Any] | None:
        cursor = self._collection.aggregate(pipeline, maxTimeMS=TIMEOUT_MS, **options)
        found: list[dict[str, Any]] = await cursor.to_list(1)
        return found[0] if found else None
