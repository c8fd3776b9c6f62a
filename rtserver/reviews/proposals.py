"""Proposals: what is reviewed, by whom, and how far it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypedDict

from rtserver.model.errors import ConflictError, HiddenError, NotFoundError, RefusedError
from rtserver.model.events import EventDraft
from rtserver.model.field_types import Moment, ProjectId, ProposalId, UserId
from rtserver.model.identity import Identity
from rtserver.model.moments import rfc3339
from rtserver.reviews.collisions import Collision, CollisionJson, Touch, collisions_between
from rtserver.reviews.pages import Place
from rtserver.reviews.statuses import ProposalStatus
from rtserver.reviews.verdicts import (
    ApprovalsJson,
    Review,
    ReviewJson,
    RevisionRef,
    RevisionRefJson,
    approvals_of,
)

MAX_TITLE_CHARS = 256
MAX_REVIEWERS = 100


class ProposalJson(TypedDict):
    """A proposal as clients see it.

    Attributes:
        version: 1, 2, 3, ...; its entity tag is this number in quotes.
        created_by: who made it known, who need not be its author.
        revision: the text as it is; null where the workspace has none of it.
        reviews: the verdicts that stand, one of each reviewer.
        collisions: requirements that other open proposals of the project touch too; 50 at most.
    """

    id: ProposalId
    project_id: ProjectId
    title: str
    author: UserId
    reviewers: list[UserId]
    status: ProposalStatus
    version: int
    created_at: Moment
    updated_at: Moment
    created_by: UserId
    revision: RevisionRefJson | None
    reviews: list[ReviewJson]
    approvals: ApprovalsJson
    collisions: list[CollisionJson]


@dataclass(slots=True)
class Proposal:
    """A proposal. Its id is the OpenSpec change's name and unique on the server.

    Attributes:
        version: 1, 2, 3, ...; a change of anything below makes it one more.
        created_by: the user who made it known, who need not be its author.
        revision: the text as it is; None where none was seen.
        reviews: the verdicts that stand, one of each reviewer.
        required_approvals: how many approvals it takes on this server; not stored.
        collisions: see `ProposalJson`; None where nobody has looked at what its text touches.
    """

    proposal_id: str
    project_id: str
    title: str
    author: str
    reviewers: list[str]
    status: ProposalStatus
    created_at: datetime
    updated_at: datetime
    created_by: str
    version: int = 1
    revision: RevisionRef | None = None
    reviews: tuple[Review, ...] = ()
    required_approvals: int = 0
    collisions: tuple[Collision, ...] | None = None

    @property
    def members(self) -> frozenset[str]:
        """Author and reviewers."""
        return frozenset((self.author, *self.reviewers))

    @property
    def place(self) -> Place:
        """Where it stands in the list of its project's proposals."""
        return Place(self.created_at, self.proposal_id)

    @property
    def etag(self) -> str:
        """The version as a strong entity tag (RFC 9110 section 8.8.3)."""
        return f'"{self.version}"'

    @property
    def approvals(self) -> ApprovalsJson:
        """How far it is from being approved."""
        return approvals_of(
            self.reviews,
            self.revision,
            author=self.author,
            reviewers=self.reviewers,
            required=self.required_approvals,
        )

    def to_json(self) -> ProposalJson:
        """The proposal as clients see it; times in RFC 3339."""
        return {
            "id": self.proposal_id,
            "project_id": self.project_id,
            "title": self.title,
            "author": self.author,
            "reviewers": self.reviewers,
            "status": self.status,
            "version": self.version,
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
            "created_by": self.created_by,
            "revision": None if self.revision is None else self.revision.to_json(),
            "reviews": [review.to_json(self.revision) for review in self.reviews],
            "approvals": self.approvals,
            "collisions": [collision.to_json() for collision in self.collisions or ()],
        }


@dataclass(frozen=True, slots=True)
class NewProposal:
    """What is asked for when a proposal is made; the caller is its author unless one is named."""

    proposal_id: str
    title: str
    author: str | None = None
    reviewers: Sequence[str] = field(default_factory=tuple)
    status: ProposalStatus = ProposalStatus.DRAFT


@dataclass(frozen=True, slots=True)
class ProposalChanges:
    """What is to be different; None leaves it as it is."""

    title: str | None = None
    author: str | None = None
    reviewers: Sequence[str] | None = None
    status: ProposalStatus | None = None


class ProposalExistsError(ConflictError):
    """The id is taken; ids are unique on the server."""

    reason = "exists"


