"""Editing of proposals: made and changed by those who may, and told to the project."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from rtserver.model import ids, texts
from rtserver.model.audience import viewers_of
from rtserver.model.errors import ConflictError, InvalidError
from rtserver.model.events import EventDraft, EventType
from rtserver.model.identity import Identity
from rtserver.model.moments import present_moment, rfc3339
from rtserver.reviews.locks import LockGuard
from rtserver.reviews.proposals import (
    MAX_ATTEMPTS,
    MAX_REVIEWERS,
    MAX_TITLE_CHARS,
    ContendedError,
    NewProposal,
    Proposal,
    ProposalChanges,
    ProposalStore,
    StaleError,
    present_collisions,
    visible_proposal,
)
from rtserver.reviews.rights import check_change, check_creation, check_removal, check_text_change
from rtserver.reviews.statuses import ProposalStatus, check_move
from rtserver.reviews.verdicts import ApprovalsJson

REVISED = "revised"
"""The cause of a `status_changed` that nobody asked for by name: the text is being changed."""


class ReopeningRecords(Protocol):
    """Keeps which proposals went back to review without anybody asking for that by name."""

    def reopened(self, proposal: Proposal, actor: str) -> None:
        """An approved proposal is under review again: this actor has its text changed."""


class ProposalService:
    """Makes and changes proposals for those who may."""

    def __init__(
        self,
        store: ProposalStore,
        locks: LockGuard,
        *,
        required_approvals: int = 0,
        records: ReopeningRecords | None = None,
    ) -> None:
        """Make the service.

        Args:
            store: where proposals are.
            locks: who may change a project now.
            required_approvals: how many approvals a proposal takes.
            records: told of each approved proposal that went back to review.
        """
        self._store = store
        self._locks = locks
        self._required_approvals = required_approvals
        self._records = records

    def tell_reopened(self, proposal: Proposal, actor: str) -> None:
        """Have it recorded that an approved proposal went back to review."""
        if self._records is not None:
            self._records.reopened(proposal, actor)

    async def create(self, identity: Identity, project_id: str, new: NewProposal) -> Proposal:
        """Make a proposal known. The project was checked by the caller.

        Raises:
            ForbiddenError: the user may not make it known in this status.
            InvalidError: a value cannot be used.
            ProposalExistsError: the id is taken.
            StoreUnavailableError: MongoDB does not answer.
        """
        check_creation(identity, new)
        proposal_id = ids.proposal_id(new.proposal_id)
        now = present_moment()
        proposal = Proposal(
            proposal_id=proposal_id,
            project_id=project_id,
            title=_title(new.title),
            author=texts.user_id("author", identity.user_id if new.author is None else new.author),
            reviewers=_reviewers(new.reviewers),
            status=new.status,
            created_at=now,
            updated_at=now,
            created_by=identity.user_id,
            required_approvals=self._required_approvals,
            version=await self._store.version_of_removed(proposal_id) + 1,
        )
        await self._store.create(proposal, creation_event(proposal, identity.user_id))
        return proposal

    async def change(
        self,
        identity: Identity,
        proposal_id: str,
        changes: ProposalChanges,
        fits: Callable[[Proposal], bool] | None = None,
        *,
        moved: Mapping[str, Any] | None = None,
    ) -> Proposal:
        """Change a proposal; the result. What is as it was already is no change and no event.

        Args:
            identity: who asks.
            proposal_id: which.
            changes: what is to be different.
            fits: whether the version at hand is one that the caller has seen.
            moved: what else to tell of a change of status.

        Raises:
            NotFoundError: there is none that this user may see.
            ForbiddenError: the user may not change this of it.
            StaleError: it is not the version that the caller has seen.
            LockedError: somebody else has locked the project.
            WrongMoveError: its status does not lead to the one asked for.
            ApprovalsMissingError: it was to be approved, and its reviewers have not said so.
            InvalidError: a value cannot be used.
            ConflictError: others keep changing it.
            StoreUnavailableError: MongoDB does not answer.
        """
        for _ in range(MAX_ATTEMPTS):
            present = await visible_proposal(self._store, identity, proposal_id)
            changed = await self.check(identity, present, changes, fits)
            if changed is None:
                return present
            is_same = changed.status.is_open is present.status.is_open
            if not is_same and present.collisions is not None:
                collisions = await present_collisions(self._store, changed)
                changed = replace(changed, collisions=collisions)
            events = change_events(present, changed, identity.user_id, **(moved or {}))
            if await self._store.change(changed, events):
                return changed
        raise ContendedError

    async def check(
        self,
        identity: Identity,
        present: Proposal,
        changes: ProposalChanges,
        fits: Callable[[Proposal], bool] | None = None,
    ) -> Proposal | None:
        """See that a user may change a proposal so; what it would be, None where nothing differs.

        Raises:
            See `change`.
        """
        check_change(identity, present, changes)
        _check_fits(present, fits)
        changed = _changed(present, changes)
        if changed is None:
            return None
        if changed.status is not present.status and changed.status is ProposalStatus.APPROVED:
            check_approvals(changed)
        await self._locks.check(present.project_id, identity)
        return changed

    async def remove(
        self,
        identity: Identity,
        proposal_id: str,
        fits: Callable[[Proposal], bool] | None = None,
    ) -> Proposal:
        """Remove a proposal with its comments and runs; its files stay. What it was at the end.

        Args:
            identity: who asks.
            proposal_id: which.
            fits: whether the version at hand is one that the caller has seen.

        Raises:
            NotFoundError: there is none that this user may see.
            ForbiddenError: the user may not.
            StaleError: it is not the version that the caller has seen.
            LockedError: somebody else has locked the project.
            ConflictError: others keep changing it.
            StoreUnavailableError: MongoDB does not answer.
        """
        for _ in range(MAX_ATTEMPTS):
            present = await visible_proposal(self._store, identity, proposal_id)
            check_removal(identity, present)
            _check_fits(present, fits)
            await self._locks.check(present.project_id, identity)
            removed = next_version(present, present)
            if await self._store.remove(removed, _removal_event(removed, identity.user_id)):
                return removed
        raise ContendedError

    async def check_text(self, identity: Identity, proposal_id: str) -> None:
        """See that a user may change a proposal's text now, or have it changed.

        Raises:
            NotFoundError: there is none that this user may see.
            ForbiddenError: the user may not.
            ArchivedError: nobody may any more.
            LockedError: somebody else has locked the project.
            StoreUnavailableError: MongoDB does not answer.
        """
        proposal = await visible_proposal(self._store, identity, proposal_id)
        check_text_change(identity, proposal)
        await self._locks.check(proposal.project_id, identity)

    async def reopen(self, proposal_id: str, actor: str) -> None:
        """Put an approved proposal back to review: what was approved is not its text any more.

        Called before the text is changed, so that no text changes under an approval; and once more
        right after it, for an approval that came in between was one of the old text.

        Args:
            proposal_id: which. In another status, or removed meanwhile, it stays as it is.
            actor: who has the text changed.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        while True:  # each failure is a change that somebody else has made
            present = await self._store.get(proposal_id)
            if present is None or present.status is not ProposalStatus.APPROVED:
                return
            reopened = next_version(replace(present, status=ProposalStatus.IN_REVIEW), present)
            told = change_events(present, reopened, actor, cause=REVISED)
            if await self._store.change(reopened, told):
                self.tell_reopened(reopened, actor)
                return


