"""Comments in MongoDB. See `rtserver.reviews.comments` for what the fields mean.

_id comment id, proposal_id, project_id, author, author_name, text, created_at, anchor, reply_to,
edited_at?, resolved_by?, resolved_at?, members (whom it was told to), version, removed?, outbox

A comment and its event are one update of the proposal's document: both wait in its outbox. So the
comment is ordered among the changes of the proposal's members, and its event is for those who are
members in that very update. The relay puts the comment here before it appends the event.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, ReturnDocument

from rtserver.model.audience import AudienceKind
from rtserver.model.errors import NotFoundError
from rtserver.model.events import EventDraft, EventType
from rtserver.model.moments import now_rfc3339
from rtserver.reviews.comments import MAX_COMMENT_CHARS, Anchor, Comment
from store.base.client import NEWEST_MS, Database, confirmed, core_errors, newest
from store.base.pages import page_of
from store.base.relay import OutboxRelay, waiting_event
from store.base.schemas import USER_ID, prepare_validated, schema
from store.documents.proposals import LIVE, PROPOSALS

COMMENTS = "comments"
NOT_REMOVED = {"removed": {"$exists": False}}
GONE = "(removed)"
SCHEMA = schema(
    {
        "_id": {"bsonType": "string", "minLength": 1, "maxLength": 128},
        "proposal_id": {"bsonType": "string", "minLength": 1, "maxLength": 128},
        "project_id": {"bsonType": "string", "minLength": 1, "maxLength": 128},
        "author": USER_ID,
        "author_name": USER_ID,
        "text": {"bsonType": "string", "minLength": 1, "maxLength": MAX_COMMENT_CHARS},
        "created_at": {"bsonType": "date"},
    }
)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def comment_fields(document: dict[str, Any]) -> dict[str, Any]:
    """What the event of a comment's document says."""
    return {"comment": _comment(document).to_json(), "actor": document["author"]}


