"""Kinds of settings: how the text of each becomes a value, and what it may be, in words."""

import ipaddress
import math
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import urlsplit

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind:
    """How the text of a setting becomes its value.

    Attributes:
        parse: text to value; raises ValueError, whose text may be shown after the value.
        allowed: what is taken, completing "it takes ...".
        unit: `seconds`, `bytes`, ...; empty where there is none.
        metavar: the placeholder in `--help`.
        is_list: items stand between separators; as a flag it may also be repeated.
        separator: what stands between them.
        tells: its errors say nothing that is secret, so they are shown where the value is not.
    """

    parse: Callable[[str], object]
    allowed: str
    unit: str = ""
    metavar: str = "TEXT"
    is_list: bool = False
    separator: str = ","
    tells: bool = False


def format_bytes(count: int) -> str:
    """A number of bytes for people: `64 KiB`; plain bytes where no larger unit divides it."""
    for size, unit in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if count >= size and count % size == 0:
            return f"{count // size} {unit}"
    return f"{count} bytes"


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError("not a whole number")
    return int(text)


def count(lowest: int, highest: int) -> Kind:
    """A whole number."""

    def parse(text: str) -> int:
        return _within(_whole(text), lowest, highest)

    return Kind(parse, f"a whole number from {lowest} to {highest}", metavar="N")


def _within(value: T, lowest: float, highest: float) -> T:
    if not lowest <= cast(float, value) <= highest:
        raise ValueError("out of range")
    return value


def _real(text: str) -> float:
    number = float(text) if re.fullmatch(r"[0-9.eE+-]{1,32}", text) else math.nan
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number


def rate(lowest: float, highest: float) -> Kind:
    """So many a second."""

    def parse(text: str) -> float:
        return _within(_real(text), lowest, highest)

    return Kind(parse, f"a number from {lowest:g} to {highest:g}", "a second", "N")


def seconds(lowest: float, highest: float) -> Kind:
    """A duration."""

    def parse(text: str) -> float:
        return _within(_real(text), lowest, highest)

    allowed = f"a number of seconds from {lowest:g} to {highest:g}"
    return Kind(parse, allowed, "seconds", "SECONDS")


_BYTE_UNITS = {"": 1, "b": 1, "kib": KIB, "mib": MIB, "gib": GIB, "tib": TIB}


def size(lowest: int, highest: int) -> Kind:
    """A number of bytes, plain or with a unit."""

    def parse(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,18})\s*([A-Za-z]*)", text)
        if match is None or match[2].lower() not in _BYTE_UNITS:
            raise ValueError("not a number of bytes")
        return _within(int(match[1]) * _BYTE_UNITS[match[2].lower()], lowest, highest)

    allowed = (
        f"a number of bytes from {format_bytes(lowest)} to {format_bytes(highest)}, "
        "plain or as 64KiB, 1MiB, 2GiB"
    )
    return Kind(parse, allowed, "bytes", "BYTES")


def text_like(pattern: str, allowed: str) -> Kind:
    """A text that matches a pattern as a whole."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return Kind(parse, allowed)


ANY_TEXT = text_like(r"(?s).+", "any text")


def choice(*options: str) -> Kind:
    """One of these words, whatever its case."""

    def parse(text: str) -> str:
        if text.lower() not in options:
            raise ValueError
        return text.lower()

    return Kind(parse, f"one of {', '.join(options)}", metavar="|".join(options))


def split_mongodb_uri(text: str) -> tuple[str, str, str]:
    """The user with the password, the hosts, and the options of a MongoDB's address.

    Not by urllib, which knows of one host: newer releases of Python refuse several with an IPv6
    address among them.

    Raises:
        ValueError: it is not one.
    """
    scheme, _, rest = text.partition("://")
    rest, _, options = rest.partition("?")
    user, _, hosts = rest.partition("/")[0].rpartition("@")
    if scheme not in ("mongodb", "mongodb+srv") or not hosts or re.search(r"\s", text):
        raise ValueError("not the address of a MongoDB")
    return user, hosts, options


def parse_mongodb_uri(text: str) -> str:
    """The address of a MongoDB; raises ValueError where it is not one."""
    split_mongodb_uri(text)
    return text


def _parse_web_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", text):
        raise ValueError("not a web address")
    if parts.username is not None:
        raise ValueError("it has a user name in it")
    _ = parts.port  # raises ValueError where the port is no port
    return text


WEB_URL = Kind(_parse_web_url, "an http:// or https:// address with no user name in it", "", "URL")


def parse_origin(text: str) -> str:
    """An origin as a browser writes it (RFC 6454 section 6.2); raises ValueError."""
    parts = urlsplit(text)
    web = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
    if not web or parts.path not in ("", "/") or parts.query or parts.fragment or "*" in text:
        raise ValueError(f"{text!r} is no origin")
    # Lower case, and no default port.
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    default_port = 443 if parts.scheme == "https" else 80
    port = "" if parts.port in (None, default_port) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def list_of(parse_item: Callable[[str], T], allowed: str) -> Kind:
    """Items between commas, each once."""

    def parse(text: str) -> tuple[T, ...]:
        items = [item.strip() for item in text.split(",")]
        return tuple(dict.fromkeys(parse_item(item) for item in items if item))

    return Kind(parse, allowed, metavar="A,B,...", is_list=True)


def parse_networks(text: str) -> str:
    """Addresses, networks and words for some; raises ValueError where one is not."""
    items = [item.strip().lower() for item in text.split(",")]
    return ",".join(
        item if item in ("loopback", "none") else str(ipaddress.ip_network(item))
        for item in items
        if item
    )


ALGORITHMS = (
    *("HS256", "HS384", "HS512"),
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)


def parse_algorithm(text: str) -> str:
    """A signature algorithm in its usual case; raises ValueError where it is not one."""
    for algorithm in ALGORITHMS:
        if text.upper() == algorithm.upper():
            return algorithm
    raise ValueError(f"{text!r} is not among them")


MAX_DESCRIPTOR_DIGITS = 7


def parse_descriptor(text: str) -> int:
    """The number of a descriptor; raises ValueError for any other text."""
    if not text.isascii() or not text.isdigit() or len(text) > MAX_DESCRIPTOR_DIGITS:
        raise ValueError(f"{text!r} is no descriptor")
    return int(text)


def _parse_path(text: str) -> Path:
    # Absolute, since child processes run in other directories.
    return Path(text).expanduser().absolute()


PATH = Kind(_parse_path, "the path of a directory", metavar="PATH")
FILE = Kind(_parse_path, "the path of a file", metavar="PATH")


def _parse_command(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(str(error).lower()) from None
    if words and not words[0]:
        raise ValueError("it names no command")
    return text


COMMAND = Kind(_parse_command, "a command line with balanced quotes", metavar="COMMAND")
