"""The queue of commits on a real MongoDB."""

from datetime import UTC, datetime, timedelta

import pytest

from rtserver.revisions.commits import PendingCommit
from store.base.client import Database
from store.documents.commits import MongoCommits

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _commit(project_id: str, n: int) -> PendingCommit:
    files = {"a/b.md": "0" * 64, "gone": None}
    return PendingCommit(
        project_id, "ada" if n else None, NOW + n * timedelta(seconds=1), f"{n}", files, ("a",)
    )


@pytest.mark.gen_test
async def test_what_waits_comes_out_in_order(db: Database) -> None:
    queue = MongoCommits(db, max_waiting=2)
    await queue.prepare()
    assert await queue.projects("here") == []
    assert await queue.first("here", "p1") is None
    for n in (1, 0):
        assert await queue.add("here", _commit("p1", n))
    assert not await queue.add("here", _commit("p1", 2))
    assert await queue.add("here", _commit("p2", 2))
    assert await queue.add("there", _commit("p3", 2))
    assert await queue.projects("here") == ["p1", "p2"]
    for n in (0, 1):
        waiting = await queue.first("here", "p1")
        assert waiting is not None
        assert waiting.commit == _commit("p1", n)
        await queue.remove(waiting.name)
    assert await queue.projects("here") == ["p2"]
