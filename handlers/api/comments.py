"""`/api/v1/proposals/{proposal_id}/comments`."""

from typing import Annotated, ClassVar, TypedDict

import msgspec

from handlers.base.api import ApiHandler
from handlers.base.operations import Answer, operation
from rtserver.audit.record.actions import Action
from rtserver.model import ids
from rtserver.model.field_types import CommentId, line_of
from rtserver.reviews.comments import MAX_COMMENT_CHARS, CommentJson

MAX_COMMENTS = 1000


class NewCommentBody(msgspec.Struct):
    """The body of `POST .../comments`."""

    text: Annotated[str, line_of(MAX_COMMENT_CHARS)]


class CommentsQuery(msgspec.Struct):
    """Which comments.

    Attributes:
        after: begin after this one.
        limit: so many at most.
    """

    after: CommentId | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_COMMENTS)] = MAX_COMMENTS


class CommentsJson(TypedDict):
    """Comments on a proposal, oldest first.

    Attributes:
        more: whether there are more after these.
        next: ask for those `after` it; null where there are no more.
    """

    comments: list[CommentJson]
    more: bool
    next: CommentId | None


class CommentsHandler(ApiHandler):
    """What is said about a proposal."""

    audit_actions: ClassVar = {"POST": Action.COMMENT_CREATED}

    @operation(
        "listComments",
        {200: Answer((CommentsJson,), description="The comments")},
        query=CommentsQuery,
        problems=(404,),
    )
    async def get(self, proposal: str) -> None:
        """List the comments on a proposal, oldest first.

        A page may be shorter than `limit` and have more after it: it is bounded in bytes too.
        """
        query = self.query(CommentsQuery)
        comments, more = await self.context.comments.of_proposal(
            self.identity,
            ids.proposal_id(proposal),
            after=None if query.after is None else ids.comment_id(query.after),
            limit=query.limit,
        )
        self.json(
            {
                "comments": [comment.to_json() for comment in comments],
                "more": more,
                "next": comments[-1].comment_id if more else None,
            }
        )

    @operation(
        "addComment",
        {201: Answer((CommentJson,), description="The comment")},
        body=(NewCommentBody,),
        problems=(404,),
    )
    async def post(self, proposal: str) -> None:
        """Comment on a proposal.

        Its author and its reviewers are told by `comment_created`.
        """
        body = self.body(NewCommentBody)
        proposal_id = ids.proposal_id(proposal)
        async with self.about(proposal_id):
            comment = await self.context.comments.add(self.identity, proposal_id, body.text)
        self.acting.project_id = comment.project_id
        self.audit_details["comment_id"] = comment.comment_id
        self.json(comment.to_json(), 201)
