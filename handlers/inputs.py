"""Reads query and headers of a request as typed values, in words for people where they are wrong.

Query and headers are flat: each field is a text, a whole number, or a list of texts.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

MAX_DIGITS = 18

S = TypeVar("S", bound=msgspec.Struct)
_AT = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)


class InputError(ValueError):
    """A value cannot be used; the message names it and says what it takes."""


def read_flat(kind: type[S], texts_of: Callable[[str], Sequence[str]]) -> S:
    """The typed value of texts.

    Args:
        kind: what they are to be.
        texts_of: the texts given under a name. Where only one counts, it is the last.

    Raises:
        InputError: one of them cannot be used.
    """
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        texts = texts_of(field.encode_name)
        if texts:
            given[field.encode_name] = _value(field.type, texts)
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise InputError(complaint(error)) from None


def complaint(error: msgspec.ValidationError) -> str:
    """What msgspec says, with the place first: `limit: expected int <= 1000`."""
    match = _AT.fullmatch(str(error))
    what, where = match.groups() if match else (str(error), "")
    what = what.replace("`", "")
    return f"{where}: {what[:1].lower()}{what[1:]}" if where else what


def _value(kind: Any, texts: Sequence[str]) -> object:
    info = inspect.type_info(kind)
    if isinstance(info, inspect.Metadata):
        info = info.type
    match info:
        case inspect.ListType():
            return list(texts)
        case inspect.IntType():
            return _number(texts[-1])
    return texts[-1]


def _number(text: str) -> int | str:
    """The whole number, or the text as it is where it is none."""
    digits = text.lstrip("0") or "0" if text.isascii() and text.isdigit() else ""
    return int(digits) if 1 <= len(digits) <= MAX_DIGITS else text
