"""What a log's collection holds."""

import time

import bson
import pytest
from bson import Timestamp

from store.base.client import Database
from store.log.collection import EVENTS, pack_document, prepare_log
from store.log.extent import MongoLogExtents

SIZE_BYTES = 4 * 1024 * 1024


@pytest.mark.gen_test
async def test_it_is_told_how_much_is_there_and_since_when(db: Database) -> None:
    extents = MongoLogExtents(db, EVENTS)
    assert await extents.extent() is None
    await prepare_log(db, EVENTS, SIZE_BYTES)
    empty = await extents.extent()
    assert empty is not None
    assert (empty.age_s, empty.used_bytes, empty.capacity_bytes) == (0.0, 0, SIZE_BYTES)
    documents = [pack_document(n, "p1", n, [{"t": "a", "b": "{}"}], None) for n in (1, 2)]
    documents[0]["stamp"] = Timestamp(int(time.time()) - 3600, 1)
    await db[EVENTS].insert_many(documents)
    found = await extents.extent()
    assert found is not None
    assert found.used_bytes == sum(len(bson.encode(one)) for one in documents)
    assert 3590 < found.age_s < 3700


@pytest.mark.gen_test
async def test_nothing_is_told_of_a_collection_that_is_not_capped(db: Database) -> None:
    await db[EVENTS].insert_one({})
    assert await MongoLogExtents(db, EVENTS).extent() is None
