"""The audit log on a real MongoDB: what contends for it, what it loses, and what is done to it."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bson import Timestamp

from rtserver.app.operator.logs import AuditAccess
from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.workers import Workers, entry_of
from rtserver.audit.verify.findings import FindingKind, Report
from rtserver.audit.verify.verifier import Verifier
from rtserver.cli.audit_verify import read_log
from rtserver.model.events import AUDIT_PROJECT
from store.audit.buffer import MongoAuditBuffer
from store.base.client import Database, connect
from store.documents.workers import WORKERS, MongoWorkers
from store.log.collection import AUDIT, META
from store.log.writer import MongoEventLog
from tests.support.cutting_proxy import cutting_proxy
from tests.support.lease_trust import ScriptedTrust
from tests.support.mongo import MongodProcess
from tests.support.waiting import running, until
from tests.unit.audit.parts import auditing_on, check_chain
from tests.unit.store.parts import make_log

BUFFER_BYTES = 1 << 20
SERVER = Acting()


async def _records(log: MongoEventLog) -> list[dict[str, Any]]:
    head = await log.head(AUDIT_PROJECT)
    packs = await log.read(AUDIT_PROJECT, after=0, upto=head, limit=1_000_000)
    return [event.frame() for pack in packs for event in pack.events()]


async def _verified(db: Database, buffer_bytes: int = BUFFER_BYTES) -> Report:
    log = await make_log(db, collection=AUDIT, buffer_bytes=buffer_bytes)
    access = AuditAccess(log, MongoAuditBuffer(db, log), MongoWorkers(db, lease_s=10))
    return await read_log(Verifier(), access)


@asynccontextmanager
async def _worker(db: Database, directory: Path) -> AsyncIterator[tuple[Auditor, Workers]]:
    log = await make_log(db, collection=AUDIT, buffer_bytes=BUFFER_BYTES)
    async with running(log.run()), auditing_on(directory, log) as auditor:
        workers = Workers(
            MongoWorkers(db, lease_s=10),
            auditor,
            MongoAuditBuffer(db, log),
            worker_id="w1",
            lease_s=10,
            trust=ScriptedTrust(),
            anchor_interval_s=10,
        )
        await workers.begin()
        await auditor.flush()
        yield auditor, workers
        await auditor.finish(10)
        await workers.end()


@pytest.mark.gen_test
async def test_four_workers_that_record_at_once_keep_their_order_and_lose_nothing(
    db: Database, tmp_path: Path
) -> None:
    async def work(number: int) -> str:
        async with _worker(db, tmp_path / str(number)) as (auditor, workers):
            for act in range(300):
                auditor.record(Action.LIMIT_HIT, by=SERVER, target=str(act), limit="x")
                if act % 20 == 0:
                    await asyncio.sleep(0.005)
            await workers.anchor()
            return auditor.chain

    names = await asyncio.gather(*(work(number) for number in range(4)))
    log = await make_log(db, collection=AUDIT, buffer_bytes=BUFFER_BYTES)
    records = await _records(log)
    assert [record["id"] for record in records] == [
        f"{log.epoch}-{seq}" for seq in range(1, len(records) + 1)
    ]
    for name in names:
        chain = [record for record in records if record["chain"] == name]
        check_chain(chain)
        acts = [record["target"] for record in chain if record["action"] == "limit.hit"]
        assert acts == [str(act) for act in range(300)]
        assert (chain[0]["action"], chain[-1]["action"]) == ("worker.started", "worker.stopped")
    # Each contended: their records are among each other.
    changes = sum(a["chain"] != b["chain"] for a, b in itertools.pairwise(records))
    assert changes > 8
    report = await _verified(db)
    assert report.findings == []
    assert {chain.state for chain in report.chains} == {"ended"}


@pytest.mark.gen_test
async def test_what_is_recorded_while_mongodb_is_away_comes_later_in_order(
    mongod: MongodProcess, db: Database, tmp_path: Path
) -> None:
    async with cutting_proxy(mongod.uri) as proxy:
        client = connect(proxy.uri)
        try:
            log = await make_log(client[db.name], collection=AUDIT, buffer_bytes=BUFFER_BYTES)
            async with running(log.run()), auditing_on(tmp_path, log) as auditor:
                auditor.record(Action.LIMIT_HIT, by=SERVER, target="0")
                await auditor.flush()
                # It answers no more, and then the connection is lost before it does.
                proxy.release = asyncio.Event()
                proxy.cuts_after = 2  # the driver tries a second time by itself
                for act in range(1, 200):
                    auditor.record(Action.LIMIT_HIT, by=SERVER, target=str(act))
                    if act % 50 == 0:
                        pending = auditor._spool.pending
                        await until(lambda: auditor._spool.pending > pending, "a batch on disk")  # noqa: B023
                assert auditor._spool.pending == 3
                assert auditor.stored.n == 1
                assert not auditor.is_settled()
                proxy.release.set()
                await auditor.flush()
                records = await _records(log)
        finally:
            await asyncio.to_thread(client.close)  # it says good-bye through the proxy
    assert [record["target"] for record in records] == [str(act) for act in range(200)]
    check_chain(records)


@pytest.mark.gen_test
async def test_a_log_that_wrapped_is_clean_unless_its_oldest_was_removed(
    db: Database, tmp_path: Path
) -> None:
    async with _worker(db, tmp_path / "1") as (auditor, workers):
        for _ in range(12):
            for _ in range(10):
                auditor.record(Action.API_CALLED, by=SERVER, path=["x" * 900] * 14)
            await auditor.flush()
            await workers.anchor()
    report = await _verified(db)
    assert report.findings == []
    first = int(report.ranges[0][0].rpartition("-")[2])
    assert first > 20, "the log did not wrap"
    assert report.chains[0].first == first
    # MongoDB lets anybody with the right to write delete what is in a capped collection.
    await db[AUDIT].delete_many({"last": {"$lt": first + 60}})
    report = await _verified(db)
    assert [finding.kind for finding in report.findings] == [FindingKind.REMOVED]
    assert "was not full" in report.findings[0].what


class Attacker:
    """Somebody with the right to write to MongoDB, who knows how the log is made."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.documents: list[dict[str, Any]] = []
        self._others: dict[str, list[dict[str, Any]]] = {}

    async def look(self) -> None:
        """Take a copy of everything."""
        self.documents = await self._db[AUDIT].find(sort=[("first", 1)]).to_list(None)
        for name in (WORKERS, "heads"):
            self._others[name] = await self._db[name].find().to_list(None)

    async def put(self, documents: list[dict[str, Any]]) -> None:
        """Make the collection anew with these in it, so that the epoch stays."""
        await self._db[AUDIT].drop()
        await self._db.create_collection(AUDIT, capped=True, size=BUFFER_BYTES)
        if documents:
            await self._db[AUDIT].insert_many(documents)
        found = await self._db.command({"listCollections": 1, "filter": {"name": AUDIT}})
        uuid = found["cursor"]["firstBatch"][0]["info"]["uuid"]
        await self._db[META].update_one({"_id": AUDIT}, {"$set": {"uuid": uuid}})
        for name, others in self._others.items():
            await self._db[name].delete_many({})
            if others:
                await self._db[name].insert_many(others)

    def renumbered(self, without: int) -> list[dict[str, Any]]:
        """The documents but one, as if it had never been."""
        first = 1
        made = []
        for index, document in enumerate(self.documents):
            if index != without:
                last = first + len(document["events"]) - 1
                made.append({**document, "first": first, "last": last, "stamp": Timestamp(1, 1)})
                first = last + 1
        return made