class MongoComments:
    """`rtserver.reviews.comments.CommentStore` on MongoDB."""

    def __init__(self, database: Database, relay: OutboxRelay) -> None:
        self._database = database
        self._comments = confirmed(database)[COMMENTS]
        self._newest = newest(database)[COMMENTS]
        self._proposals = database[PROPOSALS]
        self._relay = relay

    async def prepare(self) -> None:
        """Make the collection, and the index by which a proposal's comments are found."""
        await prepare_validated(self._database, COMMENTS, SCHEMA)
        await self._comments.create_index(
            [("proposal_id", ASCENDING), ("created_at", ASCENDING)], name="of_proposal"
        )

    @core_errors
    async def add(self, comment: Comment) -> Comment:
        """See `CommentStore.add`."""
        document: dict[str, Any] = {
            "_id": comment.comment_id,
            "proposal_id": comment.proposal_id,
            "project_id": comment.project_id,
            "author": comment.author,
            "author_name": comment.author_name,
            "text": comment.text,
            "anchor": None if comment.anchor is None else asdict(comment.anchor),
            "reply_to": comment.reply_to,
            "version": 1,
            "outbox": [],
        }
        members = {"$setUnion": [["$author"], "$reviewers"]}
        entry = {
            "key": f"comment:{comment.comment_id}",
            "project_id": comment.project_id,
            "proposal_id": comment.proposal_id,
            "type": EventType.COMMENT_CREATED.value,
            "ts": now_rfc3339(),
        }
        audience = {
            "kind": AudienceKind.MEMBERS.value,
            "proposal_id": {"$literal": comment.proposal_id},
            "users": members,
        }
        # `$literal`: a text that begins with a dollar sign must not be read as an expression.
        waiting = {
            "$mergeObjects": [
                {"$literal": entry},
                {
                    "audience": audience,
                    "record": {
                        "into": COMMENTS,
                        "document": {
                            "$mergeObjects": [
                                {"$literal": document},
                                {"created_at": "$commented_at", "members": members},
                            ]
                        },
                    },
                },
            ]
        }
        proposal = await self._proposals.find_one_and_update(
            {"_id": comment.proposal_id, **LIVE},
            [
                # MongoDB's clock, and never what an earlier comment has: this is the order.
                {
                    "$set": {
                        "commented_at": {
                            "$max": [
                                "$$NOW",
                                {"$add": [{"$ifNull": ["$commented_at", _NEVER]}, 1]},
                            ]
                        }
                    }
                },
                {"$set": {"outbox": {"$concatArrays": ["$outbox", [waiting]]}}},
            ],
            return_document=ReturnDocument.AFTER,
        )
        if proposal is None:
            raise NotFoundError(f"There is no proposal {comment.proposal_id!r} any more")
        await self._relay.try_relay(PROPOSALS, proposal)
        told = [proposal["author"], *proposal["reviewers"]]
        return _comment({**document, "created_at": proposal["commented_at"], "members": told})

    @core_errors
    async def of_proposal(
        self, proposal_id: str, *, after: str | None, limit: int, max_bytes: int
    ) -> tuple[list[Comment], bool]:
        """See `CommentStore.of_proposal`. An unknown `after` is before the first."""
        wanted: dict[str, Any] = {"proposal_id": proposal_id, **NOT_REMOVED}
        if after is not None:
            last = await self._comments.find_one({"_id": after, "proposal_id": proposal_id})
            if last is not None:
                wanted["created_at"] = {"$gt": last["created_at"]}
        cursor = self._comments.find(wanted).sort("created_at", 1)
        return await page_of(cursor, _comment, limit=limit, max_bytes=max_bytes)

    @core_errors
    async def get(self, comment_id: str) -> Comment | None:
        """See `CommentStore.get`."""
        document = await self._comments.find_one({"_id": comment_id, **NOT_REMOVED})
        return None if document is None else _comment(document)

    @core_errors
    async def change(self, comment: Comment, changed: EventDraft) -> bool:
        """See `CommentStore.change`."""
        fields = {
            "text": comment.text,
            "edited_at": comment.edited_at,
            "resolved_by": comment.resolved_by,
            "resolved_at": comment.resolved_at,
            "version": comment.version,
        }
        return await self._update(comment.comment_id, comment.version - 1, fields, changed)

    @core_errors
    async def remove(self, comment: Comment, removed: EventDraft) -> bool:
        """See `CommentStore.remove`. Its document stays, without its words, for its event."""
        fields = {"text": GONE, "removed": True, "version": comment.version + 1}
        return await self._update(comment.comment_id, comment.version, fields, removed)

    async def _update(
        self, comment_id: str, version: int, fields: dict[str, Any], told: EventDraft
    ) -> bool:
        # Comments of before had no version.
        versions = [version, None] if version == 1 else [version]
        document = await self._comments.find_one_and_update(
            {"_id": comment_id, "version": {"$in": versions}, **NOT_REMOVED},
            {"$set": fields, "$push": {"outbox": waiting_event(f"comment:{comment_id}", told)}},
            return_document=ReturnDocument.AFTER,
        )
        if document is None:
            # Returns when a majority has the version that was met, so that `get` shows it.
            await self._newest.find_one({"_id": comment_id}, {"_id": 1}, max_time_ms=NEWEST_MS)
            return False
        await self._relay.try_relay(COMMENTS, document)
        return True


def _comment(document: dict[str, Any]) -> Comment:
    return Comment(
        comment_id=document["_id"],
        proposal_id=document["proposal_id"],
        project_id=document["project_id"],
        author=document["author"],
        author_name=document["author_name"],
        text=document["text"],
        created_at=document["created_at"],
        anchor=Anchor(**found) if (found := document.get("anchor")) else None,
        reply_to=document.get("reply_to"),
        edited_at=document.get("edited_at"),
        resolved_by=document.get("resolved_by"),
        resolved_at=document.get("resolved_at"),
        members=frozenset(document.get("members", ())),
        version=document.get("version") or 1,
    )
