"""Errors that the core shares. Each message is for people and says nothing of the inside."""

from typing import Any

from rtserver.model.close_codes import CloseCode


class AnsweredError(Exception):
    """What ends an act, and is told to who asked. All that hangs on its kind stands with it.

    The message is for people.

    Attributes:
        status: the HTTP status that says the same (RFC 9110 section 15).
        reason: a word for programs: `reason` in a problem document, in an error frame, and in the
            audit record.
        close_code: how a session ends that cannot begin because of it.
        is_denied: for the audit log: the user may not, or a limit forbids it. Else the act failed.
        retry_after_s: when to try again, where that is known.
        details: further keys for the answer.
    """

    status: int = 400
    reason: str = "refused"
    close_code: CloseCode = CloseCode.PROTOCOL_ERROR
    is_denied: bool = False
    retry_after_s: int | None = None
    details: dict[str, Any]

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class StoreUnavailableError(AnsweredError):
    """MongoDB did not do what was asked. Trying again later is right."""

    status = 503
    reason = "unavailable"
    close_code = CloseCode.INTERNAL_ERROR


class RefusedError(AnsweredError):
    """What was asked for is not allowed or not possible."""

    def __init__(self, message: str, reason: str | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        if reason is not None:
            self.reason = reason


class UnauthorizedError(RefusedError):
    """The token that came with it is not good."""

    status = 401
    reason = "unauthorized"
    close_code = CloseCode.UNAUTHORIZED
    is_denied = True


class ForbiddenError(RefusedError):
    """The user may not do this."""

    status = 403
    reason = "forbidden"
    close_code = CloseCode.FORBIDDEN
    is_denied = True


class NotFoundError(RefusedError):
    """There is no such thing, or none that this user may know of."""

    status = 404
    reason = "not_found"


class HiddenError(NotFoundError):
    """There is such a thing, in a project that the token does not open.

    Who asked is told what they would be told if it were not there: what others call their proposals
    is nothing for them. The audit log is told of the attempt.

    Attributes:
        project_id: the project that it is in; for the audit log only.
    """

    is_denied = True

    def __init__(self, message: str, project_id: str) -> None:
        super().__init__(message)
        self.project_id = project_id


class ConflictError(RefusedError):
    """The state of things does not allow it now."""

    status = 409
    reason = "conflict"


class InvalidError(RefusedError):
    """A value is well-formed and still cannot be used."""

    status = 422
    reason = "invalid"


class BusyError(RefusedError):
    """Too much is under way."""

    retry_after_s: int
    status = 503
    reason = "busy"
    close_code = CloseCode.INTERNAL_ERROR
    is_denied = True

    def __init__(self, message: str, retry_after_s: int = 1, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s


class OperatorError(Exception):
    """Something on this host or in its settings is in the way. The message says how to mend it."""


class UnusableSettingError(OperatorError):
    """A setting is well-formed and names what can't be used. No retry mends it."""


class ProjectFullError(AnsweredError):
    """The project has as many connections as it may have."""

    status = 503
    reason = "project_full"
    close_code = CloseCode.PROJECT_FULL
    is_denied = True


class UnstorableError(RefusedError):
    """MongoDB cannot keep what it was given: too large, too deep, or not to be encoded.

    Unlike with `StoreUnavailableError`, trying again is of no use.
    """

    status = 422
    reason = "unstorable"
