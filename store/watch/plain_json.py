"""Plain JSON of values in other people's documents."""

import base64
import math
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import bson
from bson import CodecOptions, DatetimeMS, ObjectId
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.decimal128 import Decimal128
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument

from rtserver.model.moments import rfc3339

FOREIGN: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
"""Reads what somebody may have written, and makes as little of it raise as can be."""

UNREAD: CodecOptions[RawBSONDocument] = FOREIGN.with_options(document_class=RawBSONDocument)
"""Leaves documents as they are, so that one that cannot be read spoils no other of its batch."""

MAX_SAFE_INTEGER = 2**53 - 1
"""What JavaScript calls `Number.MAX_SAFE_INTEGER`; see RFC 8259, section 6."""


def read(document: RawBSONDocument) -> dict[str, Any]:
    """A document that was left unread.

    Raises:
        InvalidBSON: what is in it is not valid.
    """
    return bson.decode(document.raw, FOREIGN)


def read_or_none(document: RawBSONDocument) -> dict[str, Any] | None:
    """The same; None where it cannot be read. Drivers differ in what they let somebody write."""
    try:
        return read(document)
    except (InvalidBSON, ValueError, OverflowError, RecursionError):
        return None


def plain(value: Any) -> Any:
    """The value as JSON would have it.

    Dates become RFC 3339, UTC; ids, decimals, UUIDs and what is MongoDB's own become text; binary
    becomes base64; what is no number, and infinity, becomes null. Whole numbers that a browser
    cannot hold exactly become text too: as a number, an id of 64 bits would reach it as another id.
    """
    match value:
        case None | bool():
            return value
        case int():
            return _whole(int(value))  # Int64 is bson's subclass of int
        case float():
            return value if math.isfinite(value) else None
        case str():
            return str(value)
        case Mapping():
            return {str(key): plain(below) for key, below in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case datetime():
            return rfc3339(value if value.tzinfo else value.replace(tzinfo=UTC))
        case DatetimeMS():
            return _whole(int(value))  # of a year that has no four digits
        case bytes():
            return base64.b64encode(value).decode()
        case ObjectId() | Decimal128() | uuid.UUID():
            return str(value)
        case _:
            return str(value)


def _whole(number: int) -> int | str:
    return number if abs(number) <= MAX_SAFE_INTEGER else str(number)
