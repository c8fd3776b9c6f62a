"""Following a collection on a real MongoDB: nothing missed, nothing twice, one holder at a time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from bson import Binary, DatetimeMS, Decimal128, Int64, ObjectId

from rtserver.model.watch import Watch, parse_watches
from rtserver.observe.metrics import MetricsRegistry
from rtserver.watch.change import ChangeOutcome
from rtserver.watch.follower import Watching
from rtserver.watch.metrics import WatchMetrics
from rtserver.watch.ports import WatchPlace
from store.base.client import Database, connect
from store.log.writer import MongoEventLog
from store.watch.change_stream import ChangeStreams
from store.watch.check import watch_problems
from store.watch.places import WATCHES, MongoWatchPlaces
from store.watch.plain_json import plain
from tests.support.cutting_proxy import cutting_proxy
from tests.support.mongo import MongodProcess
from tests.support.recorder import LogRecorder
from tests.support.waiting import running, until
from tests.unit.store.parts import make_log

LEASE_S = 0.6


class Follower:
    """A worker's part in a watch, and the log that it appends to.

    Attributes:
        db: the server's database; what is followed is in another.
        lost: watches that it was told changes were missed of.
    """

    def __init__(self, db: Database, log: MongoEventLog, spec: str, holder: str) -> None:
        (watch,) = parse_watches(f"{db.name}_app.notes:note{spec}")
        self.db = db
        self.log = log
        self.watch = watch
        self.metrics = WatchMetrics(MetricsRegistry())
        self.places = MongoWatchPlaces(db, lease_s=LEASE_S)
        self.lost: list[Watch] = []
        self.watching = Watching(
            watch,
            self.places,
            ChangeStreams(db.client),
            log,
            self.metrics,
            records=self,
            holder=holder,
            lease_s=LEASE_S,
            max_data_bytes=1000,
        )

    def history_lost(self, watch: Watch) -> None:
        self.lost.append(watch)

    def is_holder(self) -> bool:
        return float(self.metrics.watches_held._value.get()) == 1

    def count(self, outcome: ChangeOutcome) -> float:
        return float(self.metrics.watch_changes_total.labels(outcome.value)._value.get())

    async def place(self) -> dict[str, Any]:
        """What is noted of the watch."""
        return await self.db[WATCHES].find_one({"_id": self.watch.name}) or {}

    async def begun(self) -> None:
        """Wait until there is a place to go on from."""

        async def noted() -> bool:
            return "token" in await self.place()

        await until(noted, "a place is noted")

    async def told(self, count: int, project_id: str = "p1") -> list[tuple[str, Any]]:
        """Types and data of a project's events, once there are so many."""

        async def enough() -> bool:
            return await self.log.head(project_id) >= count

        await until(enough, f"{count} events in {project_id}")
        packs = await self.log.read(project_id, after=0, upto=1 << 40, limit=1 << 40)
        frames = [event.frame() for pack in packs for event in pack.events()]
        return [(frame["type"], frame["data"]) for frame in frames]


@contextlib.asynccontextmanager
async def following(
    db: Database, spec: str = ":send=n", holder: str = "h1"
) -> AsyncIterator[Follower]:
    log = await make_log(db)
    one = Follower(db, log, spec, holder)
    async with running(log.run(), one.watching.run()):
        yield one


@pytest.fixture
def notes(db: Database) -> Any:
    """An application's collection, in a database of its own."""
    return db.client[f"{db.name}_app"]["notes"]


BROKEN = Binary(b"abc", 4)
"""A UUID of three bytes: whoever reads it with the driver's own class gets an exception."""


def _note(number: int, **fields: object) -> dict[str, Any]:
    return {"_id": number, "project_id": "p1", "n": number, **fields}


