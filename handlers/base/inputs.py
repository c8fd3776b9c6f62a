"""Query and headers of a request as typed values, with words for people where they are wrong.

Query and headers are flat: each field is a text, a whole number, or a list of texts.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from rtserver.lib.decode_errors import complaint

MAX_DIGITS = 18
MAX_ECHO_CHARS = 32

S = TypeVar("S", bound=msgspec.Struct)


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
    for name, takes in _fields(kind):
        texts = texts_of(name)
        if texts:
            given[name] = _value(name, takes, texts)
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise InputError(complaint(error)) from None


@cache  # there are as many kinds as operations, and each is asked for with each request
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, inspect.Type], ...]:
    """The names of its fields, and what each takes."""
    return tuple(
        (field.encode_name, _bare(inspect.type_info(field.type)))
        for field in msgspec.structs.fields(kind)
    )


def _bare(info: inspect.Type) -> inspect.Type:
    return info.type if isinstance(info, inspect.Metadata) else info


def _value(name: str, takes: inspect.Type, texts: Sequence[str]) -> object:
    match takes:
        case inspect.ListType():
            return list(texts)
        case inspect.IntType():
            return _number(name, texts[-1])
    return texts[-1]


def _number(name: str, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        shown = text if len(text) <= MAX_ECHO_CHARS else text[:MAX_ECHO_CHARS] + "..."
        raise InputError(f"{name}: {shown!a} is no whole number")
    if len(digits.lstrip("0")) > MAX_DIGITS:
        raise InputError(f"{name}: the number has more than {MAX_DIGITS} digits")
    return int(text)
