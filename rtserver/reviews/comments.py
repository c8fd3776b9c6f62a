"""Comments on a proposal."""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NotRequired, Protocol, TypedDict

from rtserver.model import texts
from rtserver.model.audience import members_of
from rtserver.model.errors import ForbiddenError, NotFoundError
from rtserver.model.events import EventDraft, EventType
from rtserver.model.field_types import CommentId, Moment, ProposalId, RevisionNumber, UserId
from rtserver.model.identity import Identity
from rtserver.model.moments import present_moment, rfc3339
from rtserver.reviews.pages import PAGE_BYTES
from rtserver.reviews.proposals import (
    MAX_ATTEMPTS,
    ContendedError,
    Proposal,
    ProposalStore,
    visible_proposal,
)
from rtserver.reviews.rights import takes_part

MAX_COMMENT_CHARS = 10_000
MAX_QUOTE_CHARS = 2_000
MAX_HEADING_CHARS = 300
MAX_PATH_CHARS = 1_024
MAX_LINE = 1_000_000


class AnchorJson(TypedDict):
    """The place in a text that a comment is about.

    Attributes:
        revision: the number of the revision that was read.
        path: of the file.
        heading: the heading that it stands under, without its number signs.
        quote: the words meant.
        line: of the file, from 1.
    """

    revision: RevisionNumber
    path: str
    heading: str | None
    quote: str | None
    line: int | None


class ResolvedJson(TypedDict):
    """By whom a thread was called settled, and when."""

    by: UserId
    at: Moment


class PlaceJson(TypedDict):
    """Where the place that a comment is about is in the newest revision."""

    revision: RevisionNumber
    line: int


class CommentJson(TypedDict):
    """A comment as clients see it.

    Attributes:
        author_name: as the author's token called them.
        anchor: the place in the text that it is about, as it was given.
        reply_to: the comment that it answers.
        resolved: whether it is settled; null where it is not.
        place: where the place of the anchor is now; null where it is not found any more. Only in
            answers to requests.
        outdated: whether it is not found any more; likewise.
    """

    id: CommentId
    proposal_id: ProposalId
    author: UserId
    author_name: str
    text: str
    created_at: Moment | None
    anchor: AnchorJson | None
    reply_to: CommentId | None
    edited_at: Moment | None
    resolved: ResolvedJson | None
    place: NotRequired[PlaceJson | None]
    outdated: NotRequired[bool]


