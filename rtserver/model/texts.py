"""Texts of people: checked before they are kept, and made safe to be shown on a terminal."""

import json
import unicodedata

from rtserver.model.errors import InvalidError
from rtserver.model.identity import MAX_NAME_CHARS, UNPRINTABLE

_LINE_ENDS = frozenset("\n\r\t")


def line(what: str, text: str, max_chars: int, *, min_chars: int = 1) -> str:
    """A text on one line, without blanks around it.

    Raises:
        InvalidError: it is too short or too long, or contains control characters.
    """
    text = text.strip()
    _check(what, text, min_chars, max_chars, allowed=frozenset())
    return text


def prose(what: str, text: str, max_chars: int) -> str:
    """A text of several lines, without blank lines around it.

    Raises:
        InvalidError: it is empty or too long, or contains control characters.
    """
    text = text.strip()
    _check(what, text, 1, max_chars, allowed=_LINE_ENDS)
    return text


def user_id(what: str, text: str) -> str:
    """A user id, by the rules for the claim `sub`: as it is, blanks included.

    Raises:
        InvalidError: no token can name such a user.
    """
    _check(what, text, 1, MAX_NAME_CHARS, allowed=frozenset())
    return text


def printable(text: str, kept: str = "") -> str:
    """A text in which nothing drives a terminal, forges a line or turns the reading direction.

    Args:
        text: somebody's.
        kept: characters that stay as they are all the same.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode()
        for char in text
    )


def printable_json(text: str) -> str:
    """The same for JSON on one line, which stays the same JSON."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _check(what: str, text: str, min_chars: int, max_chars: int, allowed: frozenset[str]) -> None:
    if not min_chars <= len(text) <= max_chars:
        raise InvalidError(f"{what} takes {min_chars} to {max_chars} characters")
    if any(char not in allowed and unicodedata.category(char) in UNPRINTABLE for char in text):
        raise InvalidError(f"{what} may not contain control characters")
