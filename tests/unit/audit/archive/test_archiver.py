"""The archiver on a real MongoDB and real files."""

import asyncio
import contextlib
import errno
import json
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rtserver.audit.archive import archiver as audit_archive
from rtserver.audit.archive.archiver import Archiver
from rtserver.audit.archive.directory import ArchiveDirectory
from rtserver.audit.archive.file import (
    GAP_TYPE,
    HOUR_S,
    TornFileError,
    archive_files,
    hour_of,
    read_lines,
)
from rtserver.audit.archive.margin import Margin
from rtserver.audit.archive.metrics import ArchiveMetrics
from rtserver.audit.checkpoints.signer import ArchiveTree
from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.chain import hash_of
from rtserver.audit.record.metrics import AuditMetrics
from rtserver.audit.verify.verifier import Verifier
from rtserver.cli.audit_verify import _files, _read_archive
from rtserver.eventlog.metrics import LogMetrics
from rtserver.lib.merkle import MerkleTree
from rtserver.lib.tasks import TaskOwner
from rtserver.model.events import AUDIT_PROJECT
from rtserver.observe.metrics import MetricsRegistry
from store.audit.archive import ARCHIVES, MongoArchive
from store.base.client import Database
from store.log.collection import AUDIT, HEADS, prepare_log
from store.log.heads import Heads
from store.log.marks import Marks
from store.log.wire_access import WireAccess
from store.log.writer import MongoEventLog
from tests.support.recorder import LogRecorder
from tests.support.waiting import until

LOG_BYTES = 1 << 20
LEASE_S = 1.0


@dataclass
class Part:
    """A worker, as far as the archive is concerned."""

    auditor: Auditor
    log: MongoEventLog
    archiver: Archiver
    metrics: ArchiveMetrics
    tasks: TaskOwner

    def record(self, count: int, **details: Any) -> None:
        """Record acts."""
        for number in range(count):
            self.auditor.record(Action.LOCK_ACQUIRED, by=Acting("::1"), number=number, **details)

    async def head(self) -> int:
        """How many records there are, once all that was recorded is stored."""
        await self.auditor.flush()
        return await self.log.head(AUDIT_PROJECT)

    async def archived(self) -> int:
        """Return when all of now is in the archive: up to which number."""
        head = await self.head()
        await until(lambda: _value(self.metrics.position) >= head, f"{head} are archived")
        return head


def _value(metric: Any) -> float:
    return float(metric._value.get())


@asynccontextmanager
async def worker(
    db: Database,
    tmp_path: Path,
    *,
    log_bytes: int = LOG_BYTES,
    archives: bool = True,
    lease_s: float = LEASE_S,
    tree: ArchiveTree | None = None,
) -> AsyncIterator[Part]:
    epoch = await prepare_log(db, AUDIT, log_bytes)
    heads = Heads(db, buffer_bytes=log_bytes, collection=AUDIT)
    log = MongoEventLog(
        db,
        heads,
        LogMetrics(MetricsRegistry(), items="records", prefix="audit_"),
        WireAccess(db),
        marks=Marks(db, AUDIT, heads),
        epoch=epoch,
        queue_bytes=1 << 22,
        publish_timeout_s=30,
        collection=AUDIT,
    )
    auditor = Auditor(
        log, AuditMetrics(MetricsRegistry()), tmp_path / "spool", worker_id="w", spool_bytes=1 << 22
    )
    metrics = ArchiveMetrics(MetricsRegistry())
    archiver = Archiver(
        MongoArchive(db, lease_s=lease_s),
        ArchiveDirectory(tmp_path / "archive"),
        auditor,
        metrics,
        lease_s=lease_s,
        poll_s=0.02,
        tree=tree,
    )
    tasks = TaskOwner()
    tasks.start(log.run(), name="writer")
    auditor.start(tasks)
    if archives:
        tasks.start(archiver.run(), name="archive")
    try:
        yield Part(auditor, log, archiver, metrics, tasks)
    finally:
        await tasks.stop()
        archiver.close()
        auditor.close()


