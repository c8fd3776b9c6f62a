"""Verdicts of reviewers on a proposal's text, and what they add up to."""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from rtserver.model.field_types import Digest, Moment, RevisionNumber, UserId
from rtserver.model.moments import rfc3339

MAX_REVIEW_CHARS = 10_000


class Verdict(enum.StrEnum):
    """What a reviewer says of a text."""

    APPROVE = "approve"
    REQUEST_CHANGES = "request_changes"
    COMMENT = "comment"


class RevisionRefJson(TypedDict):
    """The newest revision, in a proposal."""

    number: RevisionNumber
    digest: Digest
    at: Moment


class ReviewJson(TypedDict):
    """A verdict as clients see it.

    Attributes:
        reviewer_name: as the reviewer's token called them.
        revision: the number of the revision that was meant.
        digest: of that revision's contents.
        stale: whether the text has changed since.
    """

    reviewer: UserId
    reviewer_name: str
    verdict: Verdict
    revision: RevisionNumber
    digest: Digest
    text: str
    at: Moment
    stale: bool


class ApprovalsJson(TypedDict):
    """How far a proposal is from being approved.

    Attributes:
        required: approvals that it takes.
        given: those that stand, on the text of now, of reviewers other than the author.
        missing: how many are still to come.
        blocked_by: the reviewers whose request for changes stands.
    """

    required: int
    given: int
    missing: int
    blocked_by: list[UserId]


@dataclass(frozen=True, slots=True)
class RevisionRef:
    """Which text a proposal has now.

    Attributes:
        number: 1, 2, 3, ... within the proposal.
        digest: of the contents, see `rtserver.revisions.model.digest_of_files`.
        at: when it was seen or written.
    """

    number: int
    digest: str
    at: datetime

    def to_json(self) -> RevisionRefJson:
        """As clients see it; time in RFC 3339."""
        return {"number": self.number, "digest": self.digest, "at": rfc3339(self.at)}


@dataclass(frozen=True, slots=True)
class Review:
    """The verdict of one reviewer that stands."""

    reviewer: str
    reviewer_name: str
    verdict: Verdict
    revision: int
    digest: str
    text: str
    at: datetime

    def is_stale(self, now: RevisionRef | None) -> bool:
        """Whether the text has changed since. One that was put back as it was has not."""
        return now is None or now.digest != self.digest

    def to_json(self, now: RevisionRef | None) -> ReviewJson:
        """As clients see it while the text is that of `now`; time in RFC 3339."""
        return {
            "reviewer": self.reviewer,
            "reviewer_name": self.reviewer_name,
            "verdict": self.verdict,
            "revision": self.revision,
            "digest": self.digest,
            "text": self.text,
            "at": rfc3339(self.at),
            "stale": self.is_stale(now),
        }


def standing_after(reviews: Sequence[Review], new: Review) -> tuple[Review, ...]:
    """What stands when a reviewer has said something more: one verdict each, the newest.

    A comment takes back neither an approval nor a request for changes: it says something beside it.
    """
    others = tuple(review for review in reviews if review.reviewer != new.reviewer)
    if new.verdict is Verdict.COMMENT:
        for before in reviews:
            if before.reviewer == new.reviewer and before.verdict is not Verdict.COMMENT:
                return tuple(reviews)
    return (*others, new)


def approvals_of(
    reviews: Iterable[Review],
    now: RevisionRef | None,
    *,
    author: str,
    reviewers: Sequence[str],
    required: int,
) -> ApprovalsJson:
    """What the standing verdicts add up to.

    Only those count who are reviewers now, and never the author: nobody approves their own text.

    Args:
        reviews: what stands.
        now: the text as it is.
        author: of the proposal.
        reviewers: of the proposal.
        required: how many approvals it takes.
    """
    counted = [each for each in reviews if each.reviewer in reviewers and each.reviewer != author]
    given = sum(each.verdict is Verdict.APPROVE and not each.is_stale(now) for each in counted)
    blocked_by = [each.reviewer for each in counted if each.verdict is Verdict.REQUEST_CHANGES]
    return {
        "required": required,
        "given": given,
        "missing": max(0, required - given),
        "blocked_by": blocked_by,
    }
