"""Decoding errors in words for people."""

import re

import msgspec
from msgspec import inspect

_HALF_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u)")
"""Near the end of a text msgspec takes it for the text's own end, or for a wrong escape."""
_HALF = "half of a surrogate pair (such as \\ud800), which is no character"
_AT = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)


def complaint(error: msgspec.ValidationError, kind: type[msgspec.Struct] | None = None) -> str:
    """What msgspec says, with the place first: `limit: expected int <= 1000`.

    Args:
        error: no value of the client's is in it but one of an enumeration.
        kind: what was to be read. Where a value is none of those that a field of it takes, they
            are listed.
    """
    match = _AT.fullmatch(str(error))
    what, where = match.groups() if match else (str(error), "")
    what = what.replace("`", "")
    if not where:
        return what
    allowed = _allowed(kind, where)
    listed = f"; it takes {', '.join(allowed)}" if allowed and "enum" in what else ""
    return f"{where}: {what[:1].lower()}{what[1:]}{listed}"


def why_not_json(body: bytes | bytearray, error: Exception, what: str = "The body") -> str:
    """Why a body could not be read as JSON.

    Args:
        body: what was sent.
        error: what reading it raised: `msgspec.DecodeError`, `UnicodeError` or `RecursionError`.
        what: how people call it.
    """
    if not body.strip():
        return f"{what} is empty; JSON is needed"
    match error:
        case RecursionError():
            return f"{what} is nested too deeply"
        case UnicodeEncodeError():
            return f"{what} has {_HALF}"
        case UnicodeError():
            return f"{what} is not JSON: it is not UTF-8 (one that is compressed is not taken)"
    said = str(error)
    cut = ("truncated" in said or "hex escape" in said) and _HALF_PAIR.search(body)
    if cut or "surrogate" in said:
        return f"{what} has {_HALF}"
    return f"{what} is not JSON: {error}"


def _allowed(kind: type[msgspec.Struct] | None, where: str) -> list[str]:
    """The values that a field takes which is an enumeration."""
    for field in () if kind is None else msgspec.structs.fields(kind):
        if field.encode_name == where:
            info = inspect.type_info(field.type)
            kinds = info.types if isinstance(info, inspect.UnionType) else (info,)
            return [
                str(member.value)
                for kind_ in kinds
                if isinstance(kind_, inspect.EnumType)
                for member in kind_.cls
            ]
    return []
