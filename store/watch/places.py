"""Places of watches: how far each has come, and who follows it.

_id name of the watch, holder, until (end of its lease), token (place in the change stream), resync
(names a loss that projects have yet to be told of), noted_at, failed_at and problem (while it has
failed and not moved since)
"""

from rtserver.watch.ports import WatchPlace
from store.base.client import Database, core_errors
from store.base.leases import change_or_make, lapsed, until

WATCHES = "watches"


class MongoWatchPlaces:
    """`rtserver.watch.ports.WatchPlaces` on MongoDB. Lease times are the database's own."""

    def __init__(self, database: Database, *, lease_s: float) -> None:
        self._watches = database[WATCHES]
        self._lease_s = lease_s

    @core_errors
    async def claim(self, name: str, holder: str) -> WatchPlace | None:
        """See `WatchPlaces.claim`."""
        me = {"$literal": holder}
        free = {
            "$or": [
                {"$eq": [{"$ifNull": ["$holder", me]}, me]},
                lapsed(),
            ]
        }
        # Nothing is written where it is not free: the document stays as it is.
        taken = {
            "holder": {"$cond": [free, me, "$holder"]},
            "until": {"$cond": [free, until(self._lease_s), "$until"]},
        }
        document = await change_or_make(self._watches, name, [{"$set": taken}])
        if document["holder"] != holder:
            return None
        return WatchPlace(document.get("token"), document.get("resync"))

    @core_errors
    async def renew(self, name: str, holder: str) -> bool:
        """See `WatchPlaces.renew`."""
        result = await self._watches.update_one(
            {"_id": name, "holder": holder}, [{"$set": {"until": until(self._lease_s)}}]
        )
        return bool(result.matched_count)

    @core_errors
    async def note(self, name: str, holder: str, place: WatchPlace) -> bool:
        """See `WatchPlaces.note`."""
        result = await self._watches.update_one(
            {"_id": name, "holder": holder},
            [
                {
                    "$set": {
                        "token": {"$literal": place.token},
                        "resync": {"$literal": place.resync},
                        "until": until(self._lease_s),
                        "noted_at": "$$NOW",
                        "failed_at": "$$REMOVE",
                        "problem": "$$REMOVE",
                    }
                }
            ],
        )
        return bool(result.matched_count)

    @core_errors
    async def release(self, name: str, holder: str) -> None:
        """See `WatchPlaces.release`."""
        await self._watches.update_one(
            {"_id": name, "holder": holder}, {"$unset": {"holder": "", "until": ""}}
        )

    @core_errors
    async def failed(self, name: str, problem: str) -> None:
        """See `WatchPlaces.failed`."""
        await self._watches.update_one(
            {"_id": name},
            [
                {
                    "$set": {
                        "failed_at": {"$ifNull": ["$failed_at", "$$NOW"]},
                        "problem": {"$literal": problem},
                    }
                }
            ],
            upsert=True,
        )

    @core_errors
    async def stalled(self, name: str, at_least_s: float) -> tuple[float, str] | None:
        """For how many seconds a watch has failed and not moved, and why; None where it has not.

        Args:
            name: of the watch.
            at_least_s: a shorter time does not count.
        """
        for_ms = {"$subtract": ["$$NOW", "$failed_at"]}
        found = await self._watches.find_one(
            {"_id": name, "$expr": {"$gte": [for_ms, int(at_least_s * 1000)]}},
            {"problem": 1, "for_ms": for_ms},
        )
        return None if found is None else (found["for_ms"] / 1000, found["problem"])
