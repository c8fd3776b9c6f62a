"""Contents of revisions on a real MongoDB: each once, and pruned when nobody needs it."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from rtserver.revisions.model import Cause, Revision, digest_of_files, files_of
from rtserver.revisions.pruning import prune_now_and_then
from store.base.client import Database
from store.documents.proposals import PROPOSALS
from store.documents.revisions import CONTENTS, REVISIONS, MongoRevisions, revision_document
from tests.support.waiting import running, until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def _revision(proposal_id: str, number: int, contents: dict[str, bytes]) -> Revision:
    files, removed = files_of(contents, None)
    digest = digest_of_files(contents)
    return Revision(proposal_id, "p1", number, digest, NOW, "ada", Cause.UPLOAD, files, removed)


async def _keep(
    db: Database, store: MongoRevisions, proposal_id: str, number: int, **texts: bytes
) -> Revision:
    revision = _revision(proposal_id, number, texts)
    await store.keep(texts)
    await db[REVISIONS].insert_one(revision_document(revision))
    return revision


@pytest.mark.gen_test
async def test_a_revision_is_found_as_it_was_kept(db: Database) -> None:
    store = MongoRevisions(db)
    await store.prepare()
    first = await _keep(db, store, "a", 1, x=b"same", y=b"\xff\x00")
    second = await _keep(db, store, "a", 2, x=b"same", z=b"")
    await _keep(db, store, "b", 1, x=b"same")
    assert await store.get("a", 1) == first
    assert await store.get("a", 3) is None
    assert await store.of_proposal("a", before=None, limit=1) == ([second], True)
    assert await store.of_proposal("a", before=2, limit=5) == ([first], False)
    assert await db[CONTENTS].count_documents({}) == 3
    assert await store.content(hashlib.sha256(b"\xff\x00").hexdigest()) == b"\xff\x00"
    assert await store.content("0" * 64) is None


@pytest.mark.gen_test
async def test_contents_go_a_while_after_the_archive(db: Database) -> None:
    store = MongoRevisions(db)
    await store.prepare()
    for name, status, age in (
        ("old", "archived", 40),
        ("new", "archived", 1),
        ("open", "draft", 90),
    ):
        updated_at = datetime.now(UTC) - age * DAY
        await db[PROPOSALS].insert_one({"_id": name, "status": status, "updated_at": updated_at})
        await _keep(db, store, name, 1, own=name.encode(), shared=b"shared")
    assert await store.prune(30 * DAY.total_seconds()) == 0, "used a moment ago"
    await db[CONTENTS].update_many({}, {"$set": {"used_at": datetime.now(UTC) - 2 * DAY}})
    async with running(prune_now_and_then(store, 30, interval_s=0.01)):

        async def is_gone() -> bool:
            return await store.content(hashlib.sha256(b"old").hexdigest()) is None

        await until(is_gone, "the contents of the old one")
    for kept in (b"new", b"open", b"shared"):
        assert await store.content(hashlib.sha256(kept).hexdigest()) == kept
    assert await store.get("old", 1) is not None
