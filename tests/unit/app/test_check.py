"""What trying each part finds."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rtserver.app.check import findings
from store.base.client import Database
from store.watch.places import WATCHES
from tests.support.mongo import MongodProcess
from tests.unit.app.parts import settings_of


@pytest.mark.gen_test
async def test_a_watch_that_does_not_move_is_one_problem(
    mongod: MongodProcess, database: str, db: Database, tmp_path: Path
) -> None:
    """It was asked about twice, and so told twice: a merge had left the question there twice."""
    watch = f"{database}_app.notes:note"
    begun = datetime.now(UTC) - timedelta(minutes=5)
    settings = settings_of(tmp_path, mongodb_uri=mongod.uri, mongodb_database=database, watch=watch)
    await db[WATCHES].insert_one(
        {"_id": settings.watches[0].name, "failed_at": begun, "problem": "KeyError"}
    )
    found = dict([part async for part in findings(settings)])
    stalled = [problem for problem in found["MongoDB"].problems if "has failed for" in problem]
    assert len(stalled) == 1
    assert stalled[0].endswith("and not moved: KeyError")
