"""Audit outcomes: maps an error or an HTTP status to allowed, denied or failed."""

from http import HTTPStatus
from typing import Any

from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.model.errors import AnsweredError, ForbiddenError, HiddenError

_DENIED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
_LIMITS = frozenset({"busy", "project_full", "audit_full", "unauthorized"})


def outcome_of(error: BaseException) -> tuple[Outcome, str]:
    """The outcome that an error stands for, and the reason as a word."""
    match error:
        case HiddenError():
            return Outcome.DENIED, ForbiddenError.reason  # and not what the user is told
        case AnsweredError():
            return Outcome.DENIED if error.is_denied else Outcome.FAILED, error.reason
        case _:
            return Outcome.FAILED, "internal"


def record_failed(
    auditor: Auditor,
    action: Action,
    error: BaseException,
    *,
    by: Acting | None = None,
    **details: Any,
) -> None:
    """Record an act that an error ended. `by` and `details` are as for `Auditor.record`."""
    outcome, reason = outcome_of(error)
    auditor.record(action, outcome, by=by, reason=reason, **details)


def outcome_of_refusal(reason: str | None) -> Outcome:
    """The outcome of what was refused for this reason, as the reason alone tells it."""
    return Outcome.DENIED if reason in _LIMITS else Outcome.FAILED


def outcome_of_status(status: int, reason: str | None) -> Outcome:
    """The outcome that an answer over HTTP stands for."""
    if status < 400:
        return Outcome.ALLOWED
    return Outcome.DENIED if status in _DENIED else outcome_of_refusal(reason)