@pytest.mark.gen_test
async def test_what_is_done_to_the_collection_is_found(db: Database, tmp_path: Path) -> None:
    async with _worker(db, tmp_path / "1") as one, _worker(db, tmp_path / "2") as two:
        for act in range(6):
            for auditor, _ in (one, two):
                auditor.record(Action.LOCK_ACQUIRED, by=SERVER, target=f"p{act}")
                await auditor.flush()
            for auditor, _ in (one, two):
                await MongoWorkers(db, lease_s=10).renew(entry_of(auditor))
            for _, workers in (one, two):
                await workers.anchor()
            await asyncio.gather(one[0].flush(), two[0].flush())
    attacker = Attacker(db)
    await attacker.look()
    documents = attacker.documents
    assert (await _verified(db)).findings == []
    await attacker.put(documents)
    assert (await _verified(db)).findings == [], "a copy of all of it is no tampering"

    middle = len(documents) // 2
    body = documents[middle]["events"][0]["b"]
    audit = db[AUDIT]

    async def found(kind: FindingKind) -> Report:
        report = await _verified(db)
        assert kind in {finding.kind for finding in report.findings}, report
        await attacker.put(documents)
        return report

    changed = body.replace('"outcome":"allowed"', '"outcome":"blocked"')
    assert len(changed) == len(body)
    await audit.update_one({"_id": documents[middle]["_id"]}, {"$set": {"events.0.b": changed}})
    report = await found(FindingKind.CHANGED)
    (finding,) = report.findings
    assert finding.where.endswith(f"-{documents[middle]['first']}")
    assert f'"n":{finding.first},' in body
    assert f'"chain":"{finding.chain}"' in body

    await audit.update_one({"_id": documents[middle]["_id"]}, {"$set": {"events": "x"}})
    await found(FindingKind.CHANGED)
    await audit.update_one({"_id": documents[middle]["_id"]}, {"$unset": {"first": 1}})
    await found(FindingKind.REMOVED)
    await audit.update_one({"_id": documents[middle]["_id"]}, {"$set": {"events.0.a": {}}})
    await found(FindingKind.CHANGED)

    await audit.delete_one({"_id": documents[middle]["_id"]})
    report = await found(FindingKind.REMOVED)
    assert any(f'"n":{finding.first},' in body for finding in report.findings if finding.first)
    await audit.delete_one({"_id": documents[-1]["_id"]})
    await found(FindingKind.REMOVED)
    await audit.delete_many({"first": {"$lt": documents[middle]["first"]}})
    await found(FindingKind.REMOVED)
    await audit.delete_many({})
    await found(FindingKind.REMOVED)
    for without in (0, 1, middle, len(documents) - 2, len(documents) - 1):
        await attacker.put(attacker.renumbered(without))
        report = await _verified(db)
        assert not report.is_clean, without
    await attacker.put(documents)

    last = documents[-1]
    forged = {**last, "_id": "x", "first": last["last"] + 1}
    await audit.insert_one({**forged, "last": last["last"] + len(last["events"])})
    await found(FindingKind.INSERTED)
