"""Proposals: what is reviewed, by whom, and how far it is."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, TypedDict

from rtserver.model import ids, texts
from rtserver.model.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    RefusedError,
)
from rtserver.model.events import EventDraft, EventType, present_moment, rfc3339, viewers_of
from rtserver.model.field_types import Moment, ProjectId, ProposalId, UserId
from rtserver.model.identity import Identity
from rtserver.reviews.locks import LockGuard
from rtserver.reviews.statuses import ProposalStatus, check_move

MAX_TITLE_CHARS = 256
MAX_REVIEWERS = 100
MAX_ATTEMPTS = 20


class ProposalJson(TypedDict):
    """A proposal as clients see it.

    Attributes:
        version: 1, 2, 3, ...; its entity tag is this number in quotes.
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


@dataclass(slots=True)
class Proposal:
    """A proposal. Its id is the OpenSpec change's name and unique on the server.

    Attributes:
        version: 1, 2, 3, ...; a change of anything below makes it one more.
        created_by: the user who made it known, who need not be its author.
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

    @property
    def members(self) -> frozenset[str]:
        """Author and reviewers."""
        return frozenset((self.author, *self.reviewers))

    @property
    def etag(self) -> str:
        """The version as a strong entity tag (RFC 9110 section 8.8.3)."""
        return f'"{self.version}"'

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


class ProposalStore(Protocol):
    """Proposals, kept where all workers see them. Each change and its events are one."""

    async def create(self, proposal: Proposal, created: EventDraft) -> None:
        """Store a new proposal.

        Raises:
            ProposalExistsError: the id is taken.
        """

    async def change(self, proposal: Proposal, changed: Sequence[EventDraft]) -> bool:
        """Replace version `proposal.version - 1`; False where it is not the newest any more."""

    async def get(self, proposal_id: str) -> Proposal | None:
        """A proposal, or None."""

    async def of_project(self, project_id: str) -> list[Proposal]:
        """All proposals of a project, oldest first, as a majority has them."""

    async def members(self, project_id: str) -> Iterable[tuple[str, int, frozenset[str]]]:
        """Id, version and members of each proposal of a project."""


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


class ProposalService:
    """Makes and changes proposals for those who may."""

    def __init__(self, store: ProposalStore, locks: LockGuard) -> None:
        self._store = store
        self._locks = locks

    async def create(self, identity: Identity, project_id: str, new: NewProposal) -> Proposal:
        """Make a proposal known. The project was checked by the caller.

        Raises:
            InvalidError: a value cannot be used.
            ProposalExistsError: the id is taken.
            StoreUnavailableError: MongoDB does not answer.
        """
        now = present_moment()
        proposal = Proposal(
            proposal_id=ids.proposal_id(new.proposal_id),
            project_id=project_id,
            title=_title(new.title),
            author=texts.user_id("author", identity.user_id if new.author is None else new.author),
            reviewers=_reviewers(new.reviewers),
            status=new.status,
            created_at=now,
            updated_at=now,
            created_by=identity.user_id,
        )
        await self._store.create(proposal, creation_event(proposal, identity.user_id))
        return proposal

    async def change(
        self,
        identity: Identity,
        proposal_id: str,
        changes: ProposalChanges,
        fits: Callable[[Proposal], bool] | None = None,
    ) -> Proposal:
        """Change a proposal; the result. What is as it was already is no change and no event.

        Args:
            identity: who asks.
            proposal_id: which.
            changes: what is to be different.
            fits: whether the version at hand is one that the caller has seen.

        Raises:
            NotFoundError: there is none that this user may see.
            ForbiddenError: the user may not change this of it.
            StaleError: it is not the version that the caller has seen.
            LockedError: somebody else has locked the project.
            WrongMoveError: its status does not lead to the one asked for.
            InvalidError: a value cannot be used.
            ConflictError: others keep changing it.
            StoreUnavailableError: MongoDB does not answer.
        """
        for _ in range(MAX_ATTEMPTS):
            present = await visible_proposal(self._store, identity, proposal_id)
            check_rights(identity, present, changes)
            if fits is not None and not fits(present):
                raise StaleError(
                    f"The proposal was changed since: it is at version {present.version} now",
                    version=present.version,
                )
            changed = _changed(present, changes)
            if changed is None:
                return present
            await self._locks.check(present.project_id, identity)
            events = _change_events(present, changed, identity.user_id)
            if await self._store.change(changed, events):
                return changed
        raise ConflictError("The proposal is being changed by others all the time; try again")


def check_rights(identity: Identity, proposal: Proposal, changes: ProposalChanges) -> None:
    """See that a user may change this: reviewers the status; author, maker and admins anything.

    Raises:
        ForbiddenError: the user may not.
    """
    if identity.is_admin or identity.is_service:
        return
    if identity.user_id in (proposal.author, proposal.created_by):
        return
    if identity.user_id not in proposal.reviewers:
        raise ForbiddenError("Only the proposal's author, its reviewers and admins may change it")
    if (changes.title, changes.author, changes.reviewers) != (None, None, None):
        raise ForbiddenError("A reviewer may change the proposal's status, and nothing else of it")


def _changed(present: Proposal, changes: ProposalChanges) -> Proposal | None:
    """The proposal with the changes made, as its next version; None where nothing differs."""
    wanted = replace(
        present,
        title=present.title if changes.title is None else _title(changes.title),
        author=present.author
        if changes.author is None
        else texts.user_id("author", changes.author),
        reviewers=present.reviewers if changes.reviewers is None else _reviewers(changes.reviewers),
        status=present.status if changes.status is None else changes.status,
    )
    if wanted == present:
        return None
    check_move(present.status, wanted.status)
    # Never before the last change, whatever the clocks of two workers say.
    return replace(
        wanted, version=present.version + 1, updated_at=max(present_moment(), present.updated_at)
    )


def creation_event(proposal: Proposal, actor: str) -> EventDraft:
    """The event of a new proposal."""
    return _event(EventType.PROPOSAL_CREATED, proposal, actor)


def _event(type_: EventType, proposal: Proposal, actor: str) -> EventDraft:
    return EventDraft(
        proposal.project_id,
        type_,
        {"proposal": proposal.to_json(), "actor": actor},
        proposal_id=proposal.proposal_id,
    )


def _change_events(before: Proposal, after: Proposal, actor: str) -> list[EventDraft]:
    """What to tell: a change of status to the viewers, of anything else to the project."""
    events: list[EventDraft] = []
    if replace(before, status=after.status) != replace(
        after, version=before.version, updated_at=before.updated_at
    ):
        events.append(_event(EventType.PROPOSAL_UPDATED, after, actor))
    if after.status is not before.status:
        events.append(
            EventDraft(
                after.project_id,
                EventType.STATUS_CHANGED,
                {
                    "from": before.status.value,
                    "to": after.status.value,
                    "version": after.version,
                    "updated_at": rfc3339(after.updated_at),
                    "actor": actor,
                },
                audience=viewers_of(after.proposal_id),
                proposal_id=after.proposal_id,
            )
        )
    return events


def _title(text: str) -> str:
    return texts.line("title", text, MAX_TITLE_CHARS)


def _reviewers(user_ids: Sequence[str]) -> list[str]:
    """Each once, in the order given."""
    if len(user_ids) > MAX_REVIEWERS:
        raise InvalidError(f"A proposal has at most {MAX_REVIEWERS} reviewers")
    return list(dict.fromkeys(texts.user_id("reviewers", user_id) for user_id in user_ids))
