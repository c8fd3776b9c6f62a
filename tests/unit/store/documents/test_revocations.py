"""Revocations in MongoDB."""

from datetime import UTC, datetime, timedelta

import pytest

from store.base.client import Database
from store.documents.revocations import MongoRevocations

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.mark.gen_test
async def test_a_moment_never_goes_back(db: Database) -> None:
    store = MongoRevocations(db)
    await store.prepare()
    late = await store.revoke("ada", NOW, "root")
    early = await store.revoke("ada", NOW - timedelta(hours=1), "other")
    assert (late.before, early.before) == (NOW, NOW)
    assert early.changed >= late.changed
    later = await store.revoke("ada", NOW + timedelta(seconds=1), "root")
    assert later.before == NOW + timedelta(seconds=1)


@pytest.mark.gen_test
async def test_those_that_changed_since_are_found(db: Database) -> None:
    store = MongoRevocations(db)
    await store.prepare()
    assert await store.changed_since(None) == []
    made = [await store.revoke(user, NOW, "root") for user in ("ada", "ben")]
    everybody = await store.changed_since(None)
    assert sorted(everybody, key=lambda one: one.user_id) == made
    newest = max(one.changed for one in made)
    assert await store.changed_since(newest) == []
    assert len(await store.changed_since(newest - timedelta(minutes=1))) == 2
