"""Kinds of settings that say what more is put into requests to an HTTP endpoint."""

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from rtserver.config.kinds import KIB, Kind

_MAX_BYTES = 64 * KIB
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_OF_THE_CONNECTION = frozenset(
    {
        *("accept-encoding", "connection", "content-length", "content-type", "expect", "host"),
        *("keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""Headers that say how a message is sent, which the client alone knows."""


def json_object(*reserved: str) -> Kind:
    """A JSON object without certain keys, which are the server's own."""

    def parse(text: str) -> Mapping[str, Any]:
        found = _loaded(text)
        if taken := sorted(set(reserved) & found.keys()):
            raise ValueError(f"it may not set {', '.join(taken)}")
        return MappingProxyType(found)

    return Kind(parse, f"a JSON object without the keys {', '.join(reserved)}", metavar="JSON")


def _parse_headers(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(_json_headers(text) if text.startswith("{") else _header_lines(text))


def _json_headers(text: str) -> Iterator[tuple[str, str]]:
    for name, value in _loaded(text).items():
        if not isinstance(value, str):
            raise ValueError("a value is no text")  # noqa: TRY004 - of a setting's text
        yield _header(name, value.strip())


def _header_lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon:
            raise ValueError("a line has no colon")
        yield _header(name.strip(), value.strip())


def _header(name: str, value: str) -> tuple[str, str]:
    if not _HEADER_NAME.fullmatch(name) or name.lower() in _OF_THE_CONNECTION:
        raise ValueError("a name is not that of a header that can be set")
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError("a value has characters that no header may have")
    return name, value


def _loaded(text: str) -> dict[str, Any]:
    if len(text.encode()) > _MAX_BYTES:
        raise ValueError("it is too large")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - of a setting's text
    return found


HEADERS = Kind(
    _parse_headers,
    'a JSON object {"Name": "value"}, or lines `Name: value`; not the headers of the connection',
    metavar="HEADERS",
    is_list=True,
    separator="\n",
)
