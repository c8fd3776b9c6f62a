"""`store.log.marks`, on a real MongoDB."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from store.base.client import Database
from store.log.access import DriverAccess, LogAccess
from store.log.collection import EVENTS, HEADS, META, begin_epoch, prepare_log, read_life
from store.log.heads import Heads
from store.log.marks import Mark, Marks
from store.log.wire_access import WireAccess
from tests.support.fakes import draft
from tests.support.recorder import LogRecorder
from tests.support.waiting import running
from tests.unit.store.parts import BUFFER_BYTES, make_log

Copy = dict[str, list[dict[str, Any]]]


class Site:
    """A log, and what a worker knows of it.

    Attributes:
        epoch: of the log at the beginning.
    """

    def __init__(self, db: Database, path: Path) -> None:
        self.db = db
        self.epoch = ""
        self._path = path

    async def begin(self) -> None:
        """Make the log, with events of two projects."""
        self.epoch = await prepare_log(self.db, EVENTS, BUFFER_BYTES)
        await self.publish("a", "b", "a")

    def heads(self) -> Heads:
        return Heads(self.db, buffer_bytes=BUFFER_BYTES)

    async def newest(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.db[EVENTS].find().sort("$natural", -1).to_list(1))[0]
        return found

    def marks(self) -> Marks:
        """As a worker has them that starts now."""
        return Marks(self.db, EVENTS, self.heads(), self._path)

    async def publish(self, *projects: str) -> None:
        """Store an event in each, by a worker that knows nothing of marks."""
        log = await make_log(self.db)
        async with running(log.run()):
            for project in projects:
                await log.publish([draft(project)])

    async def mark(self) -> Marks:
        """Have a worker see the newest pack, as its tail does, and write it down."""
        marks = self.marks()
        epoch = await marks.check()
        marks.saw(epoch, await self.newest())
        await marks.write()
        return marks

    async def copy(self) -> Copy:
        """A copy of the data files."""
        names = (EVENTS, HEADS, META)
        return {name: await self.db[name].find().sort("$natural", 1).to_list() for name in names}

    async def put_back(self, copy: Copy) -> None:
        """The log as it was, in the same collection."""
        for name, documents in copy.items():
            kept = {"_id": {"$nin": [one["_id"] for one in documents]}}
            await self.db[name].delete_many(kept)
            if name != EVENTS:
                for one in documents:
                    await self.db[name].replace_one({"_id": one["_id"]}, one)


@pytest.fixture
def site(db: Database, tmp_path: Path) -> Site:
    return Site(db, tmp_path / "mark.json")


@pytest.mark.gen_test
async def test_a_log_that_goes_on_keeps_its_epoch(site: Site) -> None:
    await site.begin()
    assert await site.marks().check() == site.epoch  # nothing is known yet
    marks = await site.mark()
    await site.publish("b", "a")
    assert await marks.check() == await site.marks().check() == site.epoch
    assert site.marks().begun is None


@pytest.mark.gen_test
@pytest.mark.parametrize("goes_on", [False, True], ids=["as it was", "past the mark"])
async def test_a_log_that_was_put_back_is_another_one(
    site: Site, logs: LogRecorder, goes_on: bool
) -> None:
    """A client that had seen 26 of a log put back at 23 was told that it missed nothing."""
    logs.expect("log_went_back")
    await site.begin()
    copy = await site.copy()
    await site.publish("a", "a")
    running_marks = await site.mark()
    await site.put_back(copy)
    if goes_on:  # the same numbers, for other events
        await site.publish("a", "a", "a")
    started = site.marks()
    epoch = await started.check()
    assert epoch == started.begun != site.epoch
    # Another worker finds that done, and so does the next one.
    assert await running_marks.check() == epoch
    assert await site.marks().check() == epoch
    await site.mark()
    assert await site.marks().check() == epoch
    life = await read_life(site.db, EVENTS)
    assert life.former == (site.epoch,)
    # The copy is put back once more: it has the epoch of then, too.
    await site.put_back(copy)
    again = await site.marks().check()
    assert again not in (epoch, site.epoch)


@pytest.mark.gen_test
async def test_what_was_overwritten_since_is_no_sign(site: Site) -> None:
    await site.begin()
    marks = await site.mark()
    await site.publish("b")
    heads = site.heads()
    await heads.wrote({"a": 2}, 1)
    await heads.flush()
    await site.db[EVENTS].delete_many({"project_id": "a"})  # as MongoDB does with the oldest
    assert await marks.check() == await site.marks().check() == site.epoch


@pytest.mark.gen_test
async def test_a_log_made_anew_is_no_sign_and_an_older_one_in_its_place_is(
    site: Site, logs: LogRecorder
) -> None:
    logs.expect("log_went_back")
    await site.begin()
    await site.mark()
    await site.db[EVENTS].drop()
    marks = site.marks()
    made_anew = await prepare_log(site.db, EVENTS, BUFFER_BYTES)
    assert await marks.check() == made_anew
    await site.publish("a")
    await site.mark()
    # What a copy of the first collection would look like.
    await site.db[META].update_one(
        {"_id": EVENTS}, {"$set": {"epoch": site.epoch}, "$unset": {"former": 1}}
    )
    assert await site.marks().check() not in (site.epoch, made_anew)


@pytest.mark.gen_test
async def test_an_operator_s_new_epoch_is_taken_as_it_is(site: Site) -> None:
    await site.begin()
    marks = await site.mark()
    life = await read_life(site.db, EVENTS)
    after = await begin_epoch(site.db, EVENTS, life)
    assert after.epoch != site.epoch
    assert await begin_epoch(site.db, EVENTS, life) == after  # it has ended already
    assert await marks.check() == await site.marks().check() == after.epoch


@pytest.mark.gen_test
async def test_a_file_that_cannot_be_read_or_written_stops_nothing(
    site: Site, tmp_path: Path, logs: LogRecorder
) -> None:
    await site.begin()
    (tmp_path / "mark.json").write_bytes(b'{"uuid": "x"}')
    await site.mark()
    assert Mark.parse((tmp_path / "mark.json").read_bytes()).epoch == site.epoch
    lost = Marks(site.db, EVENTS, site.heads(), tmp_path / "nowhere" / "mark.json")
    await lost.check()
    lost.saw(site.epoch, await site.newest())
    await lost.write()
    (tmp_path / "folder").mkdir()
    assert await Marks(site.db, EVENTS, site.heads(), tmp_path / "folder").check() == site.epoch
    assert [line["event"] for line in logs.lines] == [
        *("log_mark_unreadable", "log_mark_not_written", "log_mark_unreadable")
    ]


@pytest.mark.gen_test
@pytest.mark.parametrize("way", [WireAccess, DriverAccess])
async def test_a_publisher_is_told_no_number_twice_though_no_tail_has_looked_yet(
    db: Database, site: Site, logs: LogRecorder, way: Callable[[Database], LogAccess]
) -> None:
    """MongoDB came back with files that were put back, and was faster than the tail's next look."""
    logs.expect("log_went_back")
    await site.begin()
    copy = await site.copy()
    instance = 0

    class Restarted(way):  # type: ignore[misc, valid-type]
        @property
        def instance(self) -> object:
            return instance

    marks = await site.mark()
    log = await make_log(db, marks=marks, access=Restarted(db))
    async with running(log.run()):
        before = await log.publish([draft("a")])
        marks.saw(before.epoch, await site.newest())
        assert before.epoch == site.epoch
        await site.put_back(copy)
        instance += 1
        log.begin_epoch(log.epoch)  # as after an insert that failed: nothing is believed
        after = await log.publish([draft("a")])
        assert (after.first, after.epoch != before.epoch) == (before.first, True)
        assert log.epoch == after.epoch == await marks.check()
