"""Leases in documents: they end by MongoDB's clock, and a document is made once."""

import asyncio

import pytest

from store.base.client import Database
from store.base.leases import LIVE, change_or_make, lapsed, until


@pytest.mark.gen_test
async def test_a_lease_runs_out_by_the_clock_of_mongodb(db: Database) -> None:
    entries = [{"n": "short", "until": until(-1)}, {"n": "long", "until": until(60)}]
    await change_or_make(db.leases, "a", [{"$set": {"until": until(-1), "entries": entries}}])
    await change_or_make(db.leases, "b", [{"$set": {"until": until(60)}}])
    found = [found["_id"] async for found in db.leases.find({"$expr": lapsed()})]
    assert found == ["a"]
    live = {"$filter": {"input": "$entries", "cond": LIVE}}
    one = await db.leases.find_one({"_id": "a"}, {"entries": live})
    assert one is not None
    assert [entry["n"] for entry in one["entries"]] == ["long"]


@pytest.mark.gen_test
async def test_who_makes_a_document_at_the_same_time_as_others_changes_it(db: Database) -> None:
    raised = [{"$set": {"n": {"$add": [{"$ifNull": ["$n", 0]}, 1]}}}]
    await asyncio.gather(*(change_or_make(db.leases, "a", raised) for _ in range(20)))
    assert await change_or_make(db.leases, "a", raised, {"_id": 0, "n": 1}) == {"n": 21}
