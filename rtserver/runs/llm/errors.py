"""What went wrong with a language model's endpoint, in plain words and without its key."""

import email.utils
import re
import time
from collections.abc import Iterable, Mapping

import msgspec

from rtserver.runs.llm.ends import End, EndKind
from rtserver.runs.llm.said import clean, said_by

MAX_RETRY_AFTER_S = 30.0

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
WEB_PAGE = "the address answers with a web page; is /v1 missing?"
_PRIVATE = (401, 403)
"""Answers to a key that is wrong tend to repeat parts of it."""

_REASONS_OF_ENDS = {
    EndKind.CUT: "upstream_cut",
    EndKind.FILTERED: "upstream_filtered",
    EndKind.FAILED: "upstream_failed",
    EndKind.TOOLS: "no_answer",
    EndKind.UNKNOWN: "upstream_broken",
}

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})


class LlmError(Exception):
    """A reply could not be had; the message is for people.

    Attributes:
        reason: the same for programs: `upstream_refused`, `upstream_unauthorized`,
            `upstream_not_found`, `upstream_busy`, `upstream_failed`, `upstream_unreachable`,
            `upstream_timeout`, `upstream_broken`, `upstream_cut`, `upstream_filtered`,
            `upstream_declined`, `no_answer` or `reply_too_large`.
        retry: whether trying again may help.
        retry_after_s: what the endpoint asks for; None where it does not say.
        said: what the endpoint answered, as it came: nothing for people.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        retry: bool = False,
        retry_after_s: float | None = None,
        said: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry = retry
        self.retry_after_s = retry_after_s
        self.said = said


def error_of_status(
    status: int, headers: Mapping[str, str], body: bytes, secrets: Iterable[str]
) -> LlmError:
    """An answer with an error's status.

    Args:
        status: of HTTP.
        headers: of the answer; their names in any case.
        body: its beginning.
        secrets: kept out of the words.
    """
    reason, words = _WORDS.get(status, ("upstream_failed", _words_of(status)))
    message = f"The language model's endpoint {words} (HTTP {status})"
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    if text.lstrip().startswith("<"):
        if status in (404, 405):
            message += f": {WEB_PAGE}"
    elif status not in _PRIVATE and (said := said_by(_document(text), secrets)):
        message += f": {said}"
    return LlmError(
        reason,
        message,
        retry=status in RETRIED,
        retry_after_s=_retry_after_s(headers),
        said=text if status not in (*_PRIVATE, 429) else "",
    )


def _words_of(status: int) -> str:
    if 300 <= status < 400:
        return "redirects, which is not followed: is the address right?"
    return "failed" if status >= 500 else "answered in an unexpected way"


def _document(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text


def error_of_connection(error: Exception) -> LlmError:
    """No answer, or one that broke off."""
    if isinstance(error, TimeoutError) or isinstance(
        getattr(error, "os_error", None), TimeoutError
    ):
        return LlmError(
            "upstream_timeout", "The language model's endpoint did not answer in time", retry=True
        )
    return LlmError(
        "upstream_unreachable",
        "The language model's endpoint could not be reached, or broke the connection off",
        retry=True,
    )


def error_in_stream(said: object, secrets: Iterable[str]) -> LlmError:
    """An error that the endpoint told with status 200, before its answer or amid it."""
    message = "The language model's endpoint failed while it was answering"
    words = said_by(said, secrets)
    if words:
        message += f": {words}"
    code = said.get("code") if isinstance(said, Mapping) else None
    # Where it is a status as of HTTP, it says whether trying again may help.
    known = isinstance(code, int) and 400 <= code < 600
    return LlmError("upstream_failed", message, retry=not known or code in RETRIED, said=words)


def broken(what: str, *, retry: bool = True) -> LlmError:
    """What came is not what the protocol says."""
    return LlmError(
        "upstream_broken",
        f"The language model's endpoint sent something that can't be read: {what}",
        retry=retry,
    )


def cut_off(
    *, said_done: bool = False, stray: str = "", secrets: Iterable[str] = (), waited_s: float = 0
) -> LlmError:
    """The stream ended before the reply did.

    Args:
        said_done: the model said that it is at its end, and the stream did not.
        stray: words that came outside of the stream's form.
        secrets: kept out of them.
        waited_s: how long nothing came, where that is why.
    """
    message = "The language model's reply broke off"
    if said_done:
        message += ": it was said to be complete, and then the end of the stream did not come"
    if waited_s:
        message += f": nothing came for {waited_s:g} s" if not said_done else f" for {waited_s:g} s"
    if words := clean(stray, secrets):
        message += f". The endpoint said: {words}"
    return LlmError("upstream_cut", message, retry=not waited_s)


def error_of_end(
    end: End, *, tools: tuple[str, ...] = (), refusal: str = "", secrets: Iterable[str] = ()
) -> LlmError:
    """A finish reason that ends no reply well; see `rtserver.runs.llm.ends`.

    Args:
        end: of the kinds that are no good end.
        tools: functions that the model wanted to be called.
        refusal: its words for not answering.
        secrets: kept out of the words.
    """
    reason = _REASONS_OF_ENDS[end.kind]
    message = f"The language model's reply {clean(str(end), secrets)}"
    if end.kind == EndKind.CUT:
        message += ". Ask for less at once, or have the server's operator raise RT_LLM_MAX_TOKENS"
    if tools:
        message += f": {clean(', '.join(tools), secrets)}"
    if refusal:
        message += f": {clean(refusal, secrets)}"
    if end.kind == EndKind.UNKNOWN:
        message += ". It may not be whole, so nothing of it is taken"
    return LlmError(reason, message, retry=end.kind == EndKind.FAILED)


def no_answer(
    *,
    refusal: str,
    tools: tuple[str, ...],
    thinking: bool,
    reasoned: bool,
    stray: str = "",
    secrets: Iterable[str] = (),
) -> LlmError:
    """A reply that ended as it should, and has no answer in it.

    Args:
        refusal: the model's words for that.
        tools: functions that it wanted to be called.
        thinking: a thought was begun and not closed.
        reasoned: there was a thought.
        stray: words that came outside of the stream's form.
        secrets: kept out of the words.
    """
    if refusal:
        words = clean(refusal, secrets)
        return LlmError("upstream_declined", f"The language model declined: {words}")
    if tools:
        what = f"asked for tools ({clean(', '.join(tools), secrets)}), and it was offered none"
    elif thinking:
        what = "did not end its thought: nothing says where its answer begins"
    elif reasoned:
        what = "gave no answer: nothing but its reasoning came"
    else:
        message = "The language model's reply has not a word in it"
        if words := clean(stray, secrets):
            message += f". The endpoint said: {words}"
        # Nothing was shown yet, and nothing speaks for this being the same at the next try.
        return LlmError("no_answer", message, retry=True)
    return LlmError("no_answer", f"The language model {what}")


def too_large(limit: str) -> LlmError:
    """The reply is larger than its bound."""
    return LlmError(
        "reply_too_large", f"The language model's reply has more than {limit}; it was stopped"
    )


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` (RFC 9110 section 10.2.3), as seconds or as a date, within reason."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", text):
        return min(float(text), MAX_RETRY_AFTER_S)
    moment = email.utils.parsedate_tz(text) if text else None
    if moment is None:
        return None
    try:
        then_s = email.utils.mktime_tz(moment)
    except (ValueError, OverflowError):  # a month 0, a year 10^9
        return None
    return min(max(0.0, then_s - time.time()), MAX_RETRY_AFTER_S)
