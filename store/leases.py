"""The registries of connections: one document a project, one a user, changed in one step each.

    _id        "project:ID"
    workers    array of {w: worker, n: its connections, until: end of lease}
    granted    how many places the last change gave

    _id        "user:ID"
    entries    array of {c: connection, w: worker, u: user, p: project, t: transport,
               at: opened (Unix s), until: end of lease}, oldest first
    evicted    what left for the newest entry

    expires_at when MongoDB may remove the document (TTL index)

Time is the database's ($$NOW), so workers' clocks need not agree. A change answers with what it
granted or evicted, not with the registry, so its cost does not grow with the limits.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from rtserver.admission import Entry
from store.client import Database, core_errors

CONNECTIONS = "connections"
KEPT_S = 3600


def _live(array: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    return {
        "$filter": {
            "input": {"$ifNull": [array, []]},
            "cond": {"$and": [{"$gt": ["$$this.until", "$$NOW"]}, *conditions]},
        }
    }


class MongoLeases:
    """`rtserver.admission.LeaseStore` on MongoDB."""

    def __init__(self, database: Database, *, lease_s: float) -> None:
        self._connections = database[CONNECTIONS]
        self._lease_ms = int(lease_s * 1000)

    async def prepare(self) -> None:
        """Make the index that removes documents of users and projects who are long gone."""
        await self._connections.create_index("expires_at", expireAfterSeconds=0, name="expiry")

    def _until(self) -> dict[str, Any]:
        return {"$add": ["$$NOW", self._lease_ms]}

    def _kept(self) -> dict[str, Any]:
        return {"$add": ["$$NOW", self._lease_ms + KEPT_S * 1000]}

    async def _change(self, identity: str, pipeline: list[dict[str, Any]], answer: str) -> Any:
        while True:
            try:
                document = await self._connections.find_one_and_update(
                    {"_id": identity},
                    pipeline,
                    projection={answer: 1},
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:
                continue  # two made the document at once: it is there now
            return document[answer]

    @core_errors
    async def take_places(
        self, project_id: str, worker_id: str, *, held: int, wanted: int, limit: int
    ) -> int:
        """See `LeaseStore.take_places`."""
        # `$literal`: an id that begins with a dollar sign must not be read as an expression.
        me = {"$literal": worker_id}
        free = {"$subtract": [limit - held, {"$sum": "$others.n"}]}
        own = {"w": me, "n": {"$add": [held, "$granted"]}, "until": self._until()}
        granted = await self._change(
            f"project:{project_id}",
            [
                {"$set": {"others": _live("$workers", {"$ne": ["$$this.w", me]})}},
                {"$set": {"granted": {"$max": [0, {"$min": [wanted, free]}]}}},
                {
                    "$set": {
                        "workers": {"$concatArrays": ["$others", [own]]},
                        "expires_at": self._kept(),
                    }
                },
                {"$unset": "others"},
            ],
            "granted",
        )
        return int(granted)

    @core_errors
    async def register(self, entry: Entry, *, limit: int) -> list[Entry]:
        """See `LeaseStore.register`. Entries stand in the order of their arrival."""
        added = {
            "c": {"$literal": entry.connection_id},
            "w": {"$literal": entry.worker_id},
            "u": {"$literal": entry.user_id},
            "p": {"$literal": entry.project_id},
            "t": {"$literal": entry.transport},
            "at": {"$literal": entry.opened_at},
            "until": self._until(),
        }
        too_many = {"$subtract": [{"$size": "$entries"}, limit]}
        evicted = await self._change(
            f"user:{entry.user_id}",
            [
                {"$set": {"entries": {"$concatArrays": [_live("$entries"), [added]]}}},
                {
                    "$set": {
                        "entries": {"$slice": ["$entries", -limit]},
                        "evicted": {
                            "$cond": [
                                {"$gt": [too_many, 0]},
                                {"$slice": ["$entries", too_many]},
                                [],
                            ]
                        },
                        "expires_at": self._kept(),
                    }
                },
            ],
            "evicted",
        )
        return [_entry(found) for found in evicted]

    @core_errors
    async def unregister(self, entry: Entry) -> None:
        """See `LeaseStore.unregister`."""
        await self._connections.update_one(
            {"_id": f"user:{entry.user_id}"}, {"$pull": {"entries": {"c": entry.connection_id}}}
        )

    @core_errors
    async def renew_users(self, entries: Sequence[Entry]) -> None:
        """See `LeaseStore.renew_users`. One that was evicted meanwhile is not put back."""
        users: dict[str, list[str]] = defaultdict(list)
        for entry in entries:
            users[f"user:{entry.user_id}"].append(entry.connection_id)
        renewed = {"$mergeObjects": ["$$this", {"until": self._until()}]}
        updates = [
            UpdateOne(
                {"_id": identity},
                [
                    {
                        "$set": {
                            "entries": {
                                "$map": {
                                    "input": {"$ifNull": ["$entries", []]},
                                    "in": {
                                        "$cond": [
                                            {"$in": ["$$this.c", {"$literal": mine}]},
                                            renewed,
                                            "$$this",
                                        ]
                                    },
                                }
                            },
                            "expires_at": self._kept(),
                        }
                    }
                ],
            )
            for identity, mine in users.items()
        ]
        await self._connections.bulk_write(updates, ordered=False)

    @core_errors
    async def counted(self, project_id: str) -> int:
        """How many live connections a project has, over all workers."""
        pipeline: list[dict[str, Any]] = [
            {"$match": {"_id": f"project:{project_id}"}},
            {"$project": {"workers": _live("$workers")}},
        ]
        async for document in self._connections.aggregate(pipeline):
            return sum(worker["n"] for worker in document["workers"])
        return 0

    @core_errors
    async def of_user(self, user_id: str) -> list[Entry]:
        """The live connections of a user, over all workers, oldest first."""
        pipeline: list[dict[str, Any]] = [
            {"$match": {"_id": f"user:{user_id}"}},
            {"$project": {"entries": _live("$entries")}},
        ]
        async for document in self._connections.aggregate(pipeline):
            return [_entry(found) for found in document["entries"]]
        return []


def _entry(found: dict[str, Any]) -> Entry:
    return Entry(found["c"], found["w"], found["u"], found["p"], found["t"], found["at"])
