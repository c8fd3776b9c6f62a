"""The hash chain of one worker's audit records.

A record carries `chain` (which chain), `n` (its number in it, from 1), `prev` (the hash of the one
before, 64 zeros for the first) and `hash`: SHA-256 over the record without `hash` and `id`, as
canonical JSON. That is RFC 8785: keys in order, no blanks, UTF-8. Numbers are whole, so there is
only one way to write them. The `id` is left out because it is given when the record is stored.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from rtserver.observe.scrubbing import scrub

GENESIS = "0" * 64
"""`prev` of a chain's first record."""

MAX_TEXT_CHARS = 1_000
MAX_DETAILS_BYTES = 16 * 1024
_MAX_DEPTH = 6
_MAX_SAFE_INTEGER = 2**53 - 1  # RFC 8785 section 3.1: what every JSON parser keeps exactly
# Scrubbing is thorough, and most texts here are short words: look first whether there is a reason.
_SHORTEST_TOKEN_CHARS = 12
_SUSPECT = re.compile(r"e[wy][A-Za-z0-9_-]{6}|[Tt]oken|TOKEN|[Bb]earer|BEARER")
_SUSPECT_PARTS = ("ey", "ew", "oken", "OKEN", "earer", "EARER")
_ACTION_HEAD = '{"action":"'
_HASH_TAIL = ',"hash":"'
_TRUNCATED = b'{"truncated":true}'

_encode = msgspec.json.Encoder(order="sorted").encode
_encode_record = msgspec.json.Encoder().encode


def canonical(record: Mapping[str, Any]) -> bytes:
    """A record in the form that is hashed, whether it has `id` and `hash` or not."""
    return _encode({key: value for key, value in record.items() if key not in ("id", "hash")})


def hash_of(record: Mapping[str, Any]) -> str:
    """The hash that a record should have, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(record)).hexdigest()


def plain(value: object, depth: int = _MAX_DEPTH) -> Any:
    """A value in the form that has one spelling in JSON: whole numbers, valid Unicode, bounded.

    A value that JSON has no kind for becomes text.
    """
    if type(value) is str:  # the usual cases, quickly: a `match` asks one class after the other
        return text(value)
    if type(value) is int and -_MAX_SAFE_INTEGER <= value <= _MAX_SAFE_INTEGER:
        return value
    match value:
        case str():
            return text(str(value))
        case bool() | None:
            return value
        case int() if -_MAX_SAFE_INTEGER <= value <= _MAX_SAFE_INTEGER:
            return int(value)
        case Mapping() if depth:
            return {text(str(key)): plain(item, depth - 1) for key, item in value.items()}
        case list() | tuple() if depth:
            return [plain(item, depth - 1) for item in value]
        case set() | frozenset() if depth:
            return [plain(item, depth - 1) for item in sorted(value, key=str)]
        case _:
            return text(str(value))


def text(value: str) -> str:
    """A text that can be written as UTF-8, cut where it is long, without what may be a token."""
    if len(value) >= _SHORTEST_TOKEN_CHARS:
        if len(value) > MAX_TEXT_CHARS:
            value = value[:MAX_TEXT_CHARS] + "..."
        for part in _SUSPECT_PARTS:
            if part in value:
                value = scrub(value) if _SUSPECT.search(value) else value
                break
    if value.isascii():
        return value
    return value.encode("utf-8", "replace").decode()


class Unsealed(msgspec.Struct, kw_only=True, gc=False):
    """A record that has no place in a chain yet.

    Its fields stand in the order of their names, which is that of canonical JSON. Texts are as
    `text` gives them, and `details` as `details_json` does.
    """

    action: str
    actor: str | None = None
    chain: str = ""
    connection_id: str | None = None
    details: msgspec.Raw
    ip: str | None = None
    n: int = 0
    outcome: str
    prev: str = ""
    project_id: str | None = None
    target: str | None = None
    ts: str
    type: str = "audit"
    worker: str


class Chain:
    """Seals records one after the other.

    Attributes:
        name: the chain's; the worker's id with a random part, for an id may be used again.
        n: number of the newest record; 0 before the first.
        hash: of the newest record.
    """

    def __init__(self, worker_id: str) -> None:
        self.name = f"{worker_id}.{secrets.token_hex(4)}"
        self.n = 0
        self.hash = GENESIS

    def seal(self, record: Unsealed) -> str:
        """Put a record into the chain; the JSON text to be stored."""
        record.chain = self.name
        record.n = self.n + 1
        record.prev = self.hash
        # Encoded once: what was hashed, and the hash put in front of the closing brace.
        body = _encode_record(record)
        digest = hashlib.sha256(body).hexdigest()
        self.n += 1
        self.hash = digest
        return f'{body[:-1].decode()}{_HASH_TAIL}{digest}"}}'


def details_json(details: Mapping[str, object]) -> msgspec.Raw:
    """Details in canonical JSON, without those that are None; bounded as a whole too."""
    plainly: dict[str, Any] = {}
    for key, value in details.items():
        if type(value) is str:
            plainly[key] = text(value)
        elif value is not None:
            plainly[key] = plain(value)
    encoded = _encode(plainly)
    return msgspec.Raw(encoded if len(encoded) <= MAX_DETAILS_BYTES else _TRUNCATED)


def sealed_action(body: str) -> str:
    """The action within a text that `Chain.seal` gave: its keys are in order, this is the first."""
    return body[len(_ACTION_HEAD) : body.index('"', len(_ACTION_HEAD))]


def sealed_hash(body: str) -> str:
    """The hash within a text that `Chain.seal` gave."""
    return body[-66:-2]


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain stands.

    Attributes:
        n: number of a record in it.
        hash: of that record.
        id: where that record is in the log; None where that is not known.
    """

    n: int
    hash: str
    id: str | None = None

    def to_json(self, chain: str, *, ended: bool = False) -> dict[str, Any]:
        """The head as other chains' records state it."""
        stated: dict[str, Any] = {"chain": chain, "n": self.n, "hash": self.hash}
        if self.id is not None:
            stated["id"] = self.id
        return {**stated, "ended": True} if ended else stated
