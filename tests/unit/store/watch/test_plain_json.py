import json
import math
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import bson
import pytest
from bson import DatetimeMS, Int64, ObjectId
from bson.decimal128 import Decimal128
from bson.raw_bson import RawBSONDocument
from bson.regex import Regex
from hypothesis import given
from hypothesis import strategies as st

from store.watch.plain_json import MAX_SAFE_INTEGER, UNREAD, plain, read, read_or_none

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        ("text", "text"),
        (7, 7),
        (Int64(7), 7),
        (MAX_SAFE_INTEGER, MAX_SAFE_INTEGER),
        (MAX_SAFE_INTEGER + 1, str(MAX_SAFE_INTEGER + 1)),
        (-MAX_SAFE_INTEGER - 1, str(-MAX_SAFE_INTEGER - 1)),
        (1.5, 1.5),
        (math.nan, None),
        (-math.inf, None),
        (NOON, "2026-01-31T12:00:00.000Z"),
        (NOON.replace(tzinfo=None), "2026-01-31T12:00:00.000Z"),
        (NOON.astimezone(timezone(timedelta(hours=2))), "2026-01-31T12:00:00.000Z"),
        (DatetimeMS(253402300800000), 253402300800000),
        (b"\x00\xff", "AP8="),
        (ObjectId("65b0c1d2e3f4a5b6c7d8e9f0"), "65b0c1d2e3f4a5b6c7d8e9f0"),
        (Decimal128("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"a": [1, {"b": b""}]}, {"a": [1, {"b": ""}]}),
        ((1, 2), [1, 2]),
    ],
    ids=repr,
)
def test_each_kind_has_its_form(value: Any, expected: Any) -> None:
    assert plain(value) == expected


def test_what_is_mongodbs_own_becomes_text() -> None:
    assert isinstance(plain(Regex("a")), str)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
        max_leaves=10,
    )
)
def test_all_of_it_can_be_written_as_json_and_read_back_by_a_browser(value: Any) -> None:
    form = plain(value)
    assert json.loads(json.dumps(form, allow_nan=False)) == form


def test_a_document_that_cannot_be_read_is_none() -> None:
    good = RawBSONDocument(bson.encode({"a": 1}), UNREAD)
    assert read(good) == read_or_none(good) == {"a": 1}
    inner = bson.encode({"a": "x"})
    torn = inner[:-6] + b"\xff\xff\xff\xff" + inner[-2:]  # a string's length that is none
    assert read_or_none(RawBSONDocument(torn, UNREAD)) is None
