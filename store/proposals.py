"""Proposals in MongoDB. See `rtserver.proposals` for what the fields mean.

_id proposal id, project_id, title, author, reviewers, status, version, created_at,
updated_at, outbox
"""

from typing import Any

from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from rtserver.events import EventDraft
from rtserver.proposals import Proposal, ProposalExistsError, ProposalStatus
from store.client import Database, core_errors
from store.outbox import OutboxRelay, waiting_event

PROPOSALS = "proposals"


class MongoProposals:
    """`rtserver.proposals.ProposalStore` on MongoDB."""

    def __init__(self, database: Database, relay: OutboxRelay) -> None:
        self._proposals = database[PROPOSALS]
        self._relay = relay

    async def prepare(self) -> None:
        """Make the index by which a project's proposals are found."""
        await self._proposals.create_index(
            [("project_id", ASCENDING), ("created_at", ASCENDING)], name="of_project"
        )

    @core_errors
    async def create(self, proposal: Proposal, created: EventDraft) -> None:
        """See `ProposalStore.create`."""
        document = {
            "_id": proposal.proposal_id,
            "project_id": proposal.project_id,
            "title": proposal.title,
            "author": proposal.author,
            "reviewers": proposal.reviewers,
            "status": proposal.status.value,
            "version": proposal.version,
            "created_at": proposal.created_at,
            "updated_at": proposal.updated_at,
            "outbox": [
                waiting_event(f"proposal:{proposal.proposal_id}:{proposal.version}", created)
            ],
        }
        try:
            await self._proposals.insert_one(document)
        except DuplicateKeyError:
            raise ProposalExistsError(
                f"A proposal {proposal.proposal_id!r} exists already; ids are unique on the server"
            ) from None
        await self._relay.try_relay(PROPOSALS, document)

    @core_errors
    async def get(self, proposal_id: str) -> Proposal | None:
        """See `ProposalStore.get`."""
        document = await self._proposals.find_one({"_id": proposal_id})
        return None if document is None else _proposal(document)

    @core_errors
    async def of_project(self, project_id: str) -> list[Proposal]:
        """See `ProposalStore.of_project`."""
        cursor = self._proposals.find({"project_id": project_id}).sort("created_at", 1)
        return [_proposal(document) async for document in cursor]


def _proposal(document: dict[str, Any]) -> Proposal:
    return Proposal(
        proposal_id=document["_id"],
        project_id=document["project_id"],
        title=document["title"],
        author=document["author"],
        reviewers=list(document["reviewers"]),
        status=ProposalStatus(document["status"]),
        created_at=document["created_at"],
        updated_at=document["updated_at"],
        version=document["version"],
    )
