"""Proposals: what is reviewed, by whom, and how far it is."""

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from rtserver.errors import ConflictError, NotFoundError
from rtserver.events import EventDraft, rfc3339
from rtserver.identity import Identity


class ProposalStatus(enum.StrEnum):
    """How far a proposal is."""

    DRAFT = "draft"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    REJECTED = "rejected"
    ARCHIVED = "archived"


@dataclass(slots=True)
class Proposal:
    """A proposal. Its id is the OpenSpec change's name and unique on the server."""

    proposal_id: str
    project_id: str
    title: str
    author: str
    reviewers: list[str]
    status: ProposalStatus
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def members(self) -> frozenset[str]:
        """Author and reviewers."""
        return frozenset((self.author, *self.reviewers))

    def to_json(self) -> dict[str, Any]:
        """The proposal as clients see it; times in RFC 3339."""
        return {
            "id": self.proposal_id,
            "project_id": self.project_id,
            "title": self.title,
            "author": self.author,
            "reviewers": self.reviewers,
            "status": self.status.value,
            "version": self.version,
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
        }


@dataclass(slots=True)
class NewProposal:
    """What is asked for when a proposal is made."""

    proposal_id: str
    title: str
    author: str
    reviewers: list[str] = field(default_factory=list)
    status: ProposalStatus = ProposalStatus.DRAFT


class ProposalExistsError(ConflictError):
    """The id is taken; ids are unique on the server."""

    reason = "exists"


class ProposalStore(Protocol):
    """Proposals, kept where all workers see them. Each change and its event are one."""

    async def create(self, proposal: Proposal, created: EventDraft) -> None:
        """Store a new proposal.

        Raises:
            ProposalExistsError: the id is taken.
        """

    async def get(self, proposal_id: str) -> Proposal | None:
        """A proposal, or None."""

    async def of_project(self, project_id: str) -> list[Proposal]:
        """All proposals of a project, oldest first."""


async def visible_proposal(store: ProposalStore, identity: Identity, proposal_id: str) -> Proposal:
    """A proposal that this user may see.

    Raises:
        NotFoundError: there is none, or it is in a project that the token does not open: which of
            the two is not said.
    """
    proposal = await store.get(proposal_id)
    if proposal is None or not identity.may_open(proposal.project_id):
        raise NotFoundError(f"There is no proposal {proposal_id!r}")
    return proposal