def lines(tmp_path: Path) -> list[dict[str, Any]]:
    """All lines of the archive."""
    found: list[dict[str, Any]] = []
    for file in archive_files(tmp_path / "archive"):
        with contextlib.suppress(TornFileError):  # the newest may be being written
            found.extend(json.loads(line) for line in read_lines(file))
    return found


def numbers(tmp_path: Path) -> list[int]:
    """The sequence numbers of all records in the archive."""
    return [int(line["id"].rpartition("-")[2]) for line in lines(tmp_path) if "id" in line]


def logged(logs: LogRecorder, event: str) -> list[Any]:
    """The lines of one name."""
    return [line for line in logs.lines if line["event"] == event]


def assert_whole(tmp_path: Path, head: int) -> None:
    """Every record up to a number, and perhaps newer ones, in order and once."""
    found = numbers(tmp_path)
    assert found == list(range(1, len(found) + 1))
    assert len(found) >= head


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtserver.audit.archive.margin.MEASURE_S", 0.0)
    monkeypatch.setattr(audit_archive, "FIRST_BACKOFF_S", 0.02)
    monkeypatch.setattr(audit_archive, "MAX_BACKOFF_S", 0.02)


@pytest.mark.gen_test
async def test_what_is_recorded_is_archived_as_it_is_stored(db: Database, tmp_path: Path) -> None:
    async with worker(db, tmp_path) as one:
        one.record(50, words="a \u2028 b")
        head = await one.archived()
        assert_whole(tmp_path, head)
        found = lines(tmp_path)[:head]
        packs = await one.log.read(AUDIT_PROJECT, after=0, upto=head, limit=1000)
        assert found == [event.frame() for pack in packs for event in pack.events()]
        assert all(line["hash"] == hash_of(line) for line in found)
        assert _value(one.metrics.up) == _value(one.metrics.active) == 1
        stored = await db[AUDIT].find_one()
        names = [hour_of(file.name) for file in archive_files(tmp_path / "archive")]
        assert stored is not None
        assert names[0] == stored["stamp"].time // HOUR_S


@pytest.mark.gen_test
async def test_how_far_it_goes_is_said_long_before_the_lease_is_renewed(
    db: Database, tmp_path: Path
) -> None:
    """Else nobody would miss its newest file. What is archived is in the tree that is signed."""
    tree = ArchiveTree()
    async with worker(db, tmp_path, lease_s=3600, tree=tree) as one:
        one.record(5)
        await one.archived()

        async def is_said() -> bool:
            return await db[ARCHIVES].count_documents({"seq": {"$exists": True}}) == 1

        await until(is_said, "its position is said")
        one.record(5)
        head = await one.archived()
    expected = MerkleTree()
    for line in lines(tmp_path):
        expected.append(bytes.fromhex(line["hash"]))
    assert tree.first is not None
    assert (tree.first.seq, tree.tree.size) == (1, head)
    assert tree.tree.root() == expected.root()
    assert tree.archive_id


@pytest.mark.gen_test
async def test_a_restart_goes_on_where_the_archive_ends(db: Database, tmp_path: Path) -> None:
    for _ in range(3):
        async with worker(db, tmp_path) as one:
            one.record(20)
            await one.head()
            await one.archiver.finish(10)
    found = numbers(tmp_path)
    assert found == list(range(1, len(found) + 1))
    assert len(found) >= 60
    actions = [line["action"] for line in lines(tmp_path)]
    assert actions.count("audit.archive_taken") >= 2
    assert not [line for line in lines(tmp_path) if line["type"] == GAP_TYPE]