@pytest.mark.gen_test
async def test_changes_are_told_in_order_and_a_restart_goes_on_behind_them(
    db: Database, notes: Any
) -> None:
    async with following(db) as one:
        await one.begun()
        await notes.database.create_collection(
            "notes", changeStreamPreAndPostImages={"enabled": True}
        )
        await notes.insert_many([_note(1), _note(2, project_id="p2")])
        await notes.update_one({"_id": 1}, {"$set": {"views": 1}})
        await notes.update_one({"_id": 1}, {"$set": {"n": 10}})
        await one.told(2)
    # Nobody follows meanwhile.
    await notes.replace_one({"_id": 1}, _note(1, n=100))
    await notes.delete_one({"_id": 1})
    await notes.insert_one(_note(3))
    async with following(db, holder="h2") as one:
        assert await one.told(5) == [
            ("note.inserted", {"id": 1, "document": {"n": 1}}),
            ("note.updated", {"id": 1, "document": {"n": 10}}),
            # What an update is told with is read when it is told; by now there is none.
            ("note.updated", {"id": 1, "document": {"n": 100}}),
            ("note.deleted", {"id": 1}),
            ("note.inserted", {"id": 3, "document": {"n": 3}}),
        ]
        assert await one.told(1, "p2") == [("note.inserted", {"id": 2, "document": {"n": 2}})]
    await db.client.drop_database(notes.database.name)


@pytest.mark.gen_test
async def test_a_place_that_was_not_noted_doubles_nothing(db: Database, notes: Any) -> None:
    async with following(db) as one:
        await one.begun()
        begin = (await one.place())["token"]
        await notes.insert_many([_note(n) for n in range(20)])
        told = await one.told(20)
    await db[WATCHES].update_one({}, {"$set": {"token": begin}})
    # Told with other content this time: it is the same change all the same.
    await notes.update_many({}, {"$set": {"n": -1}})
    async with following(db, holder="h2") as one:
        again = await one.told(40)
        assert again[:20] == told
        assert [data["document"]["n"] for _, data in again[20:]] == [-1] * 20
        assert {type_ for type_, _ in again[20:]} == {"note.updated"}
    await db.client.drop_database(notes.database.name)


@pytest.mark.gen_test
async def test_one_holds_it_and_another_takes_over_when_that_one_is_gone(
    db: Database, notes: Any
) -> None:
    log = await make_log(db)
    one, other = Follower(db, log, ":send=n", "h1"), Follower(db, log, ":send=n", "h2")
    async with running(log.run(), other.watching.run()):
        async with running(one.watching.run()):
            await one.begun()
            assert one.is_holder() != other.is_holder()
            first, second = (one, other) if one.is_holder() else (other, one)
            await notes.insert_one(_note(1))
            await first.told(1)
            # As if the first were paused for longer than its lease, and did not know.
            await db[WATCHES].update_one({}, {"$set": {"holder": "h3"}})
            await until(lambda: not first.is_holder(), "the first sees that it is no holder")
            assert not await first.places.note(first.watch.name, "h1", WatchPlace({"_data": "00"}))
            await notes.insert_one(_note(2))
            # The lease of `h3` lapses, and one of the two goes on.
            assert len(await first.told(2)) == 2
            assert first.is_holder() != second.is_holder()
        await until(other.is_holder, "the other holds it")
        await notes.insert_one(_note(3))
        assert [data["id"] for _, data in await other.told(3)] == [1, 2, 3]
    await db.client.drop_database(notes.database.name)


@pytest.mark.gen_test
async def test_what_cannot_be_told_is_counted_and_said(
    db: Database, notes: Any, logs: LogRecorder
) -> None:
    async with following(db) as one:
        await one.begun()
        await notes.insert_one({"_id": 1, "n": 1})
        await notes.insert_one({"_id": 2, "project_id": "no/project", "n": 1})
        await notes.insert_one(_note(3, n="x" * 2000))
        await notes.delete_one({"_id": 3})
        await notes.insert_one(_note(4))
        assert await one.told(2) == [
            ("note.inserted", {"id": 3, "too_large": True}),
            ("note.inserted", {"id": 4, "document": {"n": 4}}),
        ]
        await until(lambda: one.count(ChangeOutcome.TOLD) == 1, "all are counted")
        assert one.count(ChangeOutcome.NO_PROJECT) == 2
        assert one.count(ChangeOutcome.TOO_LARGE) == 1
        assert one.count(ChangeOutcome.NO_IMAGE) == 1
        said = [line for line in logs.lines if line["event"] == "watch_changes_not_told"]
        assert len(said) == 1
        assert said[0]["level"] == "warning"
    await db.client.drop_database(notes.database.name)


