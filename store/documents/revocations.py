"""Revocations in MongoDB.

_id user id, before (tokens that were issued before it are refused), by (the admin), changed (by the
database's clock)

They stay for good: no token says for how long tokens of before it may still be good. There is one
document a user at most.
"""

from datetime import datetime
from typing import Any

from pymongo import ASCENDING, ReturnDocument

from rtserver.model.revocation import Revocation
from store.base.client import Database, confirmed, core_errors

REVOCATIONS = "revocations"


class MongoRevocations:
    """`rtserver.sessions.revocation.RevocationStore` on MongoDB."""

    def __init__(self, database: Database) -> None:
        self._revocations = database[REVOCATIONS]
        # What a failover may take back was not revoked: its admin was told that it failed.
        self._confirmed = confirmed(database)[REVOCATIONS]

    async def prepare(self) -> None:
        """Make the index by which new ones are found."""
        await self._revocations.create_index([("changed", ASCENDING)], name="changed")

    @core_errors
    async def revoke(self, user_id: str, before: datetime, by: str) -> Revocation:
        """See `RevocationStore.revoke`."""
        document = await self._revocations.find_one_and_update(
            {"_id": user_id},
            {"$max": {"before": before}, "$set": {"by": by}, "$currentDate": {"changed": True}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return _revocation(document)

    @core_errors
    async def changed_since(self, moment: datetime | None) -> list[Revocation]:
        """See `RevocationStore.changed_since`."""
        wanted = {} if moment is None else {"changed": {"$gt": moment}}
        return [_revocation(document) async for document in self._confirmed.find(wanted)]


def _revocation(document: dict[str, Any]) -> Revocation:
    return Revocation(document["_id"], document["before"], document["changed"])
