"""Values of other people's documents as plain JSON has them."""

import base64
import math
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bson import CodecOptions, DatetimeMS, ObjectId
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.decimal128 import Decimal128

from rtserver.model.events import rfc3339

FOREIGN: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
"""Reads whatever somebody may have written: nothing in a document makes it raise."""

MAX_SAFE_INTEGER = 2**53 - 1
"""What JavaScript calls `Number.MAX_SAFE_INTEGER`; see RFC 8259, section 6."""


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
            return _whole(int(value))  # Int64 is a class of its own
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