class StaleError(RefusedError):
    """The proposal is no longer the one that the caller has seen (RFC 9110 section 13.1.1)."""

    status = 412
    reason = "stale"


@dataclass(frozen=True, slots=True)
class Record:
    """A document that comes into the world with a change of a proposal, and its event.

    Attributes:
        value: a `rtserver.revisions.model.Revision`, say; the store knows how it is kept.
        event: what to tell of it; the store makes its fields of the value.
    """

    value: object
    event: EventDraft


MAX_ATTEMPTS = 20
"""So often is a change made anew on what others have changed meanwhile."""


class ContendedError(ConflictError):
    """Others keep changing it."""

    def __init__(self, what: str = "proposal") -> None:
        super().__init__(f"The {what} is being changed by others all the time; try again")


class ProposalStore(Protocol):
    """Proposals, kept where all workers see them. Each change and its events are one."""

    async def version_of_removed(self, proposal_id: str) -> int:
        """The version that a removed proposal of this id has left; 0 where there was none."""

    async def create(self, proposal: Proposal, created: EventDraft) -> None:
        """Store a new proposal. Its version is one more than `version_of_removed`.

        Raises:
            ProposalExistsError: the id is taken.
        """

    async def change(
        self,
        proposal: Proposal,
        changed: Sequence[EventDraft],
        record: Record | None = None,
        touches: Sequence[Touch] | None = None,
    ) -> bool:
        """Replace version `proposal.version - 1`; False where it is not the newest any more.

        Args:
            proposal: as it is to be.
            changed: what to tell.
            record: a document of another kind that comes into the world with the change, told of
                after the others.
            touches: the requirements that its text touches now; None: those that it did.
        """

    async def remove(self, proposal: Proposal, removed: EventDraft) -> bool:
        """Remove version `proposal.version - 1`; False where it is not the newest any more.

        Its comments, and its runs that have ended, go with it before the event is told.
        """

    async def get(self, proposal_id: str) -> Proposal | None:
        """A proposal, or None."""

    async def touches(self, proposal_id: str) -> list[Touch]:
        """The requirements that a proposal's text touches."""

    async def touching(
        self, project_id: str, touches: Sequence[Touch]
    ) -> list[tuple[str, list[Touch]]]:
        """The open proposals that touch any of these too, and which of them they touch."""

    async def concerned(self, project_id: str, proposal_id: str) -> list[str]:
        """The other open proposals that touch what this one touches, or say that they do."""

    async def page(
        self, project_id: str, *, after: Place | None, limit: int, max_bytes: int
    ) -> tuple[list[Proposal], bool]:
        """Proposals of a project, oldest first, as a majority has them, and whether there are more.

        Args:
            project_id: which.
            after: begin after this place; None: at the beginning.
            limit: so many at most.
            max_bytes: about so much, as they are stored; one at least.
        """

    async def members(self, project_id: str) -> Iterable[tuple[str, int, frozenset[str]]]:
        """Id, version and members of each proposal of a project; of a removed one, nobody."""


async def visible_proposal(
    store: ProposalStore, identity: Identity, proposal_id: str, none: str | None = None
) -> Proposal:
    """A proposal that this user may see.

    Args:
        store: where proposals are.
        identity: who asks.
        proposal_id: which.
        none: what to say where there is none, if something that belongs to it was asked for: who
            may not see the proposal is not told its name.

    Raises:
        NotFoundError: there is none, or (`HiddenError`) it is in a project that the token does not
            open: which of the two the user is not told.
    """
    proposal = await store.get(proposal_id)
    none = none or f"There is no proposal {proposal_id!r}"
    if proposal is None:
        raise NotFoundError(none)
    if not identity.may_open(proposal.project_id):
        raise HiddenError(none, proposal.project_id)
    return proposal


async def present_collisions(
    store: ProposalStore, proposal: Proposal, touches: Sequence[Touch] | None = None
) -> tuple[Collision, ...]:
    """What a proposal has in common with others now; nothing where it is not open.

    Args:
        store: where the others are.
        proposal: whose.
        touches: what its text touches, where that is not stored yet.

    Raises:
        StoreUnavailableError: MongoDB does not answer.
    """
    if not proposal.status.is_open:
        return ()
    if touches is None:
        touches = await store.touches(proposal.proposal_id)
    others = await store.touching(proposal.project_id, touches)
    return collisions_between(touches, (each for each in others if each[0] != proposal.proposal_id))
