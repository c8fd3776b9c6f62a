"""How many runs of a project are under way, counted on a real MongoDB."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rtserver.model.run import RunKind
from rtserver.runs.model import Run
from store.base.client import Database
from store.documents.run_places import RUN_PLACES, RunPlaces

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def a_run(run_id: str, *, at: int = 0, project_id: str = "p1") -> Run:
    started = EPOCH + timedelta(seconds=at)
    return Run(run_id, RunKind.ITERATION, project_id, f"of-{run_id}", "w1", "ada", started)


def places(db: Database) -> RunPlaces:
    return RunPlaces(db, lease_s=60)


async def lapse(db: Database, array: str, run_id: str) -> None:
    """Let an entry's time have run out."""
    past: dict[str, Any] = {f"{array}.$.until": datetime.now(UTC) - timedelta(seconds=5)}
    changed = await db[RUN_PLACES].update_one({f"{array}.r": run_id}, {"$set": past})
    assert changed.modified_count == 1


@pytest.mark.gen_test
async def test_as_many_as_may(db: Database) -> None:
    taken = places(db)
    await taken.prepare()
    assert await taken.take(a_run("r1"), 2)
    assert await taken.take(a_run("r2"), 2)
    assert await taken.take(a_run("r2"), 2)  # an answer that was lost: it counts once
    assert not await taken.take(a_run("r3"), 2)
    assert await taken.take(a_run("s1", project_id="p2"), 2)
    await taken.release(a_run("r1"))
    assert await taken.take(a_run("r3"), 2)
    await taken.release(a_run("unknown"))


@pytest.mark.gen_test
async def test_many_at_once(db: Database) -> None:
    taken = places(db)
    granted = await asyncio.gather(*(taken.take(a_run(f"r{n}", at=n), 3) for n in range(20)))
    assert sum(granted) == 3


@pytest.mark.gen_test
async def test_who_asked_first_is_first(db: Database) -> None:
    taken = places(db)
    assert await taken.take(a_run("r1"), 1)
    assert not await taken.take(a_run("late", at=2), 1)
    assert not await taken.take(a_run("early", at=1), 1)
    assert not await taken.take(a_run("b", at=1), 1)
    await taken.release(a_run("r1"))
    assert not await taken.take(a_run("late", at=2), 1)
    assert not await taken.take(a_run("early", at=1), 1)  # `b` asked in the same moment
    assert await taken.take(a_run("b", at=1), 1)
    await taken.release(a_run("b", at=1))
    # Who stopped asking is in nobody's way: neither by giving up nor by dying.
    await taken.release(a_run("early", at=1))
    assert await taken.take(a_run("late", at=2), 1)


@pytest.mark.gen_test
async def test_who_asks_no_more_is_passed_over(db: Database) -> None:
    taken = places(db)
    assert await taken.take(a_run("r1"), 1)
    assert not await taken.take(a_run("early", at=1), 1)
    assert not await taken.take(a_run("late", at=2), 1)
    await lapse(db, "asking", "early")
    await taken.release(a_run("r1"))
    assert await taken.take(a_run("late", at=2), 1)


@pytest.mark.gen_test
async def test_places_are_held_on_a_lease(db: Database) -> None:
    taken = places(db)
    assert await taken.take(a_run("r1"), 1)
    await lapse(db, "entries", "r1")
    await taken.renew([a_run("r1"), a_run("gone")])
    assert not await taken.take(a_run("r2", at=1), 1)
    await lapse(db, "entries", "r1")
    assert await taken.take(a_run("r2", at=1), 1)
    # One that was passed on is not taken back.
    await taken.renew([a_run("r1")])
    document = await db[RUN_PLACES].find_one({"_id": "p1"})
    assert document is not None
    assert [entry["r"] for entry in document["entries"]] == ["r2"]


@pytest.mark.gen_test
async def test_ids_that_look_like_expressions(db: Database) -> None:
    taken = places(db)
    strange = a_run("$$NOW", project_id="$p")
    assert await taken.take(strange, 1)
    await taken.renew([strange])
    assert not await taken.take(a_run("$x", at=1, project_id="$p"), 1)
    await taken.release(strange)
    assert await taken.take(a_run("$x", at=1, project_id="$p"), 1)