@pytest.mark.gen_test
async def test_lost_history_is_told_to_every_project_and_following_goes_on(
    db: Database, notes: Any, logs: LogRecorder
) -> None:
    await notes.insert_many([_note(1), _note(2, project_id="p2"), {"_id": 3}])
    # A change of a time from which nothing is known.
    token = "8260000000" + "0000000D2B022C0100296E5A1004400CFA58609041BD9AEB92BD15971C9B461E"
    await db[WATCHES].insert_one(
        {"_id": f"{db.name}_app.notes:note", "token": {"_data": f"{token}5F6964002B060004"}}
    )
    logs.expect("watch_history_lost")
    async with following(db) as one:
        lost = ("note.resync", {"reason": "history_lost"})
        assert await one.told(1) == [lost]
        assert await one.told(1, "p2") == [lost]
        assert one.lost == [one.watch]
        await notes.insert_one(_note(4))
        assert await one.told(2) == [lost, ("note.inserted", {"id": 4, "document": {"n": 4}})]
        assert (await one.place())["resync"] is None
    await db.client.drop_database(notes.database.name)


@pytest.mark.gen_test
async def test_a_collection_that_is_dropped_or_renamed_is_followed_when_it_is_back(
    db: Database, notes: Any
) -> None:
    async with following(db) as one:
        await one.begun()
        await notes.insert_one(_note(1))
        await notes.drop()
        await notes.insert_one(_note(2))
        await notes.rename("notes_before")
        await notes.database["notes_before"].insert_one(_note(3))
        await notes.insert_one(_note(4))
        assert [data["id"] for _, data in await one.told(3)] == [1, 2, 4]
        # Across a restart too, with nothing but the end of the collection since.
        await notes.drop()
    async with following(db, holder="h2") as one:
        await notes.insert_one(_note(5))
        assert [data["id"] for _, data in await one.told(4)] == [1, 2, 4, 5]
    await db.client.drop_database(notes.database.name)


@pytest.mark.gen_test
async def test_a_lost_cursor_loses_nothing(db: Database, notes: Any, logs: LogRecorder) -> None:
    pipeline: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True, "idleCursors": True}},
        {"$match": {"cursor.originatingCommand.aggregate": "notes"}},
    ]
    async with following(db) as one:
        await one.begun()
        for n in range(2):
            async for operation in db.client.admin.aggregate(pipeline):
                cursor_id = operation["cursor"]["cursorId"]
                await notes.database.command({"killCursors": "notes", "cursors": [cursor_id]})
            await notes.insert_one(_note(n))
            assert [data["id"] for _, data in await one.told(n + 1)] == list(range(n + 1))
    assert [line for line in logs.lines if line["event"] == "watch_interrupted"]
    await db.client.drop_database(notes.database.name)


@pytest.mark.gen_test
async def test_lost_connections_lose_nothing(
    db: Database, mongod: MongodProcess, notes: Any
) -> None:
    async with cutting_proxy(mongod.uri) as proxy:
        client = connect(proxy.uri)
        try:
            async with following(client[db.name]) as one:
                await one.begun()
                for n, command in enumerate(("insert", "update", "getMore")):
                    proxy.command, proxy.seen = command, 0
                    if command == "getMore":  # the one that is going to bring the change
                        await until(lambda: proxy.seen > 0, "changes are waited for")
                    proxy.cuts_after = 1
                    await notes.insert_one(_note(n))
                    await until(lambda: proxy.cuts_after == 0, "the connection is cut")
                    assert len(await one.told(n + 1)) == n + 1
                assert [data["id"] for _, data in await one.told(3)] == [0, 1, 2]
        finally:
            # It says goodbye to the server, through the proxy that lives on this loop.
            await asyncio.to_thread(client.close)
    await db.client.drop_database(notes.database.name)


