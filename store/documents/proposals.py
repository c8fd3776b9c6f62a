"""Proposals in MongoDB. See `rtserver.reviews.proposals` for what the fields mean.

_id proposal id, project_id, title, author, reviewers, status, version, created_by, created_at,
updated_at, commented_at? (of the newest comment), revision? {number, digest, at}, reviews? array of
{reviewer, reviewer_name, verdict, revision, digest, text, at}, outbox
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from rtserver.model.events import EventDraft
from rtserver.reviews.proposals import (
    MAX_REVIEWERS,
    MAX_TITLE_CHARS,
    Proposal,
    ProposalExistsError,
    Record,
)
from rtserver.reviews.statuses import ProposalStatus
from rtserver.reviews.verdicts import Review, RevisionRef, Verdict
from store.base.client import NEWEST_MS, Database, confirmed, core_errors, newest
from store.base.relay import OutboxRelay, waiting_event
from store.base.schemas import OUTBOX, USER_ID, prepare_validated, schema

PROPOSALS = "proposals"
RecordForm = tuple[str, Callable[[Any], dict[str, Any]]]
SCHEMA = schema(
    {
        "_id": {"bsonType": "string", "minLength": 1, "maxLength": 128},
        "project_id": {"bsonType": "string", "minLength": 1, "maxLength": 128},
        "title": {"bsonType": "string", "minLength": 1, "maxLength": MAX_TITLE_CHARS},
        "author": USER_ID,
        "reviewers": {
            "bsonType": "array",
            "items": USER_ID,
            "maxItems": MAX_REVIEWERS,
            "uniqueItems": True,
        },
        "status": {"enum": [status.value for status in ProposalStatus]},
        "version": {"bsonType": ["int", "long"], "minimum": 1},
        "created_by": USER_ID,
        "created_at": {"bsonType": "date"},
        "updated_at": {"bsonType": "date"},
        "outbox": OUTBOX,
    },
    {"commented_at": {"bsonType": "date"}},
)


class MongoProposals:
    """`rtserver.reviews.proposals.ProposalStore` on MongoDB."""

    def __init__(
        self,
        database: Database,
        relay: OutboxRelay,
        *,
        required_approvals: int = 0,
        records: Mapping[type, RecordForm] | None = None,
    ) -> None:
        """Make the store.

        Args:
            database: where proposals are.
            relay: tells of their changes.
            required_approvals: see `rtserver.reviews.proposals.Proposal`.
            records: by type, how a value is kept that comes with a change: its collection, and
                what makes its document.
        """
        self._required_approvals = required_approvals
        self._records = records or {}
        self._database = database
        self._proposals = database[PROPOSALS]
        self._confirmed = confirmed(database)[PROPOSALS]
        self._newest = newest(database)[PROPOSALS]
        self._relay = relay

    async def prepare(self) -> None:
        """Make the collection, and the index by which a project's proposals are found."""
        await prepare_validated(self._database, PROPOSALS, SCHEMA)
        await self._proposals.create_index(
            [("project_id", ASCENDING), ("created_at", ASCENDING)], name="of_project"
        )

    @core_errors
    async def create(self, proposal: Proposal, created: EventDraft) -> None:
        """See `ProposalStore.create`."""
        document = {
            "_id": proposal.proposal_id,
            **_fields(proposal),
            "project_id": proposal.project_id,
            "created_by": proposal.created_by,
            "created_at": proposal.created_at,
            "outbox": [waiting_event(_what(proposal), created)],
        }
        try:
            await self._proposals.insert_one(document)
        except DuplicateKeyError:
            raise ProposalExistsError(
                f"A proposal {proposal.proposal_id!r} exists already; ids are unique on the server"
            ) from None
        await self._relay.try_relay(PROPOSALS, document)

    @core_errors
    async def change(
        self, proposal: Proposal, changed: Sequence[EventDraft], record: Record | None = None
    ) -> bool:
        """See `ProposalStore.change`."""
        waiting = [waiting_event(_what(proposal), draft) for draft in changed]
        if record is not None:
            into, document_of = self._records[type(record.value)]
            brought = {"into": into, "document": document_of(record.value)}
            waiting.append({**waiting_event(_what(proposal), record.event), "record": brought})
        document = await self._proposals.find_one_and_update(
            {"_id": proposal.proposal_id, "version": proposal.version - 1},
            {"$set": _fields(proposal), "$push": {"outbox": {"$each": waiting}}},
            return_document=ReturnDocument.AFTER,
        )
        if document is None:
            # Returns when a majority has the version that was met, so that `get` shows it.
            await self._newest.find_one(
                {"_id": proposal.proposal_id}, {"version": 1}, max_time_ms=NEWEST_MS
            )
            return False
        await self._relay.try_relay(PROPOSALS, document)
        return True

    @core_errors
    async def get(self, proposal_id: str) -> Proposal | None:
        """See `ProposalStore.get`."""
        document = await self._confirmed.find_one({"_id": proposal_id})
        return None if document is None else self._proposal(document)

    @core_errors
    async def of_project(self, project_id: str) -> list[Proposal]:
        """See `ProposalStore.of_project`."""
        cursor = self._confirmed.find({"project_id": project_id}, {"outbox": 0})
        return [self._proposal(document) async for document in cursor.sort("created_at", 1)]

    @core_errors
    async def members(self, project_id: str) -> list[tuple[str, int, frozenset[str]]]:
        """See `ProposalStore.members`."""
        cursor = self._confirmed.find(
            {"project_id": project_id}, {"version": 1, "author": 1, "reviewers": 1}
        )
        return [
            (found["_id"], found["version"], frozenset((found["author"], *found["reviewers"])))
            async for found in cursor
        ]

    def _proposal(self, document: dict[str, Any]) -> Proposal:
        return Proposal(
            proposal_id=document["_id"],
            project_id=document["project_id"],
            title=document["title"],
            author=document["author"],
            reviewers=list(document["reviewers"]),
            status=ProposalStatus(document["status"]),
            created_at=document["created_at"],
            updated_at=document["updated_at"],
            created_by=document.get("created_by", document["author"]),
            version=document["version"],
            revision=RevisionRef(**found) if (found := document.get("revision")) else None,
            reviews=tuple(
                Review(**{**review, "verdict": Verdict(review["verdict"])})
                for review in document.get("reviews", ())
            ),
            required_approvals=self._required_approvals,
        )


def _what(proposal: Proposal) -> str:
    return f"proposal:{proposal.proposal_id}:{proposal.version}"


def _fields(proposal: Proposal) -> dict[str, Any]:
    """What a change may set."""
    return {
        "title": proposal.title,
        "author": proposal.author,
        "reviewers": proposal.reviewers,
        "status": proposal.status.value,
        "version": proposal.version,
        "updated_at": proposal.updated_at,
        "revision": None if proposal.revision is None else asdict(proposal.revision),
        "reviews": [
            {**asdict(review), "verdict": review.verdict.value} for review in proposal.reviews
        ],
    }
