"""Problem documents (RFC 9457), and which error each of them stands for."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal, NotRequired, TypedDict

from tornado import web

from rtserver.auth.tokens import TokenRefused
from rtserver.model.close_codes import ADVICE
from rtserver.model.errors import AnsweredError
from rtserver.model.run import RunJson
from rtserver.reviews.locks import LeasedLockJson
from rtserver.reviews.statuses import ProposalStatus
from rtserver.reviews.verdicts import ApprovalsJson, RevisionRefJson

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
        newest: the newest revision of its text; null where it has none.
        paths: the files that are in the way.
        approvals: how far it is from being approved.
        why: why its files were not reached, for programs.
        earliest_offset: where the stream can be read on from; what came before is overwritten.
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
    newest: NotRequired[RevisionRefJson | None]
    paths: NotRequired[list[str]]
    approvals: NotRequired[ApprovalsJson]
    why: NotRequired[str]
    earliest_offset: NotRequired[str]


class Problem(web.HTTPError):
    """An answer in `application/problem+json` (RFC 9457).

    Attributes:
        detail: what went wrong in this case, for people.
        reason_word: the same for programs, as the key `reason`.
        headers: what the answer's status asks for.
        extra: further keys of the document.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        reason: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(status)
        self.detail = detail
        self.reason_word = reason
        self.headers = headers or {}
        self.extra = extra


def origin_refused() -> Problem:
    """The answer to a page of an origin that is not let in."""
    return Problem(
        403,
        "Pages of this origin may not connect; RT_ALLOWED_ORIGINS lists those that may",
        "origin",
    )


def problem_of(error: BaseException) -> Problem | None:
    """The answer that an error of the core stands for."""
    match error:
        case Problem():
            return error
        case AnsweredError():
            words = str(error)
            if isinstance(error, TokenRefused) and error.reason == "missing":
                words += " Send it as Authorization: Bearer TOKEN"
            return Problem(
                error.status, words, error.reason, **_retry_after(error), **error.details
            )
    return None


def _retry_after(error: AnsweredError) -> dict[str, Any]:
    """When to try again: as it says, or for what passes by itself as sessions are told."""
    if error.retry_after_s is not None:
        return {"retry_after_s": error.retry_after_s}
    if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
        return {}
    low_ms, high_ms = ADVICE[error.close_code].retry_after_ms
    return {"retry_after_s": (low_ms + high_ms) // 2000}