@pytest.mark.gen_test
async def test_check_says_what_is_in_the_way(db: Database, notes: Any) -> None:
    def problems(spec: str) -> Any:
        (watch,) = parse_watches(f"{notes.database.name}.{spec}")
        return watch_problems(db.client, watch)

    assert "there is no collection" in (await problems("notes:note"))[0]
    await notes.insert_one(_note(1))
    (said,) = await problems("notes:note")
    assert "deletions cannot be told" in said
    assert "on=insert,update" in said
    assert await problems("notes:note:on=insert,update") == []
    assert await problems("notes:note:to=p1") == []
    command = said[said.index("collMod: ") :]
    assert command.startswith("collMod: 'notes', changeStreamPreAndPostImages: {enabled: true}")
    await notes.database.command(
        {"collMod": "notes", "changeStreamPreAndPostImages": {"enabled": True}}
    )
    assert await problems("notes:note") == []
    await notes.database.create_collection("seen", viewOn="notes", pipeline=[])
    assert "MongoDB does not let" in (await problems("seen:note"))[0]
    await db.client.drop_database(notes.database.name)


@pytest.mark.gen_test
async def test_whatever_stands_in_a_document_becomes_json(db: Database, notes: Any) -> None:
    identity = ObjectId()
    async with following(db, ":send=*") as one:
        await one.begun()
        await notes.insert_one(
            {
                "_id": identity,
                "project_id": "p1",
                "at": datetime(2026, 1, 2, 3, 4, 5, 678000, UTC),
                "far": DatetimeMS(1 << 60),
                "price": Decimal128("1.50"),
                "count": Int64(1 << 53),
                "not": float("nan"),
                "raw": b"\x00\xff",
                "uuid": Binary.from_uuid(UUID(int=1)),
                "deep": {"list": [{"a": None}, True]},
            }
        )
        ((_, data),) = await one.told(1)
    assert data == {
        "id": str(identity),
        "document": {
            "_id": str(identity),
            "project_id": "p1",
            "at": "2026-01-02T03:04:05.678Z",
            "far": str(1 << 60),
            "price": "1.50",
            "count": str(1 << 53),
            "not": None,
            "raw": "AP8=",
            "uuid": str(UUID(int=1)),
            "deep": {"list": [{"a": None}, True]},
        },
    }
    assert plain(float("inf")) is None
    # What a browser can hold exactly, and what it would round.
    assert plain([2**53 - 1, -(2**53 - 1)]) == [2**53 - 1, -(2**53 - 1)]
    assert plain([2**53, -(2**63)]) == [str(2**53), str(-(2**63))]
    await db.client.drop_database(notes.database.name)


@pytest.mark.gen_test
async def test_a_document_that_cannot_be_read_stops_nothing(
    db: Database, notes: Any, logs: LogRecorder
) -> None:
    """One UUID of the wrong length stopped a watch for good, over restarts."""
    logs.expect("watch_changes_not_told")
    async with following(db, ":project=project_id:send=n") as one:
        await one.begun()
        await notes.insert_many(
            [_note(1), {**_note(2), "n": BROKEN}, {**_note(3), "_id": BROKEN}, _note(4)]
        )
        told = await one.told(2)
        assert [data["document"]["n"] for _, data in told] == [1, 4]
        assert one.count(ChangeOutcome.UNREADABLE) == 2
        await notes.update_one({"_id": 1}, {"$set": {"n": 5}})
        assert [data["document"]["n"] for _, data in await one.told(3)] == [1, 4, 5]
        # As the name of a project it is none.
        await notes.insert_one({**_note(6), "project_id": BROKEN})
        assert await ChangeStreams(db.client).projects(one.watch) == ["p1"]


@pytest.mark.gen_test
async def test_a_watch_that_fails_and_does_not_move_is_seen(
    db: Database, logs: LogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.expect("watch_failed")
    log = await make_log(db)
    one = Follower(db, log, ":send=n", "h1")
    failing = True

    async def read(*_parts: Any) -> Any:
        if failing:
            raise KeyError("a defect")
        return await real(*_parts)

    real = one.watching._read
    monkeypatch.setattr(one.watching, "_read", read)

    def stalled_s() -> float:
        return float(one.metrics.watch_stalled_seconds.labels(one.watch.name)._value.get())

    async with running(log.run(), one.watching.run()):
        await until(lambda: stalled_s() > 0, "failures in a row")
        found = await one.places.stalled(one.watch.name, 0)
        assert found is not None
        assert found[1] == "KeyError; see the server's log"
        assert await one.places.stalled(one.watch.name, 60) is None
        failing = False

        async def is_over() -> bool:
            return stalled_s() == 0 and await one.places.stalled(one.watch.name, 0) is None

        await until(is_over, "the watch moves again")
