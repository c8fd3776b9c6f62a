"""Proposals in MongoDB. See `rtserver.reviews.proposals` for what the fields mean.

_id proposal id, project_id, title, author, reviewers, status, version, created_by, created_at,
updated_at, commented_at? (of the newest comment), revision? {number, digest, at}, reviews? array of
{reviewer, reviewer_name, verdict, revision, digest, text, at}, removed? (true: there is none of
this id), last_runs? (see store/documents/runs.py), touches? array of {key, operation} (the
requirements that its text touches, see `rtserver.reviews.collisions.Touch`), collisions? array of
{proposal_id, capability, requirement, here, there}, outbox

What was removed leaves its document, without its words, for the sake of its version: one of the
same id goes on from there, so that nobody takes the new one for an older state of the old one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from rtserver.model.events import EventDraft, EventType
from rtserver.reviews.collisions import Collision, Touch
from rtserver.reviews.pages import Place
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
from store.base.pages import BATCH_DOCUMENTS, page_of
from store.base.relay import After, OutboxRelay, waiting_event
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
    {"commented_at": {"bsonType": "date"}, "removed": {"enum": [True]}},
)
LIVE = {"removed": {"$exists": False}}
"""The condition for there being a proposal of an id."""
OPEN = [status.value for status in ProposalStatus if status.is_open]
UNTOUCHED = {"outbox": 0, "touches": 0}
"""What is left out where proposals are read: it may be much, and concerns nobody there."""
BELONGING = ("comments", "runs", "revisions")
"""The collections of what goes with its proposal."""


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
            [("project_id", ASCENDING), ("created_at", ASCENDING), ("_id", ASCENDING)],
            name="of_project_in_order",
        )
        for name, key in (
            ("touching", "touches.key"),
            ("colliding", "collisions.proposal_id"),
        ):
            # The project last, or the list of a project's proposals might go by this one.
            await self._proposals.create_index(
                [(key, ASCENDING), ("project_id", ASCENDING)], name=name
            )

    @core_errors
    async def version_of_removed(self, proposal_id: str) -> int:
        """See `ProposalStore.version_of_removed`."""
        document = await self._confirmed.find_one({"_id": proposal_id, "removed": True})
        if document is None:
            return 0
        # What the old one still has to tell, and what is forgotten with it, comes before a new one.
        await self._relay.relay(PROPOSALS, document)
        return int(document["version"])

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
        if proposal.version == 1:
            try:
                await self._proposals.insert_one(document)
            except DuplicateKeyError:
                raise _exists(proposal) from None
        else:
            left = {"removed": True, "version": proposal.version - 1, "outbox": []}
            replaced = await self._proposals.replace_one(
                {"_id": proposal.proposal_id, **left}, document
            )
            if not replaced.matched_count:
                raise _exists(proposal)
        await self._relay.try_relay(PROPOSALS, document)

    @core_errors
    async def change(
        self,
        proposal: Proposal,
        changed: Sequence[EventDraft],
        record: Record | None = None,
        touches: Sequence[Touch] | None = None,
    ) -> bool:
        """See `ProposalStore.change`."""
        waiting = [waiting_event(_what(proposal), draft) for draft in changed]
        fields = _fields(proposal)
        if touches is not None:
            fields["touches"] = [{"key": each.key, "operation": each.operation} for each in touches]
        if record is not None:
            into, document_of = self._records[type(record.value)]
            brought = {"into": into, "document": document_of(record.value)}
            waiting.append({**waiting_event(_what(proposal), record.event), "record": brought})
        if touches is not None or any(each.type == EventType.STATUS_CHANGED for each in changed):
            waiting[-1]["settles"] = True
        return await self._move(proposal, fields, waiting)

    @core_errors
    async def remove(self, proposal: Proposal, removed: EventDraft) -> bool:
        """See `ProposalStore.remove`."""
        wordless = replace(
            proposal,
            title=proposal.proposal_id,
            reviewers=[],
            reviews=(),
            revision=None,
            collisions=(),
        )
        fields = {**_fields(wordless), "touches": [], "removed": True}
        waiting = {**waiting_event(_what(proposal), removed), "settles": True}
        return await self._move(proposal, fields, [waiting])

    async def _move(
        self, proposal: Proposal, fields: dict[str, Any], waiting: list[dict[str, Any]]
    ) -> bool:
        """Set fields of version `proposal.version - 1`; False where it is not the newest."""
        document = await self._proposals.find_one_and_update(
            {"_id": proposal.proposal_id, "version": proposal.version - 1, **LIVE},
            {"$set": fields, "$push": {"outbox": {"$each": waiting}}},
            return_document=ReturnDocument.AFTER,
            projection={"touches": 0},
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
        document = await self._confirmed.find_one({"_id": proposal_id, **LIVE}, UNTOUCHED)
        return None if document is None else self._proposal(document)

    @core_errors
    async def touches(self, proposal_id: str) -> list[Touch]:
        """See `ProposalStore.touches`."""
        found = await self._confirmed.find_one({"_id": proposal_id, **LIVE}, {"touches": 1})
        return _touches(found or {})

    @core_errors
    async def touching(
        self, project_id: str, touches: Sequence[Touch]
    ) -> list[tuple[str, list[Touch]]]:
        """See `ProposalStore.touching`."""
        keys = [touch.key for touch in touches]
        common = {"$filter": {"input": "$touches", "cond": {"$in": ["$$this.key", keys]}}}
        cursor = self._confirmed.aggregate(
            [
                {"$match": _touching(project_id, keys)},
                {"$project": {"touches": common}},
            ]
        )
        return [(document["_id"], _touches(document)) async for document in cursor]

    @core_errors
    async def concerned(self, project_id: str, proposal_id: str) -> list[str]:
        """See `ProposalStore.concerned`."""
        own = await self._confirmed.find_one({"_id": proposal_id}, {"touches.key": 1})
        keys = [touch["key"] for touch in (own or {}).get("touches", ())]
        said = {"project_id": project_id, "collisions.proposal_id": proposal_id}
        found: set[str] = set()
        for wanted in (_touching(project_id, keys), said):
            async for document in self._confirmed.find(wanted, {"_id": 1}):
                found.add(document["_id"])
        return sorted(found - {proposal_id})

    @core_errors
    async def page(
        self, project_id: str, *, after: Place | None, limit: int, max_bytes: int
    ) -> tuple[list[Proposal], bool]:
        """See `ProposalStore.page`."""
        wanted: dict[str, Any] = {"project_id": project_id, **LIVE}
        if after is not None:
            # One range of the index, less its beginning; with `$or` it would have to be sorted.
            wanted["created_at"] = {"$gte": after.moment}
            wanted["$nor"] = [{"created_at": after.moment, "_id": {"$lte": after.id}}]
        cursor = self._confirmed.find(wanted, UNTOUCHED).sort([("created_at", 1), ("_id", 1)])
        return await page_of(cursor, self._proposal, limit=limit, max_bytes=max_bytes)

    @core_errors
    async def members(self, project_id: str) -> list[tuple[str, int, frozenset[str]]]:
        """See `ProposalStore.members`."""
        cursor = self._confirmed.find(
            {"project_id": project_id}, {"version": 1, "author": 1, "reviewers": 1, "removed": 1}
        ).batch_size(BATCH_DOCUMENTS)
        return [(found["_id"], found["version"], _members(found)) async for found in cursor]

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
            collisions=tuple(Collision(**each) for each in document["collisions"])
            if "collisions" in document
            else None,
        )


def _touching(project_id: str, keys: list[str]) -> dict[str, Any]:
    """The condition for an open proposal that touches one of these."""
    return {
        "project_id": project_id,
        "touches.key": {"$in": keys},
        "status": {"$in": OPEN},
        **LIVE,
    }


def _touches(document: dict[str, Any]) -> list[Touch]:
    return [Touch.from_key(each["key"], each["operation"]) for each in document.get("touches", ())]


def settling(settle: Callable[[str, str], Awaitable[None]]) -> After:
    """After a change that may concern the collisions of other proposals was told, settle those.

    Args:
        settle: takes the project and the proposal that has changed. Where it fails the change is
            told once more, which is harmless, and it is called again.
    """

    async def after(document: dict[str, Any], entry: dict[str, Any]) -> None:
        if entry.get("settles"):
            await settle(entry["project_id"], document["_id"])

    return after


def _members(document: dict[str, Any]) -> frozenset[str]:
    if document.get("removed"):
        return frozenset()
    return frozenset((document["author"], *document["reviewers"]))


def _exists(proposal: Proposal) -> ProposalExistsError:
    return ProposalExistsError(
        f"A proposal {proposal.proposal_id!r} exists already; ids are unique on the server"
    )


async def forget_with_removed(
    database: Database, _document: dict[str, Any], entry: dict[str, Any]
) -> None:
    """Before it is told that a proposal was removed, remove what belongs to it.

    See `store.base.relay.Before`. A run that is under way has its end to come, and goes in time.
    """
    if entry["type"] == EventType.PROPOSAL_DELETED:
        belongs = {"proposal_id": entry["proposal_id"], "active": {"$exists": False}}
        for name in BELONGING:
            await database[name].delete_many(belongs)


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
        **(
            {}
            if proposal.collisions is None
            else {"collisions": [asdict(collision) for collision in proposal.collisions]}
        ),
    }
