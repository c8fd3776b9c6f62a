"""`/api/v1/proposals/{proposal_id}/comments`."""

from typing import Annotated, ClassVar, TypedDict

import msgspec

from handlers.base.api import ApiHandler
from handlers.base.operations import Answer, operation
from rtserver.audit.record.actions import Action
from rtserver.model import ids
from rtserver.model.field_types import CommentId, line_of
from rtserver.reviews.comments import (
    MAX_COMMENT_CHARS,
    MAX_HEADING_CHARS,
    MAX_LINE,
    MAX_PATH_CHARS,
    MAX_QUOTE_CHARS,
    Anchor,
    CommentJson,
)

MAX_COMMENTS = 1000


class AnchorBody(msgspec.Struct):
    """The place in a text that a comment is about.

    Attributes:
        revision: the number of the revision that was read.
        path: of the file.
        heading: the heading that it stands under.
        quote: the words meant.
        line: of the file, from 1.
    """

    revision: Annotated[int, msgspec.Meta(ge=1)]
    path: Annotated[str, line_of(MAX_PATH_CHARS)]
    heading: Annotated[str, line_of(MAX_HEADING_CHARS)] | None = None
    quote: Annotated[str, line_of(MAX_QUOTE_CHARS)] | None = None
    line: Annotated[int, msgspec.Meta(ge=1, le=MAX_LINE)] | None = None


class NewCommentBody(msgspec.Struct):
    """The body of `POST .../comments`.

    Attributes:
        anchor: the place in the text that it is about.
        reply_to: the comment that it answers.
    """

    text: Annotated[str, line_of(MAX_COMMENT_CHARS)]
    anchor: AnchorBody | None = None
    reply_to: CommentId | None = None


class CommentChangesBody(msgspec.Struct):
    """The body of `PATCH /api/v1/comments/{id}`: what is to be different."""

    text: Annotated[str, line_of(MAX_COMMENT_CHARS)] | None = None
    resolved: bool | None = None


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
                "comments": await self.context.threads.shown(
                    self.identity, ids.proposal_id(proposal), comments
                ),
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
            comment, shown = await self.context.threads.add(
                self.identity,
                proposal_id,
                body.text,
                anchor=None
                if body.anchor is None
                else Anchor(**msgspec.structs.asdict(body.anchor)),
                reply_to=None if body.reply_to is None else ids.comment_id(body.reply_to),
            )
        self.acting.project_id = comment.project_id
        self.audit_details["comment_id"] = comment.comment_id
        self.json(shown, 201)


class CommentHandler(ApiHandler):
    """One comment."""

    audit_actions: ClassVar = {
        "PATCH": Action.COMMENT_UPDATED,
        "DELETE": Action.COMMENT_DELETED,
    }

    @operation(
        "changeComment",
        {200: Answer((CommentJson,), description="The comment as it is now")},
        body=(CommentChangesBody,),
        problems=(403, 404, 409),
    )
    async def patch(self, comment: str) -> None:
        """Change a comment's text, or whether it is settled.

        The text is its author's alone. That it is settled is said by its author, the proposal's
        author and reviewers, and admins. Whom it was told to is told by `comment_updated`.
        """
        body = self.body(CommentChangesBody)
        self.audit_target = comment
        changed = await self.context.comments.change(
            self.identity, ids.comment_id(comment), text=body.text, resolved=body.resolved
        )
        self.acting.project_id = changed.project_id
        self.audit_details |= {"proposal_id": changed.proposal_id, "resolved": body.resolved}
        (shown,) = await self.context.threads.shown(self.identity, changed.proposal_id, [changed])
        self.json(shown)

    @operation(
        "removeComment",
        {204: Answer(description="It is gone")},
        problems=(403, 404, 409),
    )
    async def delete(self, comment: str) -> None:
        """Remove a comment, as its author or an admin.

        Whom it was told to is told by `comment_deleted`.
        """
        self.audit_target = comment
        removed = await self.context.comments.remove(self.identity, ids.comment_id(comment))
        self.acting.project_id = removed.project_id
        self.audit_details["proposal_id"] = removed.proposal_id
        self.set_status(204)
        self.finish()
