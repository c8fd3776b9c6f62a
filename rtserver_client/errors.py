"""What the client raises."""

from typing import Any


class RtserverError(Exception):
    """Something that the server, or the way to it, did not allow."""


class ApiError(RtserverError):
    """A request was refused.

    Attributes:
        status: of the answer.
        reason: the server's word for it, for programs.
        problem: the whole problem document (RFC 9457).
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status}: {problem.get('detail') or problem.get('title') or 'refused'}")
        self.status = status
        self.reason = str(problem.get("reason", ""))
        self.problem = problem


class UnreachableError(RtserverError):
    """The server did not answer, however often it was asked. The request may have been done."""


class StoppedError(RtserverError):
    """The connection ended for good: coming back under the same token would change nothing.

    Attributes:
        code: the WebSocket's close code, or the status of the answer before there was one.
        reason: in the server's words.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
