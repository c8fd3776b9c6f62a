"""Comments in MongoDB. See `rtserver.reviews.comments` for what the fields mean.

_id comment id, proposal_id, project_id, author, author_name, text, created_at

A comment and its event are one update of the proposal's document: both wait in its outbox. So the
comment is ordered among the changes of the proposal's members, and its event is for those who are
members in that very update. The relay puts the comment here before it appends the event.
"""

from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, ReturnDocument

from rtserver.model.audience import AudienceKind
from rtserver.model.errors import NotFoundError
from rtserver.model.events import EventType
from rtserver.model.moments import now_rfc3339
from rtserver.reviews.comments import MAX_COMMENT_CHARS, Comment
from store.base.client import Database, confirmed, core_errors
from store.base.pages import page_of
from store.base.relay import OutboxRelay
from store.base.schemas import USER_ID, prepare_validated, schema
from store.documents.proposals import LIVE, PROPOSALS

COMMENTS = "comments"
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
        document = {
            "_id": comment.comment_id,
            "proposal_id": comment.proposal_id,
            "project_id": comment.project_id,
            "author": comment.author,
            "author_name": comment.author_name,
            "text": comment.text,
        }
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
            "users": {"$setUnion": [["$author"], "$reviewers"]},
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
                                {"created_at": "$commented_at"},
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
        return _comment({**document, "created_at": proposal["commented_at"]})

    @core_errors
    async def of_proposal(
        self, proposal_id: str, *, after: str | None, limit: int, max_bytes: int
    ) -> tuple[list[Comment], bool]:
        """See `CommentStore.of_proposal`. An unknown `after` is before the first."""
        wanted: dict[str, Any] = {"proposal_id": proposal_id}
        if after is not None:
            last = await self._comments.find_one({"_id": after, "proposal_id": proposal_id})
            if last is not None:
                wanted["created_at"] = {"$gt": last["created_at"]}
        cursor = self._comments.find(wanted).sort("created_at", 1)
        return await page_of(cursor, _comment, limit=limit, max_bytes=max_bytes)


def _comment(document: dict[str, Any]) -> Comment:
    return Comment(
        comment_id=document["_id"],
        proposal_id=document["proposal_id"],
        project_id=document["project_id"],
        author=document["author"],
        author_name=document["author_name"],
        text=document["text"],
        created_at=document["created_at"],
    )
