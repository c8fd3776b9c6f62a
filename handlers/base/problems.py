"""The document of an answer that says what went wrong (RFC 9457)."""

from typing import Literal, NotRequired, TypedDict

from rtserver.model.run import RunJson
from rtserver.reviews.locks import LeasedLockJson
from rtserver.reviews.statuses import ProposalStatus

PROBLEM_TYPE = "application/problem+json"


class ProblemJson(TypedDict):
    """What went wrong (RFC 9457).

    Attributes:
        title: the status in words.
        status: of the response.
        detail: what went wrong in this case, for people.
        reason: the same for programs.
        retry_after_s: when to try again, as the header Retry-After.
        lock: the lock that is in the way.
        run: the run that is in the way.
        version: the one that the proposal is at.
        current: the status that the proposal has.
        allowed: the statuses that it may have next.
    """

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    reason: NotRequired[str]
    retry_after_s: NotRequired[int]
    lock: NotRequired[LeasedLockJson]
    run: NotRequired[RunJson]
    version: NotRequired[int]
    current: NotRequired[ProposalStatus]
    allowed: NotRequired[list[ProposalStatus]]