def _check_fits(present: Proposal, fits: Callable[[Proposal], bool] | None) -> None:
    if fits is not None and not fits(present):
        raise StaleError(
            f"The proposal was changed since: it is at version {present.version} now",
            version=present.version,
        )


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
    return next_version(wanted, present)


def check_approvals(proposal: Proposal) -> None:
    """See that a proposal has the approvals that it takes on the text of now.

    Raises:
        ApprovalsMissingError: it has not, or a reviewer's request for changes stands.
    """
    approvals = proposal.approvals
    if not approvals["required"]:
        return
    if approvals["missing"] or approvals["blocked_by"]:
        raise ApprovalsMissingError(approvals)


class ApprovalsMissingError(ConflictError):
    """The proposal's reviewers have not approved the text as it is now."""

    reason = "approvals_missing"

    def __init__(self, approvals: ApprovalsJson) -> None:
        if approvals["blocked_by"]:
            who = ", ".join(approvals["blocked_by"])
            why = f"{who} asked for changes, and that stands until they say otherwise"
        else:
            why = (
                f"it has {approvals['given']} of {approvals['required']} approvals by reviewers "
                "of the text as it is now"
            )
        super().__init__(f"The proposal cannot be approved yet: {why}", approvals=approvals)


def next_version(wanted: Proposal, present: Proposal) -> Proposal:
    """A proposal as it is to be, numbered and timed as the version after the present one."""
    # Never before the last change, whatever the clocks of two workers say.
    updated_at = max(present_moment(), present.updated_at)
    return replace(wanted, version=present.version + 1, updated_at=updated_at)


def creation_event(proposal: Proposal, actor: str) -> EventDraft:
    """The event of a new proposal."""
    return _event(EventType.PROPOSAL_CREATED, proposal, actor)


def _removal_event(proposal: Proposal, actor: str) -> EventDraft:
    return EventDraft(
        proposal.project_id,
        EventType.PROPOSAL_DELETED,
        {"version": proposal.version, "actor": actor},
        proposal_id=proposal.proposal_id,
    )


def _event(type_: EventType, proposal: Proposal, actor: str | None) -> EventDraft:
    return EventDraft(
        proposal.project_id,
        type_,
        {"proposal": proposal.to_json(), **_by(actor)},
        proposal_id=proposal.proposal_id,
    )


def _by(actor: str | None) -> dict[str, str]:
    return {} if actor is None else {"actor": actor}


def change_events(
    before: Proposal, after: Proposal, actor: str | None, **moved: Any
) -> list[EventDraft]:
    """What to tell: a change of status to the viewers, of anything else to the project.

    Args:
        before: as it was.
        after: as it is.
        actor: who changed it; None where the workspace did.
        **moved: what else to tell of a change of status.
    """
    events: list[EventDraft] = []
    if replace(before, status=after.status) != replace(
        after, version=before.version, updated_at=before.updated_at
    ):
        events.append(_event(EventType.PROPOSAL_UPDATED, after, actor))
    if after.status is not before.status:
        fields = {
            "from": before.status.value,
            "to": after.status.value,
            "version": after.version,
            "updated_at": rfc3339(after.updated_at),
            **_by(actor),
            **moved,
        }
        events.append(
            EventDraft(
                after.project_id,
                EventType.STATUS_CHANGED,
                fields,
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
