"""The registries of connections: one document a project, one a user, changed in one step each.

    _id        "project:ID" or "user:ID"
    entries    array of {c: connection, w: worker, u: user, n: the user's name, p: project,
               l: proposals looked at, t: transport, ip: address, b: bytes behind,
               at: opened (Unix s), until: end of lease}
    evicted    only with a user: what left for the newest entry
    expires_at when MongoDB may remove the document (TTL index)

Time is the database's ($$NOW), so workers' clocks need not agree.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pymongo import UpdateOne

from rtserver.lib.batching import Batcher
from rtserver.model.connection import ConnectionRecord
from store.base.client import Database, confirmed, core_errors
from store.base.leases import LIVE, Expression, change_or_make, renewed, until

CONNECTIONS = "connections"
KEPT_S = 3600


def _live(*conditions: Expression) -> Expression:
    """The entries that have their lease, and what else is asked of them."""
    return {
        "$filter": {
            "input": {"$ifNull": ["$entries", []]},
            "cond": {"$and": [LIVE, *conditions]},
        }
    }


class MongoLeases:
    """`rtserver.sessions.admission.LeaseStore` on MongoDB."""

    def __init__(self, database: Database, *, lease_s: float) -> None:
        self._connections = database[CONNECTIONS]
        self._confirmed = confirmed(database)[CONNECTIONS]
        self._lease_s = lease_s
        # A project's document grows with its connections, and each change writes all of it: one at
        # a time, two thousand came in at 44 a second.
        self._admissions = Batcher(self._admit)
        self._releases = Batcher(self._release)

    async def prepare(self) -> None:
        """Make the index that removes documents of users and projects who are long gone."""
        await self._connections.create_index("expires_at", expireAfterSeconds=0, name="expiry")

    def _document(self, entry: ConnectionRecord) -> dict[str, Any]:
        # `$literal`: an id that begins with a dollar sign must not be read as an expression.
        return {
            "c": {"$literal": entry.connection_id},
            "w": {"$literal": entry.worker_id},
            "u": {"$literal": entry.user_id},
            "n": {"$literal": entry.name},
            "p": {"$literal": entry.project_id},
            "l": {"$literal": sorted(entry.looking_at)},
            "t": {"$literal": entry.transport},
            "at": {"$literal": entry.opened_at},
            "ip": {"$literal": entry.ip},
            "b": entry.behind_bytes,
            "until": until(self._lease_s),
        }

    @core_errors
    async def admit(self, entry: ConnectionRecord, *, limit: int) -> bool:
        """See `LeaseStore.admit`."""
        return await self._admissions((entry.project_id, limit), entry)

    async def _admit(self, key: tuple[str, int], entries: Sequence[ConnectionRecord]) -> list[bool]:
        """Let in as many as there is room for, in the order in which they came."""
        project_id, limit = key
        connection_ids = [entry.connection_id for entry in entries]
        room = {"$subtract": [limit, {"$size": "$entries"}]}
        newcomers = [self._document(entry) for entry in entries]
        document = await change_or_make(
            self._connections,
            f"project:{project_id}",
            [
                {
                    "$set": {
                        "entries": _others(connection_ids),
                        "expires_at": until(self._lease_s + KEPT_S),
                    }
                },
                {
                    "$set": {
                        "entries": {
                            "$cond": [
                                {"$gt": [room, 0]},
                                {"$concatArrays": ["$entries", {"$slice": [newcomers, room]}]},
                                "$entries",
                            ]
                        }
                    }
                },
            ],
            {"entries": _which_of(connection_ids)},
        )
        # An answer that MongoDB gives a second time, to a command that the driver sent again under
        # its transaction number, comes without the projection (6.0): whole entries, not their ids.
        admitted = {
            found["c"] if isinstance(found, dict) else found for found in document["entries"]
        }
        return [connection_id in admitted for connection_id in connection_ids]

    @core_errors
    async def register(
        self, entry: ConnectionRecord, *, limit: int, oldest: bool = False
    ) -> list[ConnectionRecord]:
        """See `LeaseStore.register`. Entries stand in the order of their arrival."""
        others, this = "$entries", [self._document(entry)]
        document = await change_or_make(
            self._connections,
            f"user:{entry.user_id}",
            [
                {
                    "$set": {
                        "entries": _others([entry.connection_id]),
                        "expires_at": until(self._lease_s + KEPT_S),
                    }
                },
                {
                    "$set": {
                        "entries": {"$concatArrays": [this, others] if oldest else [others, this]}
                    }
                },
                {
                    "$set": {
                        "entries": {"$slice": ["$entries", -limit]},
                        "evicted": {
                            "$cond": [
                                {"$gt": [{"$size": "$entries"}, limit]},
                                {
                                    "$slice": [
                                        "$entries",
                                        {"$subtract": [{"$size": "$entries"}, limit]},
                                    ]
                                },
                                [],
                            ]
                        },
                    }
                },
            ],
            {"evicted": 1},
        )
        return [_entry(found) for found in document["evicted"]]

    @core_errors
    async def release(self, entry: ConnectionRecord) -> None:
        """See `LeaseStore.release`."""
        await self._releases(None, entry)

    async def _release(self, _key: None, entries: Sequence[ConnectionRecord]) -> list[None]:
        identities = {f"project:{entry.project_id}" for entry in entries}
        identities |= {f"user:{entry.user_id}" for entry in entries}
        gone = [entry.connection_id for entry in entries]
        await self._connections.update_many(
            {"_id": {"$in": sorted(identities)}}, {"$pull": {"entries": {"c": {"$in": gone}}}}
        )
        return [None] * len(entries)

    @core_errors
    async def renew(self, entries: Sequence[ConnectionRecord]) -> set[str]:
        """See `LeaseStore.renew`.

        What lapsed and is still listed has lost nothing: the next admission takes out what
        lapsed. So a registry never lists more than its limit.
        """
        projects: dict[str, list[ConnectionRecord]] = defaultdict(list)
        users: dict[str, list[str]] = defaultdict(list)
        for entry in entries:
            projects[f"project:{entry.project_id}"].append(entry)
            users[f"user:{entry.user_id}"].append(entry.connection_id)
        updates = [
            UpdateOne(
                {"_id": identity},
                [
                    {
                        "$set": {
                            "entries": {
                                "$concatArrays": [
                                    _others([entry.connection_id for entry in mine]),
                                    self._still_listed(mine),
                                ]
                            },
                            "expires_at": until(self._lease_s + KEPT_S),
                        }
                    }
                ],
            )
            for identity, mine in projects.items()
        ]
        updates += [
            UpdateOne(
                {"_id": identity},
                [
                    {
                        "$set": {
                            "entries": renewed("c", mine, self._lease_s),
                            "expires_at": until(self._lease_s + KEPT_S),
                        }
                    }
                ],
            )
            for identity, mine in users.items()
        ]
        await self._connections.bulk_write(updates, ordered=False)
        return await self._placed(entries, [*projects, *users])

    def _still_listed(self, entries: Sequence[ConnectionRecord]) -> dict[str, Any]:
        """These entries as they are now, as far as they are in the registry."""
        return {
            "$filter": {
                "input": [self._document(entry) for entry in entries],
                "cond": {"$in": ["$$this.c", {"$ifNull": ["$entries.c", []]}]},
            }
        }

    async def _placed(self, entries: Sequence[ConnectionRecord], identities: list[str]) -> set[str]:
        """Which connections have their place in both registries."""
        ids = [entry.connection_id for entry in entries]
        pipeline: list[dict[str, Any]] = [
            {"$match": {"_id": {"$in": identities}}},
            {"$project": {"entries": _which_of(ids)}},
        ]
        listed = {
            document["_id"]: set(document["entries"])
            async for document in self._confirmed.aggregate(pipeline)
        }
        return {
            entry.connection_id
            for entry in entries
            if entry.connection_id in listed.get(f"project:{entry.project_id}", ())
            and entry.connection_id in listed.get(f"user:{entry.user_id}", ())
        }

    @core_errors
    async def move(self, entries: Sequence[ConnectionRecord]) -> None:
        """Say what the users of connections look at now. Those that are released stay so."""
        updates = [
            UpdateOne(
                {"_id": f"project:{entry.project_id}", "entries.c": entry.connection_id},
                {"$set": {"entries.$.l": sorted(entry.looking_at), "entries.$.n": entry.name}},
            )
            for entry in entries
        ]
        await self._connections.bulk_write(updates, ordered=False)

    @core_errors
    async def present(
        self, project_ids: Sequence[str], *, but_worker: str | None = None
    ) -> dict[str, list[ConnectionRecord]]:
        """The live connections of projects, over all workers but one, the oldest first."""
        others = {"$ne": ["$$this.w", {"$literal": but_worker}]}
        pipeline: list[dict[str, Any]] = [
            {"$match": {"_id": {"$in": [f"project:{project_id}" for project_id in project_ids]}}},
            {"$project": {"entries": _live(others)}},
        ]
        return {
            document["_id"].removeprefix("project:"): [_entry(e) for e in document["entries"]]
            async for document in self._connections.aggregate(pipeline)
        }

    @core_errors
    async def search(
        self,
        *,
        user_id: str | None = None,
        project_id: str | None = None,
        connection_id: str | None = None,
        limit: int,
    ) -> list[ConnectionRecord]:
        """See `rtserver.sessions.connection_admin.Registry.search`.

        Those of projects are all there are.
        """
        wanted = {"u": user_id, "p": project_id, "c": connection_id}
        conditions = {key: {"$eq": value} for key, value in wanted.items() if value is not None}
        of_project: Any = {"$regex": "^project:"}
        pipeline: list[dict[str, Any]] = [
            {"$match": {"_id": of_project if project_id is None else f"project:{project_id}"}},
            {"$project": {"entries": _live()}},
            {"$unwind": "$entries"},
            {"$replaceRoot": {"newRoot": "$entries"}},
            {"$match": conditions},
            {"$sort": {"at": 1, "c": 1}},
            {"$limit": limit},
        ]
        return [_entry(found) async for found in self._connections.aggregate(pipeline)]

    @core_errors
    async def listed(self, project_id: str) -> list[ConnectionRecord]:
        """The live connections of a project, over all workers."""
        pipeline: list[dict[str, Any]] = [
            {"$match": {"_id": f"project:{project_id}"}},
            {"$project": {"entries": _live()}},
        ]
        async for document in self._connections.aggregate(pipeline):
            return [_entry(found) for found in document["entries"]]
        return []


def _which_of(connection_ids: list[str]) -> dict[str, Any]:
    """Which of these connections a registry lists: their ids alone.

    With a thousand connections all entries would be a quarter of a megabyte.
    """
    return {
        "$filter": {
            "input": {"$ifNull": ["$entries.c", []]},
            "cond": {"$in": ["$$this", {"$literal": connection_ids}]},
        }
    }


def _others(connection_ids: list[str]) -> dict[str, Any]:
    """The live entries but these: also this worker's own, which may just have been let in."""
    return _live({"$not": {"$in": ["$$this.c", {"$literal": connection_ids}]}})


def _entry(found: dict[str, Any]) -> ConnectionRecord:
    return ConnectionRecord(
        found["c"],
        found["w"],
        found["u"],
        found["p"],
        found["t"],
        found["at"],
        found.get("ip", ""),
        found.get("b", 0),
        found.get("n", ""),
        frozenset(found.get("l", ())),
    )
