"""What went wrong with a language model's endpoint, in plain words and without its key."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2
    import openai

MAX_SAID_CHARS = 300
MAX_RETRY_AFTER_S = 30.0

_KEY_LIKE = re.compile(r"(?i)\b(?:bearer\s+|sk-|key-)[^\s\"',;]{4,}")
_WORDS = {
    400: ("upstream_refused", "refused the request"),
    401: ("upstream_unauthorized", "does not accept the server's key"),
    402: ("upstream_refused", "wants to be paid first"),
    403: ("upstream_unauthorized", "does not allow the server's key to do this"),
    404: ("upstream_not_found", "does not know the model, or the address is wrong"),
    408: ("upstream_timeout", "says that the request took too long"),
    413: ("upstream_refused", "finds the request too large"),
    422: ("upstream_refused", "refused the request"),
    429: ("upstream_busy", "says that it is asked too often, or that its quota is used up"),
}
_PRIVATE = (401, 403)
"""Answers to a key that is wrong tend to repeat parts of it."""

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})


class LlmError(Exception):
    """A reply could not be had; the message is for people.

    Attributes:
        reason: the same for programs: `upstream_refused`, `upstream_unauthorized`,
            `upstream_not_found`, `upstream_busy`, `upstream_failed`, `upstream_unreachable`,
            `upstream_timeout`, `upstream_broken`, `upstream_cut`, `upstream_filtered` or
            `reply_too_large`.
        retry: whether trying again may help.
        retry_after_s: what the endpoint asks for; None where it does not say.
    """

    def __init__(
        self, reason: str, message: str, *, retry: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry = retry
        self.retry_after_s = retry_after_s


def error_of_status(error: openai.APIStatusError, key: str | None) -> LlmError:
    """An answer with an error's status."""
    status = error.status_code
    reason, words = _WORDS.get(
        status, ("upstream_failed", "failed" if status >= 500 else "answered in an unexpected way")
    )
    message = f"The language model's endpoint {words} (HTTP {status})"
    if status not in _PRIVATE and (said := said_by(error.body, key)):
        message += f": {said}"
    return LlmError(
        reason,
        message,
        retry=status in RETRIED,
        retry_after_s=_retry_after_s(error.response.headers),
    )


def error_of_connection(error: Exception) -> LlmError:
    """No answer, or one that broke off."""
    # Not by httpx's own classes: the aiohttp transport calls a refused connection a time-out too.
    if _caused_by(error, TimeoutError):
        return LlmError(
            "upstream_timeout", "The language model's endpoint did not answer in time", retry=True
        )
    return LlmError(
        "upstream_unreachable",
        "The language model's endpoint could not be reached, or broke the connection off",
        retry=True,
    )


def error_in_stream(said: object, key: str | None) -> LlmError:
    """An error that the endpoint put into its stream."""
    message = "The language model's endpoint failed while it was answering"
    if words := said_by(said, key):
        message += f": {words}"
    return LlmError("upstream_failed", message, retry=True)


def broken(what: str) -> LlmError:
    """What came is not what the protocol says."""
    return LlmError(
        "upstream_broken",
        f"The language model's endpoint sent something that can't be read: {what}",
        retry=True,
    )


def said_by(body: object, key: str | None) -> str:
    """The endpoint's own words out of an error document, short, printable and without the key."""
    if isinstance(body, Mapping):
        inner: Any = body.get("error", body)
        body = inner.get("message") if isinstance(inner, Mapping) else inner
    if not isinstance(body, str):
        return ""
    text = "".join(char if char.isprintable() else " " for char in body)
    if key:
        text = text.replace(key, "[key]")
    text = " ".join(_KEY_LIKE.sub("[key]", text).split())
    return text if len(text) <= MAX_SAID_CHARS else text[:MAX_SAID_CHARS] + "..."


def _retry_after_s(headers: httpx2.Headers) -> float | None:
    """`Retry-After` (RFC 9110 section 10.2.3), as seconds or as a date, within reason."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", text):
        return min(float(text), MAX_RETRY_AFTER_S)
    moment = email.utils.parsedate_tz(text) if text else None
    if moment is None:
        return None
    return min(max(0.0, email.utils.mktime_tz(moment) - time.time()), MAX_RETRY_AFTER_S)


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
        seen += 1
    return False
