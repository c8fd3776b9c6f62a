"""Comments on a proposal."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypedDict

from rtserver.model import texts
from rtserver.model.field_types import CommentId, Moment, ProposalId, UserId
from rtserver.model.identity import Identity
from rtserver.model.moments import rfc3339
from rtserver.reviews.pages import PAGE_BYTES
from rtserver.reviews.proposals import ProposalStore, visible_proposal

MAX_COMMENT_CHARS = 10_000


class CommentJson(TypedDict):
    """A comment as clients see it.

    Attributes:
        author_name: as the author's token called them.
    """

    id: CommentId
    proposal_id: ProposalId
    author: UserId
    author_name: str
    text: str
    created_at: Moment | None


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment. Comments of a proposal are ordered as their events are.

    Attributes:
        author: the user who made it.
        author_name: as the author's token called them.
        created_at: None until it is stored; no two of a proposal have the same.
    """

    comment_id: str
    proposal_id: str
    project_id: str
    author: str
    author_name: str
    text: str
    created_at: datetime | None = None

    def to_json(self) -> CommentJson:
        """The comment as clients see it; time in RFC 3339."""
        return {
            "id": self.comment_id,
            "proposal_id": self.proposal_id,
            "author": self.author,
            "author_name": self.author_name,
            "text": self.text,
            "created_at": None if self.created_at is None else rfc3339(self.created_at),
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


class CommentService:
    """Takes and shows comments. Whoever may open the project may make them and read them."""

    def __init__(self, store: CommentStore, proposals: ProposalStore) -> None:
        self._store = store
        self._proposals = proposals

    async def add(self, identity: Identity, proposal_id: str, text: str) -> Comment:
        """Comment on a proposal.

        Raises:
            NotFoundError: there is none that this user may see.
            InvalidError: the text is empty, too long or has control characters.
            StoreUnavailableError: MongoDB does not answer.
        """
        text = texts.prose("text", text, MAX_COMMENT_CHARS)
        proposal = await visible_proposal(self._proposals, identity, proposal_id)
        return await self._store.add(
            Comment(
                comment_id=secrets.token_hex(8),
                proposal_id=proposal.proposal_id,
                project_id=proposal.project_id,
                author=identity.user_id,
                author_name=identity.name,
                text=text,
            )
        )

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
