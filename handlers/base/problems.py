"""Problem documents (RFC 9457), and which error each of them stands for."""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

from tornado import web

from rtserver.auth.tokens import TokenRefused
from rtserver.model import ids
from rtserver.model.errors import BusyError, ProjectFullError, RefusedError, StoreUnavailableError
from rtserver.model.run import RunJson
from rtserver.reviews.locks import LeasedLockJson
from rtserver.reviews.statuses import ProposalStatus
from rtserver.reviews.verdicts import ApprovalsJson, RevisionRefJson

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
PROJECT_FULL_RETRY_AFTER_S = 10


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
        case ProjectFullError():
            return Problem(
                503, str(error), "project_full", retry_after_s=PROJECT_FULL_RETRY_AFTER_S
            )
        case BusyError():
            return Problem(
                error.status,
                str(error),
                error.reason,
                retry_after_s=error.retry_after_s,
                **error.details,
            )
        case RefusedError():
            return Problem(error.status, str(error), error.reason, **error.details)
        case TokenRefused(reason="keys_unavailable"):
            return Problem(503, error.message, error.reason, retry_after_s=RETRY_AFTER_S)
        case TokenRefused(reason="missing"):
            how = "Send it as Authorization: Bearer TOKEN"
            return Problem(401, f"{error.message} {how}", error.reason)
        case TokenRefused(retry_after_s=None):
            return Problem(401, error.message, error.reason)
        case TokenRefused():
            return Problem(401, error.message, error.reason, retry_after_s=error.retry_after_s)
        case StoreUnavailableError():
            return Problem(503, str(error), "unavailable", retry_after_s=RETRY_AFTER_S)
        case ids.BadIdentifier():
            return Problem(400, str(error), "bad_identifier")
    return None
