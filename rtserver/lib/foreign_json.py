"""JSON that others made: its depth and its numbers are checked before it is used or stored."""

from typing import Any

import msgspec

MAX_DEPTH = 100
"""Levels of objects and arrays. What people and their programs write has a tenth of that; clients'
parsers, and what is written recursively, must not depend on how deep a stranger nests."""


class ForeignJsonError(ValueError):
    """The JSON cannot be used; the message says why, as the end of a sentence."""


def decode(text: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Decode JSON of bounded depth.

    Args:
        text: the caller bounds its size.
        max_depth: levels of objects and arrays.

    Raises:
        ForeignJsonError: it is not JSON (RFC 8259), has a number that is no double, or is nested
            more deeply.
    """
    try:
        value = msgspec.json.decode(text)
    except RecursionError:
        raise ForeignJsonError(f"is nested more than {max_depth} levels deep") from None
    except msgspec.ValidationError:
        raise ForeignJsonError("has a number that is out of range") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ForeignJsonError("is not JSON") from None
    if is_deeper(value, max_depth):
        raise ForeignJsonError(f"is nested more than {max_depth} levels deep")
    return value


def is_deeper(value: Any, max_depth: int) -> bool:
    """Whether a value as JSON has more levels of objects and arrays; takes no recursion itself."""
    level = [value]
    for _ in range(max_depth):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return any(isinstance(each, dict | list) for each in level)
