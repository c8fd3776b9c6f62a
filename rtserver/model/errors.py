"""Errors that the core shares. Each message is for people and says nothing of the inside."""

from typing import Any


class StoreUnavailableError(Exception):
    """MongoDB did not do what was asked. Trying again later is right."""


class RefusedError(Exception):
    """What was asked for is not allowed or not possible.

    Attributes:
        status: the HTTP status that says the same.
        reason: a word for programs.
        details: further keys for the answer.
    """

    status = 400
    reason = "refused"

    def __init__(self, message: str, reason: str | None = None, **details: Any) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason
        self.details = details


class ForbiddenError(RefusedError):
    """The user may not do this."""

    status = 403
    reason = "forbidden"


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
    """Too much is under way.

    Attributes:
        retry_after_s: when to try again.
    """

    status = 503
    reason = "busy"

    def __init__(self, message: str, retry_after_s: int = 1, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s


class OperatorError(Exception):
    """Something on this host or in its settings is in the way. The message says how to mend it."""


class ProjectFullError(Exception):
    """The project has as many connections as it may have."""


class UnstorableError(RefusedError):
    """MongoDB cannot keep what it was given: too large, too deep, or not to be encoded.

    Unlike with `StoreUnavailableError`, trying again is of no use.
    """

    status = 422
    reason = "unstorable"