@pytest.mark.gen_test
async def test_one_archives_and_another_takes_over_when_it_is_silent(
    db: Database, tmp_path: Path
) -> None:
    async with worker(db, tmp_path / "1", archives=False) as one:
        silent = Archiver(
            MongoArchive(db, lease_s=LEASE_S),
            ArchiveDirectory(tmp_path / "archive"),
            one.auditor,
            one.metrics,
            lease_s=LEASE_S,
            poll_s=0.02,
        )
        holding = asyncio.create_task(silent.run())
        one.record(10)
        await one.archived()
        async with worker(db, tmp_path) as other:
            other.record(10)
            await one.archived()
            assert _value(one.metrics.active) == 1
            assert _value(other.metrics.active) == 0
            # As if the process were stopped: nothing is renewed, nothing released, no file closed.
            silent._release = _nothing  # type: ignore[assignment, method-assign]
            holding.cancel()
            await asyncio.wait([holding])
            other.record(10)
            await until(lambda: _value(other.metrics.active) == 1, "the other archives")
            assert_whole(tmp_path, await other.archived())
        silent.close()


@pytest.mark.gen_test
async def test_one_told_to_end_while_it_asks_for_its_turn_asks_once_more(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two workers that ended one after the other the second's last record was not archived.

    It had asked for its turn just before the first let go of it, got the answer after it was told
    to end, and left it at that.
    """
    async with worker(db, tmp_path) as first:
        first.record(3)
        await first.archived()
        async with worker(db, tmp_path, archives=False) as second:
            asked, answer = asyncio.Event(), asyncio.Event()
            acquire = second.archiver._store.acquire

            async def slowly(*arguments: Any, **options: Any) -> Any:
                lease = await acquire(*arguments, **options)
                asked.set()
                await answer.wait()
                return lease

            monkeypatch.setattr(second.archiver._store, "acquire", slowly)
            second.tasks.start(second.archiver.run(), name="archive")
            await asked.wait()
            await first.archiver.finish(30)
            second.record(2)
            head = await second.head()
            ending = asyncio.create_task(second.archiver.finish(30))
            await asyncio.sleep(0)
            answer.set()
            await ending
            # The record that it took its turn may be there as well.
            assert numbers(tmp_path)[:head] == list(range(1, head + 1))


async def _nothing(_archive_id: str) -> None:
    return


@pytest.mark.gen_test
async def test_a_holder_whose_lease_went_to_another_stops(db: Database, tmp_path: Path) -> None:
    async with worker(db, tmp_path) as one:
        one.record(5)
        await one.archived()
        store = MongoArchive(db, lease_s=60)
        state = one.archiver._directory.state()
        assert await _lease_of(store, state.archive_id) is None
        # A clock that jumps, or MongoDB stopped for a while: the lease is another's by now. Where
        # the holder renews it in between, once more.
        term = None
        while term is None:
            await db[ARCHIVES].update_one({}, [{"$set": {"until": {"$subtract": ["$$NOW", 1]}}}])
            term = await _lease_of(store, state.archive_id)
        assert term == state.term + 1
        await until(lambda: _value(one.metrics.active) == 0, "it stops")
        assert not await store.renew(state.archive_id, one.auditor.chain, state.term, None)
        await store.release(state.archive_id, "other", term)
        one.record(5)
        assert_whole(tmp_path, await one.archived())


async def _lease_of(store: MongoArchive, archive_id: str) -> int | None:
    return (await store.acquire(archive_id, "other", above=0)).term


@pytest.mark.gen_test
async def test_the_log_wraps_under_the_archive_and_nothing_is_missing(
    db: Database, tmp_path: Path
) -> None:
    async with worker(db, tmp_path) as one:
        while await one.log.oldest(AUDIT_PROJECT) < 100:
            one.record(100, words="x" * 990)
            assert_whole(tmp_path, await one.archived())
        assert _value(one.metrics.missing_records_total) == 0
        assert 0 < _value(one.metrics.margin_bytes) <= LOG_BYTES


@pytest.mark.gen_test
async def test_what_was_overwritten_meanwhile_is_named(
    db: Database, tmp_path: Path, logs: LogRecorder
) -> None:
    async with worker(db, tmp_path) as one:
        one.record(10)
        await one.head()
        await one.archiver.finish(10)
    before = numbers(tmp_path)[-1]
    async with worker(db, tmp_path, archives=False) as one:
        while await one.log.oldest(AUDIT_PROJECT) <= before + 100:
            one.record(200, words="x" * 990)
            await one.head()
    logs.expect("audit_archive_gap")
    async with worker(db, tmp_path) as one:
        await one.archived()
        (gap,) = [line for line in lines(tmp_path) if line["type"] == GAP_TYPE]
        assert gap["first"] == before + 1
        assert (gap["reason"], gap["before"]) == ("overwritten", gap["last"] + 1)
        found = numbers(tmp_path)
        missing = range(gap["first"], gap["last"] + 1)
        assert sorted([*found, *missing]) == list(range(1, found[-1] + 1))
        assert _value(one.metrics.missing_records_total) == len(missing) > 100
        await one.archived()
        (told,) = [line for line in lines(tmp_path) if line.get("action") == "audit.archive_gap"]
        assert (told["details"]["first"], told["details"]["last"]) == (gap["first"], gap["last"])


@pytest.mark.gen_test
async def test_an_archive_that_begins_late_says_what_came_before(
    db: Database, tmp_path: Path
) -> None:
    async with worker(db, tmp_path, archives=False) as one:
        while await one.log.oldest(AUDIT_PROJECT) == 1:
            one.record(200, words="x" * 990)
            await one.head()
    async with worker(db, tmp_path) as one:
        await one.archived()
        gap = lines(tmp_path)[0]
        assert (gap["reason"], gap["first"]) == ("before_archive", 1)
        assert numbers(tmp_path)[0] == gap["last"] + 1
        assert _value(one.metrics.missing_records_total) == 0


@pytest.mark.parametrize("heads_too", [True, False])
@pytest.mark.gen_test
async def test_a_log_that_was_lost_goes_on_as_another(
    db: Database, tmp_path: Path, logs: LogRecorder, heads_too: bool
) -> None:
    async with worker(db, tmp_path) as one:
        one.record(10)
        await one.archived()
        head = await one.archived()  # now with the record of the takeover itself
        await one.log._heads.flush()
        await one.archiver.finish(10)
    await db[AUDIT].drop()
    if heads_too:
        await db[HEADS].drop()
    logs.expect("audit_archive_gap")
    async with worker(db, tmp_path) as one:
        one.record(3)
        await one.archived()
        found = lines(tmp_path)
        (index,) = [n for n, line in enumerate(found) if line["type"] == GAP_TYPE]
        assert found[index]["reason"] == "log_lost"
        assert found[index]["after"] == found[index - 1]["id"]
        assert found[index]["epoch"] == one.log.epoch
        first = 1 if heads_too else head + 1
        fresh = numbers(tmp_path)[head:]
        assert fresh == list(range(first, first + len(fresh)))
        assert len(fresh) >= 3


@pytest.mark.parametrize("lost", [0, 7])
@pytest.mark.gen_test
async def test_a_log_that_is_put_back_from_a_copy_is_not_archived_twice(
    db: Database, tmp_path: Path, logs: LogRecorder, lost: int
) -> None:
    """As `mongorestore` does it: another collection, so another epoch, with the same records."""
    async with worker(db, tmp_path) as one:
        one.record(20)
        await one.archived()
        # Batches of their own, so that some can be left out of the copy.
        for _ in range(10):
            one.record(1)
            await one.head()
        await one.archived()
        head = await one.archived()
        await one.archiver.finish(10)
    documents = await db[AUDIT].find(sort=[("first", 1)]).to_list(None)
    kept = [document for document in documents if document["last"] <= head - lost]
    last = kept[-1]["last"]
    await db[AUDIT].drop()
    await db.create_collection(AUDIT, capped=True, size=LOG_BYTES)
    await db[AUDIT].insert_many(kept)
    await db[HEADS].drop()
    logs.expect("audit_archive_gap")
    async with worker(db, tmp_path) as one:
        one.record(3)
        await one.archived()
        epoch = one.log.epoch
        await one.archiver.finish(10)
    async with worker(db, tmp_path) as one:  # the directory is not foreign to the next one
        one.record(3)
        await one.archived()
    found = lines(tmp_path)
    (index,) = [n for n, line in enumerate(found) if line["type"] == GAP_TYPE]
    assert found[index]["reason"] == ("log_went_back" if last < head else "log_restored")
    assert found[index]["epoch"] == epoch != documents[0]["_id"]
    before, after = numbers(tmp_path)[:index], numbers(tmp_path)[index:]
    assert before == list(range(1, head + 1))
    assert after == list(range(last + 1, last + 1 + len(after)))
    assert len({line["hash"] for line in found if "hash" in line}) == len(found) - 1
    verifier = Verifier()
    for path, source in _files([tmp_path / "archive"]):
        _read_archive(verifier, path, source)
    report = verifier.finish()
    assert report.findings == []
    said = "was put back from a copy" if last == head else "log_went_back"
    assert any(said in note for note in report.notes)


@pytest.mark.gen_test
async def test_the_archive_of_another_log_is_left_alone(
    db: Database, tmp_path: Path, logs: LogRecorder
) -> None:
    async with worker(db, tmp_path) as one:
        one.record(10)
        await one.archived()
        await one.archiver.finish(10)
    before = lines(tmp_path)
    # Another database, or this one after it was lost altogether: nobody can tell.
    await db.client.drop_database(db.name)
    logs.expect("audit_archive_failed")
    async with worker(db, tmp_path) as one:
        one.record(10)
        await until(lambda: bool(logged(logs, "audit_archive_failed")), "it is told")
        assert "the archive of another log" in logged(logs, "audit_archive_failed")[0]["reason"]
        assert _value(one.metrics.up) == 0
        assert lines(tmp_path) == before


@pytest.mark.gen_test
async def test_a_full_disk_is_told_and_tried_again(
    db: Database, tmp_path: Path, logs: LogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    logs.expect("audit_archive_failed")
    async with worker(db, tmp_path) as one:
        one.record(5)
        await one.archived()
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            one.record(5)
            await until(lambda: _value(one.metrics.up) == 0, "the metric tells")
            await until(
                lambda: len(logged(logs, "audit_archive_still_fails")) > 2, "it tries again"
            )
            assert len(logged(logs, "audit_archive_failed")) == 1
        await one.archived()
        await until(lambda: _value(one.metrics.up) == 1, "the metric tells")
        assert_whole(tmp_path, await one.archived())
        actions = [line["action"] for line in lines(tmp_path)]
        assert actions.count("audit.archive_failed") == 1


@pytest.mark.gen_test
async def test_a_directory_that_cannot_be_used_harms_nothing_else(
    db: Database, tmp_path: Path, logs: LogRecorder
) -> None:
    (tmp_path / "archive").touch()
    logs.expect("audit_archive_failed")
    async with worker(db, tmp_path) as one:
        await until(lambda: bool(logged(logs, "audit_archive_failed")), "it is told")
        one.record(5)
        assert await one.head() == 6
        (tmp_path / "archive").unlink()
        assert_whole(tmp_path, await one.archived())


@pytest.mark.gen_test
async def test_the_margin_is_what_may_still_come(db: Database, tmp_path: Path) -> None:
    async with worker(db, tmp_path, archives=False) as one:
        one.record(200, words="x" * 990)
        await one.head()
        margin = Margin(one.metrics)
        store = MongoArchive(db, lease_s=LEASE_S)
        extent = await store.extent()
        assert extent.capacity_bytes == LOG_BYTES
        await margin.measure(store, None)
        assert _value(one.metrics.behind_records) == extent.head
        assert _value(one.metrics.margin_bytes) == pytest.approx(LOG_BYTES - extent.size_bytes)
        assert _value(one.metrics.margin_seconds) == math.inf
        one.record(100, words="x" * 990)
        await one.head()
        await margin.measure(store, None)
        assert 0 < _value(one.metrics.margin_seconds) < 3600
