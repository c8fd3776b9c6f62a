"""Leases in documents, on MongoDB's clock ($$NOW), so that workers' clocks need not agree."""

from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

Expression = dict[str, Any]

LIVE: Expression = {"$gt": ["$$this.until", "$$NOW"]}
"""Whether an entry of an array still has its lease, within `$filter` and `$map`."""


def until(time_s: float) -> Expression:
    """The moment at which a lease of so many seconds ends, if it begins now."""
    return {"$add": ["$$NOW", int(time_s * 1000)]}


def renewed(key: str, identities: list[str], lease_s: float) -> Expression:
    """The document's `entries`, those of these identities with a lease that begins now.

    Args:
        key: of an entry, which has its identity.
        identities: of the entries to renew.
        lease_s: how long the lease lasts.
    """
    lease = {"until": until(lease_s)}
    return {
        "$map": {
            "input": {"$ifNull": ["$entries", []]},
            "in": {
                "$cond": [
                    {"$in": [f"$$this.{key}", {"$literal": identities}]},
                    {"$mergeObjects": ["$$this", lease]},
                    "$$this",
                ]
            },
        }
    }


def lapsed(end: str | Expression = "$until") -> Expression:
    """Whether a lease has run out.

    Args:
        end: of the lease, as an expression.
    """
    return {"$lte": [end, "$$NOW"]}


async def change_or_make(
    collection: Any,
    identity: str,
    pipeline: list[Expression],
    projection: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Change a document, which is made where there is none, also where several make it at once.

    Args:
        collection: of the driver.
        identity: the document's `_id`.
        pipeline: the change.
        projection: what is wanted of the document as it is then; None: all.
    """
    while True:
        try:
            changed: dict[str, Any] = await collection.find_one_and_update(
                {"_id": identity},
                pipeline,
                upsert=True,
                projection=projection,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:
            continue  # two made it at once: it is there now
        return changed
