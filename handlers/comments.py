"""`/api/v1/proposals/{proposal_id}/comments`."""

from typing import ClassVar

import msgspec

from handlers.base import ApiHandler
from rtserver import ids
from rtserver.audit_actions import Action

MAX_COMMENTS = 1000


class NewCommentBody(msgspec.Struct):
    """The body of `POST .../comments`."""

    text: str


class CommentsHandler(ApiHandler):
    """What is said about a proposal."""

    audit_actions: ClassVar = {"POST": Action.COMMENT_CREATED}

    async def get(self, proposal: str) -> None:
        """Answer with the comments, oldest first; `after` is the id of the last one known."""
        after = self.get_query_argument("after", None)
        comments, more = await self.context.comments.of_proposal(
            self.identity,
            ids.proposal_id(proposal),
            after=None if after is None else ids.comment_id(after),
            limit=self.number("limit", MAX_COMMENTS, low=1, high=MAX_COMMENTS),
        )
        self.json({"comments": [comment.to_json() for comment in comments], "more": more})

    async def post(self, proposal: str) -> None:
        """Comment on the proposal."""
        body = self.body(NewCommentBody)
        proposal_id = ids.proposal_id(proposal)
        async with self.about(proposal_id):
            comment = await self.context.comments.add(self.identity, proposal_id, body.text)
        self.acting.project_id = comment.project_id
        self.audit_details["comment_id"] = comment.comment_id
        self.json(comment.to_json(), 201)
