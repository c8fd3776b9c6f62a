"""Appends that the log refuses once it holds an event that ends what they belong to.

A worker was stopped for longer than its lease while a validation printed. Another one ended the
run, and then the first one's queued output followed the end.
"""

import asyncio
import random
from typing import Any

import pytest

from rtserver.eventlog.api import Fence, FencedError, FenceLostError
from store.base.client import Database
from store.log.collection import EVENTS
from store.log.writer import MongoEventLog
from tests.support.fakes import draft
from tests.support.waiting import running
from tests.unit.store.parts import make_log

pytestmark = pytest.mark.usefixtures("way")

END = "test.end"


def _fence(clear_upto: int = 0, run: str = "r1") -> Fence:
    return Fence(frozenset({END}), f'"run_id":"{run}"', clear_upto)


def _end(run: str = "r1") -> Any:
    ended = draft("p1", run_id=run)
    ended.type = END
    return ended


async def _frames(log: MongoEventLog) -> list[dict[str, Any]]:
    head = await log.head("p1")
    frames: list[dict[str, Any]] = []
    while len(frames) < head:
        packs = await log.read("p1", after=len(frames), upto=head, limit=1000)
        frames += [event.frame() for pack in packs for event in pack.events(after=len(frames))]
    return frames


@pytest.mark.gen_test
async def test_nothing_follows_an_end_whoever_appended_it(db: Database) -> None:
    mine, other = await make_log(db), await make_log(db)
    fence = _fence()
    async with running(mine.run(), other.run()):
        assert (await mine.publish([draft("p1", n=1)], fence=fence)).last == 1
        await other.publish([draft("p1", n=2)])
        assert (await mine.publish([draft("p1", n=3)], fence=fence)).last == 3
        # Of another run, of another type, and a text that only looks like it.
        looks = draft("p1", text='"run_id":"r1"')
        looks.type = END
        await other.publish([_end("r2"), draft("p1", run_id="r1"), looks])
        assert (await mine.publish([draft("p1", n=4)], fence=fence)).last == 7
        await other.publish([_end()])
        for _ in range(2):
            with pytest.raises(FencedError):
                await mine.publish([draft("p1", n=5)], fence=fence)
        assert (await mine.publish([draft("p1", n=6)])).last == 9
    assert [frame.get("n") for frame in await _frames(mine)] == [
        1,
        2,
        3,
        None,
        None,
        None,
        4,
        None,
        6,
    ]


@pytest.mark.gen_test
async def test_an_end_that_this_worker_relayed_ends_it_as_well(db: Database) -> None:
    log = await make_log(db)
    fence = _fence()
    async with running(log.run()):
        await log.publish([draft("p1", n=1)], fence=fence)
        queued = [
            asyncio.ensure_future(log.publish([draft("p1", n=2)], fence=fence)),
            asyncio.ensure_future(log.publish([_end()], key="end")),
            asyncio.ensure_future(log.publish([draft("p1", n=3)], fence=fence)),
            asyncio.ensure_future(log.publish([draft("p1", n=4)])),
        ]
        results = await asyncio.gather(*queued, return_exceptions=True)
    assert [type(result).__name__ for result in results] == [
        "Published",
        "Published",
        "FencedError",
        "Published",
    ]
    assert [frame.get("n") for frame in await _frames(log)] == [1, 2, None, 4]


@pytest.mark.gen_test
async def test_what_stands_behind_a_refused_pack_does_not_wait_for_it(db: Database) -> None:
    """Its number was waited for, and nobody ever takes it: all that was published timed out."""
    log = await make_log(db)
    ended, lives = _fence(), _fence(run="r2")
    async with running(log.run()):
        await log.publish([_end()])
        refused, stored = await asyncio.wait_for(
            asyncio.gather(
                log.publish([draft("p1", n=1)], fence=ended),
                log.publish([draft("p1", n=2)], fence=lives),
                return_exceptions=True,
            ),
            8,
        )
    assert isinstance(refused, FencedError)
    assert not isinstance(stored, BaseException)
    assert stored.last == 2


@pytest.mark.gen_test
async def test_a_fence_that_was_made_late_is_looked_for_in_the_log(db: Database) -> None:
    log = await make_log(db)
    async with running(log.run()):
        await log.publish([draft("p1", n=n) for n in range(400)])
        for n in range(3):
            await log.publish([draft("p1", n=n) for n in range(400)])
        late = _fence()
        assert (await log.publish([draft("p1", n=n)], fence=late)).last == 1601
        assert late.clear_upto == 1601
        await log.publish([_end()])
        with pytest.raises(FencedError):
            await log.publish([draft("p1")], fence=_fence())
        # Whoever knows of the log up to there that nothing forbids it is right.
        await log.publish([draft("p1")], fence=_fence(clear_upto=1602))


@pytest.mark.gen_test
async def test_what_was_overwritten_is_not_taken_for_clear(db: Database) -> None:
    log = await make_log(db, buffer_bytes=1 << 16)
    fence = _fence()
    filling = "x" * 8_000
    async with running(log.run()):
        await log.publish([draft("p1", n=1)], fence=fence)
        other = await make_log(db, buffer_bytes=1 << 16)
        async with running(other.run()):
            await other.publish([_end()])
            for _ in range(30):
                await other.publish([draft("p1", filling=filling)])
        with pytest.raises(FenceLostError):
            await log.publish([draft("p1", n=2)], fence=fence)
        fence.clear_upto = await log.head("p1")
        await log.publish([draft("p1", n=3)], fence=fence)
        # Of the project nothing is left at all.
        for _ in range(30):
            await log.publish([draft("p2", filling=filling)])
        late = _fence()
        with pytest.raises(FenceLostError):
            await log.publish([draft("p1", n=4)], fence=late)
    assert await db[EVENTS].count_documents({"project_id": "p1"}) == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.gen_test(timeout=60)
async def test_among_writers_that_contend_nothing_follows_an_end(db: Database, seed: int) -> None:
    chance = random.Random(seed)
    logs = [await make_log(db) for _ in range(3)]
    runs = [f"r{n}" for n in range(6)]
    acknowledged: list[tuple[str, int]] = []

    async def speak(log: MongoEventLog, run: str) -> None:
        fence = _fence(run=run)
        for n in range(40):
            try:
                await log.publish([draft("p1", run_id=run, n=n)], fence=fence)
            except FencedError:
                return
            acknowledged.append((run, n))

    async def end(run: str) -> None:
        for _ in range(chance.randrange(30)):
            await logs[chance.randrange(3)].publish([draft("p1", noise=True)])
        await logs[chance.randrange(3)].publish([_end(run)], key=f"end {run}")

    async with running(*(log.run() for log in logs)):
        speakers = [speak(logs[n % 3], run) for n, run in enumerate(runs)]
        await asyncio.gather(*speakers, *map(end, runs))
    frames = await _frames(logs[0])
    ended: set[str | None] = set()
    said: list[tuple[str, int]] = []
    for frame in frames:
        run = frame.get("run_id")
        assert run not in ended, frame
        if frame["type"] == END:
            ended.add(run)
        elif run is not None:
            said.append((run, frame["n"]))
    assert sorted(said) == sorted(acknowledged)
    assert ended == set(runs)
