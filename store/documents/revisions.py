"""Revisions and their contents in MongoDB. See `rtserver.revisions.model` for what fields mean.

revisions  _id "PROPOSAL:NUMBER", proposal_id, project_id, number, digest, at, actor, cause, run_id,
           note, restored_from, files: array of {path, size_bytes, sha256, change}, removed,
           left_out: array of [path, reason], pruned? (its contents may be gone)
contents   _id SHA-256 (hexadecimal), data, used_at (when a revision was made that has it)

A revision comes into the world in the outbox of its proposal, with its event and the proposal's
new text in one update. Its contents were kept before that.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from bson import Binary
from pymongo import ASCENDING, DESCENDING, UpdateOne

from rtserver.reviews.pages import PAGE_BYTES
from rtserver.revisions.model import Cause, FileChange, Revision, RevisionFile, revision_fields
from store.base.client import Database, confirmed, core_errors
from store.base.pages import page_of
from store.documents.proposals import PROPOSALS

REVISIONS = "revisions"
CONTENTS = "contents"
GRACE_MS = 24 * 3600 * 1000
"""A content that was used so lately may belong to a revision that is just being made."""


class MongoRevisions:
    """`rtserver.revisions.model.RevisionStore` on MongoDB."""

    def __init__(self, database: Database) -> None:
        self._proposals = confirmed(database)[PROPOSALS]
        self._revisions = confirmed(database)[REVISIONS]
        self._contents = confirmed(database)[CONTENTS]

    async def prepare(self) -> None:
        """Make the indexes: a proposal's revisions by number, and who uses a content."""
        await self._revisions.create_index(
            [("proposal_id", ASCENDING), ("number", DESCENDING)], unique=True, name="of_proposal"
        )
        await self._revisions.create_index("files.sha256", name="by_content")

    @core_errors
    async def keep(self, contents: Mapping[str, bytes]) -> None:
        """See `RevisionStore.keep`."""
        if not contents:
            return
        await self._contents.bulk_write(
            [
                UpdateOne(
                    {"_id": hashlib.sha256(content).hexdigest()},
                    {"$setOnInsert": {"data": Binary(content)}, "$currentDate": {"used_at": True}},
                    upsert=True,
                )
                for content in contents.values()
            ],
            ordered=False,
        )

    @core_errors
    async def content(self, sha256: str) -> bytes | None:
        """See `RevisionStore.content`."""
        found = await self._contents.find_one({"_id": sha256}, {"data": 1})
        return None if found is None else bytes(found["data"])

    @core_errors
    async def get(self, proposal_id: str, number: int) -> Revision | None:
        """See `RevisionStore.get`."""
        name = f"{proposal_id}:{number}"
        found = await self._revisions.find_one({"_id": name})
        if found is None:
            # It may still wait with its event, where the proposal names it already.
            waiting = await self._proposals.find_one(
                {"_id": proposal_id, "outbox.record.document._id": name}, {"outbox.$": 1}
            )
            found = (
                waiting["outbox"][0]["record"]["document"]
                if waiting is not None
                else await self._revisions.find_one({"_id": name})  # moved in between
            )
        return None if found is None else _revision(found)

    @core_errors
    async def of_proposal(
        self, proposal_id: str, *, before: int | None, limit: int
    ) -> tuple[list[Revision], bool]:
        """See `RevisionStore.of_proposal`."""
        wanted: dict[str, Any] = {"proposal_id": proposal_id}
        if before is not None:
            wanted["number"] = {"$lt": before}
        cursor = self._revisions.find(wanted).sort("number", DESCENDING)
        return await page_of(cursor, _revision, limit=limit, max_bytes=PAGE_BYTES)

    @core_errors
    async def prune(self, archived_for_s: float) -> int:
        """See `RevisionStore.prune`."""
        past = {"$subtract": ["$$NOW", int(archived_for_s * 1000)]}
        archived = self._proposals.find(
            {"status": "archived", "$expr": {"$lt": ["$updated_at", past]}}, {"_id": 1}
        )
        async for proposal in archived:
            await self._revisions.update_many(
                {"proposal_id": proposal["_id"], "pruned": {"$exists": False}},
                {"$set": {"pruned": True}},
            )
        long_unused = {"$expr": {"$lt": ["$used_at", {"$subtract": ["$$NOW", GRACE_MS]}]}}
        unused = self._contents.aggregate(
            [
                {"$match": long_unused},
                {
                    "$lookup": {
                        "from": REVISIONS,
                        "localField": "_id",
                        "foreignField": "files.sha256",
                        "pipeline": [
                            {"$match": {"pruned": {"$exists": False}}},
                            {"$limit": 1},
                            {"$project": {"_id": 1}},
                        ],
                        "as": "users",
                    }
                },
                {"$match": {"users": []}},
                {"$project": {"_id": 1}},
            ]
        )
        gone = 0
        async for content in unused:
            # Once more by its time: a revision may have begun to use it again meanwhile.
            result = await self._contents.delete_one({"_id": content["_id"], **long_unused})
            gone += result.deleted_count
        return gone


def revision_document(revision: Revision) -> dict[str, Any]:
    """The stored form of a revision."""
    return {
        "_id": f"{revision.proposal_id}:{revision.number}",
        "proposal_id": revision.proposal_id,
        "project_id": revision.project_id,
        "number": revision.number,
        "digest": revision.digest,
        "at": revision.at,
        "actor": revision.actor,
        "cause": revision.cause.value,
        "run_id": revision.run_id,
        "note": revision.note,
        "restored_from": revision.restored_from,
        "files": [
            {
                "path": file.path,
                "size_bytes": file.size_bytes,
                "sha256": file.sha256,
                "change": file.change.value,
            }
            for file in revision.files
        ],
        "removed": list(revision.removed),
        "left_out": [list(pair) for pair in revision.left_out],
    }


def revision_event_fields(document: dict[str, Any]) -> dict[str, Any]:
    """What the event of a revision's document says."""
    return revision_fields(_revision(document))


def _revision(document: dict[str, Any]) -> Revision:
    return Revision(
        proposal_id=document["proposal_id"],
        project_id=document["project_id"],
        number=document["number"],
        digest=document["digest"],
        at=document["at"],
        actor=document["actor"],
        cause=Cause(document["cause"]),
        files=tuple(
            RevisionFile(
                file["path"], file["size_bytes"], file["sha256"], FileChange(file["change"])
            )
            for file in document["files"]
        ),
        removed=tuple(document["removed"]),
        run_id=document["run_id"],
        note=document["note"],
        restored_from=document["restored_from"],
        left_out=tuple((path, why) for path, why in document["left_out"]),
    )
