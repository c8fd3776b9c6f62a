"""`/api/v1/proposals/{proposal_id}/reviews`."""

from typing import Annotated, ClassVar, TypedDict

import msgspec

from handlers.base.api import ApiHandler
from handlers.base.operations import Answer, operation
from rtserver.audit.record.actions import Action
from rtserver.model import ids
from rtserver.model.field_types import line_of
from rtserver.reviews.proposals import visible_proposal
from rtserver.reviews.verdicts import MAX_REVIEW_CHARS, ApprovalsJson, ReviewJson, Verdict


class NewReviewBody(msgspec.Struct):
    """The body of `POST .../reviews`.

    Attributes:
        revision: the number of the revision that was read.
        text: why, for people.
    """

    verdict: Verdict
    revision: Annotated[int, msgspec.Meta(ge=1)]
    text: Annotated[str, line_of(MAX_REVIEW_CHARS, min_chars=0)] = ""


class ReviewsJson(TypedDict):
    """The verdicts that stand, and what they add up to."""

    reviews: list[ReviewJson]
    approvals: ApprovalsJson


class ReviewsHandler(ApiHandler):
    """What reviewers say of a proposal's text."""

    audit_actions: ClassVar = {"POST": Action.REVIEW_SUBMITTED}

    @operation(
        "listReviews",
        {200: Answer((ReviewsJson,), description="The verdicts that stand")},
        problems=(404,),
    )
    async def get(self, proposal: str) -> None:
        """List the verdicts that stand, one of each reviewer."""
        found = await visible_proposal(
            self.context.proposals, self.identity, ids.proposal_id(proposal)
        )
        self.json(
            {
                "reviews": [review.to_json(found.revision) for review in found.reviews],
                "approvals": found.approvals,
            }
        )

    @operation(
        "submitReview",
        {201: Answer((ReviewJson,), description="The verdict")},
        body=(NewReviewBody,),
        problems=(403, 404, 409),
    )
    async def post(self, proposal: str) -> None:
        """Give a verdict on the newest revision; it takes the place of one's earlier one.

        409 `stale_revision` where `revision` is not the newest.
        """
        proposal_id = ids.proposal_id(proposal)
        body = self.body(NewReviewBody)
        self.audit_details |= {"verdict": body.verdict.value, "revision": body.revision}
        async with self.about(proposal_id):
            review, changed = await self.context.reviews.submit(
                self.identity, proposal_id, body.verdict, body.revision, body.text
            )
        self.acting.project_id = changed.project_id
        self.audit_details["digest"] = review.digest
        self.json(review.to_json(changed.revision), 201)