@dataclass(frozen=True, slots=True)
class Anchor:
    """The place in a text that a comment is about; see `AnchorJson`."""

    revision: int
    path: str
    heading: str | None = None
    quote: str | None = None
    line: int | None = None

    def to_json(self) -> AnchorJson:
        """As clients see it."""
        return {
            "revision": self.revision,
            "path": self.path,
            "heading": self.heading,
            "quote": self.quote,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment. Comments of a proposal are ordered as their events are.

    Attributes:
        author: the user who made it.
        author_name: as the author's token called them.
        created_at: None until it is stored; no two of a proposal have the same.
        anchor: the place in the text that it is about.
        reply_to: the comment that it answers.
        edited_at: when its text was changed last.
        resolved_by, resolved_at: by whom it was called settled, and when.
        members: whom it was told to: the proposal's author and reviewers of then.
        version: 1, 2, 3, ...; each change makes it one more.
    """

    comment_id: str
    proposal_id: str
    project_id: str
    author: str
    author_name: str
    text: str
    created_at: datetime | None = None
    anchor: Anchor | None = None
    reply_to: str | None = None
    edited_at: datetime | None = None
    resolved_by: str | None = None
    resolved_at: datetime | None = None
    members: frozenset[str] = frozenset()
    version: int = 1

    def to_json(self) -> CommentJson:
        """The comment as clients see it; time in RFC 3339."""
        return {
            "id": self.comment_id,
            "proposal_id": self.proposal_id,
            "author": self.author,
            "author_name": self.author_name,
            "text": self.text,
            "created_at": None if self.created_at is None else rfc3339(self.created_at),
            "anchor": None if self.anchor is None else self.anchor.to_json(),
            "reply_to": self.reply_to,
            "edited_at": None if self.edited_at is None else rfc3339(self.edited_at),
            "resolved": None
            if self.resolved_by is None or self.resolved_at is None
            else {"by": self.resolved_by, "at": rfc3339(self.resolved_at)},
        }


class CommentStore(Protocol):
    """Comments, kept where all workers see them. Each and its event are one."""

    async def add(self, comment: Comment) -> Comment:
        """Store a comment, and tell the proposal's author and reviewers of this moment.

        Returns:
            It with its time.

        Raises:
            NotFoundError: the proposal was removed.
        """

    async def of_proposal(
        self, proposal_id: str, *, after: str | None, limit: int, max_bytes: int
    ) -> tuple[list[Comment], bool]:
        """Comments in order, from the one after a comment's id on, and whether there are more.

        Args:
            proposal_id: which proposal's.
            after: begin after this comment; None: at the beginning.
            limit: so many at most.
            max_bytes: about so much, as they are stored; one at least.
        """

    async def get(self, comment_id: str) -> Comment | None:
        """A comment, or None where there is none, or it was removed."""

    async def change(self, comment: Comment, changed: EventDraft) -> bool:
        """Replace version `comment.version - 1`; False where it is not the newest any more."""

    async def remove(self, comment: Comment, removed: EventDraft) -> bool:
        """Remove version `comment.version`; False where it is not the newest any more."""


class CommentService:
    """Takes and shows comments. Whoever may open the project may make them and read them."""

    def __init__(self, store: CommentStore, proposals: ProposalStore) -> None:
        self._store = store
        self._proposals = proposals

    async def add(
        self,
        identity: Identity,
        proposal_id: str,
        text: str,
        *,
        anchor: Anchor | None = None,
        reply_to: str | None = None,
    ) -> Comment:
        """Comment on a proposal.

        Args:
            identity: who comments.
            proposal_id: on which.
            text: what.
            anchor: the place in the text that it is about; the caller has seen that it is there.
            reply_to: the comment that it answers.

        Raises:
            NotFoundError: there is no such proposal that this user may see, or nothing to answer.
            InvalidError: the text is empty, too long or has control characters.
            StoreUnavailableError: MongoDB does not answer.
        """
        text = texts.prose("text", text, MAX_COMMENT_CHARS)
        proposal = await visible_proposal(self._proposals, identity, proposal_id)
        if reply_to is not None:
            answered = await self._store.get(reply_to)
            if answered is None or answered.proposal_id != proposal_id:
                raise NotFoundError(f"There is no comment {reply_to!r} on this proposal")
        return await self._store.add(
            Comment(
                comment_id=secrets.token_hex(8),
                proposal_id=proposal.proposal_id,
                project_id=proposal.project_id,
                author=identity.user_id,
                author_name=identity.name,
                text=text,
                anchor=anchor,
                reply_to=reply_to,
            )
        )

    async def change(
        self,
        identity: Identity,
        comment_id: str,
        *,
        text: str | None = None,
        resolved: bool | None = None,
    ) -> Comment:
        """Change a comment's text, or whether it is settled; None leaves it as it is.

        Raises:
            NotFoundError: there is no such comment that this user may see.
            ForbiddenError: the text is its author's alone; settled is said by the comment's author,
                the proposal's author, who made it known, its reviewers and admins.
            InvalidError: the text cannot be used.
            ConflictError: others keep changing it.
            StoreUnavailableError: MongoDB does not answer.
        """
        if text is not None:
            text = texts.prose("text", text, MAX_COMMENT_CHARS)
        for _ in range(MAX_ATTEMPTS):
            present, proposal = await self._visible(identity, comment_id)
            _check_rights(identity, present, proposal, text=text, resolved=resolved)
            changed = _changed(present, identity, text, resolved)
            if changed is None:
                return present
            told = _event(EventType.COMMENT_UPDATED, changed, proposal, identity)
            if await self._store.change(changed, told):
                return changed
        raise ContendedError("comment")

    async def remove(self, identity: Identity, comment_id: str) -> Comment:
        """Remove a comment; what it was.

        Raises:
            NotFoundError: there is no such comment that this user may see.
            ForbiddenError: only its author and admins may.
            ConflictError: others keep changing it.
            StoreUnavailableError: MongoDB does not answer.
        """
        for _ in range(MAX_ATTEMPTS):
            present, proposal = await self._visible(identity, comment_id)
            if identity.user_id != present.author and not identity.is_admin:
                raise ForbiddenError("Only its author and admins may remove a comment")
            told = _event(EventType.COMMENT_DELETED, present, proposal, identity)
            if await self._store.remove(present, told):
                return present
        raise ContendedError("comment")

    async def _visible(self, identity: Identity, comment_id: str) -> tuple[Comment, Proposal]:
        present = await self._store.get(comment_id)
        none = f"There is no comment {comment_id!r}"
        if present is None:
            raise NotFoundError(none)
        return present, await visible_proposal(self._proposals, identity, present.proposal_id, none)

    async def of_proposal(
        self, identity: Identity, proposal_id: str, *, after: str | None, limit: int
    ) -> tuple[list[Comment], bool]:
        """The comments on a proposal, oldest first, and whether there are more.

        Raises:
            NotFoundError: there is no such proposal that this user may see.
            StoreUnavailableError: MongoDB does not answer.
        """
        await visible_proposal(self._proposals, identity, proposal_id)
        return await self._store.of_proposal(
            proposal_id, after=after, limit=limit, max_bytes=PAGE_BYTES
        )


def _check_rights(
    identity: Identity,
    comment: Comment,
    proposal: Proposal,
    *,
    text: str | None,
    resolved: bool | None,
) -> None:
    if text is not None and identity.user_id != comment.author:
        raise ForbiddenError("Only its author may change a comment's text")
    if resolved is None or identity.is_admin or identity.user_id == comment.author:
        return
    if not takes_part(identity, proposal):
        raise ForbiddenError(
            "Only its author, and the proposal's author and reviewers, call a comment settled"
        )


def _changed(
    present: Comment, identity: Identity, text: str | None, resolved: bool | None
) -> Comment | None:
    """The comment as its next version; None where nothing differs."""
    now = present_moment()
    changed = present
    if text is not None and text != present.text:
        changed = replace(changed, text=text, edited_at=now)
    if resolved is not None and resolved != (present.resolved_by is not None):
        changed = replace(
            changed,
            resolved_by=identity.user_id if resolved else None,
            resolved_at=now if resolved else None,
        )
    return None if changed is present else replace(changed, version=present.version + 1)


def _event(
    type_: EventType, comment: Comment, proposal: Proposal, identity: Identity
) -> EventDraft:
    """What to tell those whom the comment was told to."""
    what: dict[str, object] = (
        {"comment_id": comment.comment_id}
        if type_ is EventType.COMMENT_DELETED
        else {"comment": comment.to_json()}
    )
    return EventDraft(
        comment.project_id,
        type_,
        {**what, "actor": identity.user_id},
        audience=members_of(comment.proposal_id, comment.members or proposal.members),
        proposal_id=comment.proposal_id,
    )
