"""Sealed records: reads what `Chain.seal` made, and checks it byte for byte."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from rtserver.audit.record.actions import Action
from rtserver.audit.record.chain import Head
from rtserver.model.positions import BadPositionError, Position

_TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"\}\Z')
_LINE_HEAD = re.compile(rb'\{"id":"([0-9a-z]{4,32}-[0-9]{1,18})",')
_HASH = re.compile(r"[0-9a-f]{64}")
MAX_CHAIN_CHARS = 256


class SealBrokenError(ValueError):
    """A text is not what was sealed. The message says what is wrong with it."""


class Sealed(msgspec.Struct, gc=False):
    """What verification looks at in a record."""

    action: str
    chain: str
    n: int
    prev: str
    hash: str
    ts: str
    worker: str
    details: msgspec.Raw


class _Stated(msgspec.Struct):
    chain: str
    n: int
    hash: str
    id: str | None = None
    ended: bool = False


class _Usage(msgspec.Struct):
    oldest: int
    bytes: int
    capacity_bytes: int


class _Resized(msgspec.Struct):
    log: str
    after_bytes: int


class _Anchored(msgspec.Struct):
    heads: list[_Stated] = []
    log: _Usage | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody states of a chain: that it has, or had, this record at this place.

    Attributes:
        chain, n, hash: the record.
        position: where it is in the log; None where that was not known.
        by: who states it, for people.
        by_chain: the chain whose record states it; None where it stands elsewhere.
        ended: nothing follows it.
    """

    chain: str
    n: int
    hash: str
    position: Position | None
    by: str
    by_chain: str | None = None
    ended: bool = False


_decode = msgspec.json.Decoder(Sealed).decode
_decode_anchored = msgspec.json.Decoder(_Anchored).decode
_decode_resized = msgspec.json.Decoder(_Resized).decode
_decode_stated = msgspec.json.Decoder(_Stated).decode
_ANCHORS = (Action.AUDIT_ANCHORED.value, Action.WORKER_STARTED.value)


def read_line(line: bytes) -> tuple[Position, bytes]:
    """The place and the sealed text of a record that is written with its id in front.

    Raises:
        SealBrokenError: it is not written so.
    """
    match = _LINE_HEAD.match(line)
    if match is None:
        raise SealBrokenError("it is no record")
    return Position.parse(match[1].decode()), b"{" + line[match.end() :]


def read_sealed(body: bytes) -> Sealed:
    """A record, if it still is what was sealed.

    Raises:
        SealBrokenError: it is something else.
    """
    tail = _TAIL.search(body)
    try:
        record = _decode(body)
    except msgspec.DecodeError:
        raise SealBrokenError("it is no record") from None
    if tail is None or tail[1].decode() != record.hash:
        raise SealBrokenError("it is not written as it was sealed")
    digest = hashlib.sha256(body[: tail.start()])
    digest.update(b"}")
    if digest.hexdigest() != record.hash:
        raise SealBrokenError("it does not match its hash")
    if record.n < 1 or not 1 <= len(record.chain) <= MAX_CHAIN_CHARS:
        raise SealBrokenError("it has no place in a chain")
    return record


def place_of(body: bytes) -> Sealed | None:
    """What a record says of itself, though that was not sealed; None where it is no record."""
    try:
        record = _decode(body)
    except msgspec.DecodeError:
        return None
    return record if _HASH.fullmatch(record.hash) else None


def claims_of(record: Sealed) -> Iterator[Claim]:
    """What a record states of chains, its own included."""
    try:
        if record.action in _ANCHORS:
            stated = _decode_anchored(record.details).heads
        elif record.action == Action.WORKER_LOST.value:
            stated = [_decode_stated(record.details)]
        else:
            return
    except msgspec.DecodeError:
        return  # of another version of the server
    for one in stated:
        if one.n > 0 and _HASH.fullmatch(one.hash):
            by = f"record {record.n} of {record.chain}"
            yield Claim(one.chain, one.n, one.hash, _position(one.id), by, record.chain, one.ended)


def claim_of(chain: str, head: Head, by: str) -> Claim | None:
    """What is stated elsewhere than in a record; None where that is nothing."""
    if head.n < 1:
        return None
    return Claim(chain, head.n, head.hash, _position(head.id), by)


def usage_of(record: Sealed) -> tuple[int, int, int] | None:
    """What a record states of the buffer: oldest sequence number, bytes, capacity in bytes."""
    if record.action not in _ANCHORS:
        return None
    try:
        usage = _decode_anchored(record.details).log
    except msgspec.DecodeError:
        return None
    return None if usage is None else (usage.oldest, usage.bytes, usage.capacity_bytes)


def resized_of(record: Sealed) -> tuple[str, int] | None:
    """Which log an operator gave which size in bytes, as a record states it; else None."""
    if record.action != Action.LOG_RESIZED.value:
        return None
    try:
        resized = _decode_resized(record.details)
    except msgspec.DecodeError:
        return None
    return resized.log, resized.after_bytes


def _position(text: Any) -> Position | None:
    try:
        return None if text is None else Position.parse(text)
    except BadPositionError:
        return None
