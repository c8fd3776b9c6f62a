"""Places of webhooks: how far each endpoint was told, and who tells it.

_id the endpoint's, holder, until (end of its lease), feeds (by project, a comma for each full stop:
epoch, seq, failures, failing_since and due as Unix times), disabled (why it is told nothing),
nudges (how often an operator asked for an attempt at once)
"""

from collections.abc import Mapping
from typing import Any

from rtserver.model.positions import Position
from rtserver.webhooks.ports import HeldEndpoint
from rtserver.webhooks.schedule import FeedState
from store.base.client import Database, core_errors
from store.base.leases import change_or_make, lapsed, until

WEBHOOKS = "webhooks"


class MongoWebhookPlaces:
    """`rtserver.webhooks.ports.WebhookPlaces` on MongoDB. Lease times are the database's own."""

    def __init__(self, database: Database, *, lease_s: float) -> None:
        self._webhooks = database[WEBHOOKS]
        self._lease_s = lease_s

    @core_errors
    async def claim(self, endpoint_id: str, holder: str) -> HeldEndpoint | None:
        """See `WebhookPlaces.claim`."""
        me = {"$literal": holder}
        free = {"$or": [{"$eq": [{"$ifNull": ["$holder", me]}, me]}, lapsed()]}
        # Nothing is written where it is not free: the document stays as it is.
        taken = {
            "holder": {"$cond": [free, me, "$holder"]},
            "until": {"$cond": [free, until(self._lease_s), "$until"]},
        }
        document = await change_or_make(self._webhooks, endpoint_id, [{"$set": taken}])
        return _held(document) if document["holder"] == holder else None

    @core_errors
    async def renew(self, endpoint_id: str, holder: str) -> int | None:
        """See `WebhookPlaces.renew`."""
        document = await self._webhooks.find_one_and_update(
            {"_id": endpoint_id, "holder": holder},
            [{"$set": {"until": until(self._lease_s)}}],
            projection={"nudges": 1},
        )
        return None if document is None else document.get("nudges", 0)

    @core_errors
    async def note(self, endpoint_id: str, holder: str, project_id: str, state: FeedState) -> bool:
        """See `WebhookPlaces.note`."""
        kept = {
            "epoch": state.position.epoch,
            "seq": state.position.seq,
            "failures": state.failures,
            "failing_since": state.failing_since_s,
            "due": state.due_s,
        }
        result = await self._webhooks.update_one(
            {"_id": endpoint_id, "holder": holder},
            {"$set": {f"feeds.{_key(project_id)}": kept}},
        )
        return bool(result.matched_count)

    @core_errors
    async def disable(self, endpoint_id: str, holder: str, reason: str) -> bool:
        """See `WebhookPlaces.disable`."""
        result = await self._webhooks.update_one(
            {"_id": endpoint_id, "holder": holder}, {"$set": {"disabled": reason}}
        )
        return bool(result.matched_count)

    @core_errors
    async def release(self, endpoint_id: str, holder: str) -> None:
        """See `WebhookPlaces.release`."""
        await self._webhooks.update_one(
            {"_id": endpoint_id, "holder": holder}, {"$unset": {"holder": "", "until": ""}}
        )

    @core_errors
    async def enable(self, endpoint_id: str) -> bool:
        """Tell an endpoint again, at once; False where it was never told anything."""
        result = await self._webhooks.update_one(
            {"_id": endpoint_id}, {"$unset": {"disabled": ""}, "$inc": {"nudges": 1}}
        )
        return bool(result.matched_count)

    @core_errors
    async def listed(self) -> dict[str, HeldEndpoint]:
        """All endpoints that were ever told anything."""
        return {
            str(document["_id"]): _held(document)
            async for document in self._webhooks.find().sort("_id", 1)
        }


def _key(project_id: str) -> str:
    # A full stop would part the path of a field; ids have no commas.
    return project_id.replace(".", ",")


def _held(document: Mapping[str, Any]) -> HeldEndpoint:
    return HeldEndpoint(
        {
            key.replace(",", "."): FeedState(
                Position(kept["epoch"], kept["seq"]),
                kept["failures"],
                kept["failing_since"],
                kept["due"],
            )
            for key, kept in document.get("feeds", {}).items()
        },
        document.get("disabled"),
        document.get("nudges", 0),
    )
