"""The words in an endpoint's error document, whatever its shape, made fit to be shown."""

import json
import re
from collections.abc import Iterable, Mapping

MAX_SAID_CHARS = 300
_MAX_DEPTH = 5
_MAX_ITEMS = 3
_MAX_READ_CHARS = 10_000

_KEY_LIKE = re.compile(r"(?i)\b(?:bearer\s+|sk-|key-)[^\s\"',;]{4,}")
_WORDS_IN = (
    *("error", "errors", "message", "detail", "details", "error_msg", "error_message"),
    *("errorMessage", "error_description", "err_msg", "errmsg", "msg", "status_msg", "fault"),
    *("faultstring", "exception", "description", "title"),
    *("reason", "text", "raw", "type", "code", "error_code", "status"),
)
"""Keys under which words of an error stand, the best first."""
_NOTHING = ("", "null", "none", "nil", "undefined", "ok", "success", "0", "200")


def is_said(error: object, depth: int = 0) -> bool:
    """Whether a value under `error` tells of one; some servers put `{}` or `0` beside a success."""
    if isinstance(error, str):
        return error.strip().lower() not in _NOTHING
    if isinstance(error, Mapping | list):
        values = error.values() if isinstance(error, Mapping) else error
        return depth < _MAX_DEPTH and any(is_said(value, depth + 1) for value in values)
    return bool(error) and error != 200


def said_by(body: object, secrets: Iterable[str] = ()) -> str:
    """The endpoint's own words out of an error document.

    Args:
        body: the document, or its text where it is no JSON.
        secrets: what must not be in the words.

    Returns:
        Words, short, printable and without secrets; empty where there are none.
    """
    words = _words(body, 0)
    if not words and isinstance(body, Mapping | list) and is_said(body):
        try:
            words = json.dumps(body, ensure_ascii=False)
        except RecursionError:
            words = ""
    return clean(words, secrets)


def clean(words: str, secrets: Iterable[str] = ()) -> str:
    """Foreign words: cut, on one line, without control characters and secrets."""
    text = words[:_MAX_READ_CHARS]
    for secret in secrets:
        text = text.replace(secret, "[key]")
    text = "".join(char if char.isprintable() else " " for char in text)
    text = " ".join(_KEY_LIKE.sub("[key]", text).split())
    return text if len(text) <= MAX_SAID_CHARS else text[:MAX_SAID_CHARS] + "..."


def _words(body: object, depth: int) -> str:
    if depth > _MAX_DEPTH:
        return ""
    if isinstance(body, str):
        return body.strip()
    if isinstance(body, list):
        found = (_words(item, depth + 1) for item in body[:_MAX_ITEMS])
        return "; ".join(words for words in found if words)
    if isinstance(body, Mapping):
        return _words_in(body, depth)
    return str(body) if isinstance(body, int) and body and depth else ""


def _words_in(document: Mapping[str, object], depth: int) -> str:
    for key in _WORDS_IN:
        words = _words(document.get(key), depth + 1)
        if not words or not is_said(words):
            continue
        if key == "error" and isinstance(message := document.get("message"), str) and message:
            return f"{words}: {message}"
        place = document.get("loc")
        if isinstance(place, list) and key == "msg":
            return ".".join(str(part)[:40] for part in place[:6]) + f": {words}"
        return words
    return ""
