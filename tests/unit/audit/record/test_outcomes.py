import asyncio

import pytest

from rtserver.audit.record.actions import Outcome
from rtserver.audit.record.outcomes import outcome_of, outcome_of_refusal, outcome_of_status
from rtserver.auth.tokens import TokenRefused
from rtserver.eventlog.api import LogBusyError, LogUnavailableError
from rtserver.model.errors import (
    ConflictError,
    ForbiddenError,
    HiddenError,
    InvalidError,
    NotFoundError,
    ProjectFullError,
    StoreUnavailableError,
    UnauthorizedError,
)
from rtserver.model.ids import BadIdentifier

DENIED, FAILED = Outcome.DENIED, Outcome.FAILED


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (TokenRefused("expired"), DENIED, "expired"),
        (TokenRefused("keys_unavailable"), FAILED, "keys_unavailable"),
        (ProjectFullError("full"), DENIED, "project_full"),
        (ForbiddenError("no"), DENIED, "forbidden"),
        (HiddenError("There is none", "p1"), DENIED, "forbidden"),
        (UnauthorizedError("no"), DENIED, "unauthorized"),
        (LogBusyError(), DENIED, "busy"),
        (NotFoundError("none"), FAILED, "not_found"),
        (ConflictError("no"), FAILED, "conflict"),
        (InvalidError("no"), FAILED, "invalid"),
        (StoreUnavailableError("away"), FAILED, "unavailable"),
        (LogUnavailableError("away"), FAILED, "unavailable"),
        (BadIdentifier("no id"), FAILED, "bad_identifier"),
        (ZeroDivisionError(), FAILED, "internal"),
        (asyncio.CancelledError(), FAILED, "internal"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_an_error_ends_an_act_as_denied_or_as_failed(
    error: BaseException, outcome: Outcome, reason: str
) -> None:
    assert outcome_of(error) == (outcome, reason)


@pytest.mark.parametrize(
    ("status", "reason", "outcome"),
    [
        (200, None, Outcome.ALLOWED),
        (304, None, Outcome.ALLOWED),
        (400, "invalid", FAILED),
        (401, "expired", DENIED),
        (403, None, DENIED),
        (404, "not_found", FAILED),
        (429, None, DENIED),
        (500, None, FAILED),
        (503, "busy", DENIED),
        (503, "project_full", DENIED),
        (503, "unavailable", FAILED),
    ],
)
def test_an_answer_over_http_says_how_an_act_ended(
    status: int, reason: str | None, outcome: Outcome
) -> None:
    assert outcome_of_status(status, reason) is outcome


def test_a_refusal_is_a_denial_where_it_is_a_limit() -> None:
    assert outcome_of_refusal("audit_full") is DENIED
    assert outcome_of_refusal("malformed") is FAILED
    assert outcome_of_refusal(None) is FAILED
