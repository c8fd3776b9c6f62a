"""A copy of MongoDB's files, or a dump, is put back: the log is another one, and clients are told.

docs/operations.md, "Backup and restore", says how.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.support.api import api
from tests.support.cli import rtserver
from tests.support.event_stream import event_stream
from tests.support.mongo import MongodProcess
from tests.support.sockets import seq_of, session
from tests.support.workers import Workers


@pytest.fixture
def own_mongod() -> Iterator[MongodProcess]:
    with tempfile.TemporaryDirectory(prefix="rtserver-back-") as directory:
        process = MongodProcess(Path(directory) / "var")
        try:
            yield process
        finally:
            process.stop()


@pytest.fixture
def put_back_workers(own_mongod: MongodProcess, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path, {"mongodb_uri": own_mongod.uri})
    yield workers
    assert workers.stop() + workers.unexpected() == []


def copy_files(mongod: MongodProcess, copy: Path) -> None:
    """Stop it, copy its files, and start it again."""
    mongod.stop()
    shutil.copytree(files_of(mongod), copy)
    mongod.start()


def put_back(mongod: MongodProcess, copy: Path) -> None:
    """Stop it, put its files back, and start it again."""
    mongod.stop()
    shutil.rmtree(files_of(mongod))
    shutil.copytree(copy, files_of(mongod))
    mongod.start()


def files_of(mongod: MongodProcess) -> Path:
    return mongod.data_dir / "mongod" / "db"


@pytest.mark.gen_test(timeout=120)
async def test_who_is_ahead_of_a_log_that_was_put_back_is_told_what_is_lost(
    own_mongod: MongodProcess, put_back_workers: Workers, tmp_path: Path
) -> None:
    """Two more events, and a client was told that it got both and missed none; it missed three."""
    workers = put_back_workers
    worker = workers.start()
    workers.expect("log_went_back", "log_lost")
    async with api(worker.address) as service:
        for number in range(3):
            await service.publish("p1", number)
        await asyncio.to_thread(copy_files, own_mongod, tmp_path / "copy")
        await asyncio.to_thread(worker.wait_ready)
        async with session(worker.address) as client:
            ids = [await service.publish("p1", number) for number in range(3, 6)]
            await client.recv_events(3)
            await asyncio.to_thread(put_back, own_mongod, tmp_path / "copy")
            assert (await client.closed())[0] == 1001
        await asyncio.to_thread(worker.wait_ready)
        new = [await service.publish("p1", number) for number in range(6, 10)]
        assert [seq_of(one) for one in new] == sorted({seq_of(one) for one in new})
        assert not {one.partition("-")[0] for one in new} & {one.partition("-")[0] for one in ids}
        async with session(worker.address, last_event_id=ids[-1]) as client:
            resume = client.frames[0]["resume"]
            assert (resume["outcome"], resume["replayed"], resume["lost"]) == ("lost", 0, None)
            assert (await client.recv())["type"] == "gap"
        assert {line.fields["name"] for line in worker.logged("log_went_back")} >= {"events"}

        # Where nothing is left that knows better, the operator does.
        workers.expect("log_lost")
        settings = {name: worker.settings[name] for name in ("mongodb_uri", "data_dir")}
        async with session(worker.address) as client:
            done = await asyncio.to_thread(rtserver, "log", "new-epoch", **settings)
            assert done.returncode == 0, done
            assert (await client.closed())[0] == 1001
        assert new[0].partition("-")[0] in done.stdout
        async with session(worker.address, last_event_id=new[-1]) as client:
            assert client.frames[0]["resume"]["outcome"] == "lost"
    async with api(worker.address, user="root", roles=("admin",)) as admin:
        found = await admin.get("/api/v1/audit?action=log.epoch_begun")
        assert [record["details"]["log"] for record in found["records"]] == ["events"]


def dumped(client: MongoClient[dict[str, Any]], database: str) -> dict[str, tuple[Any, list[Any]]]:
    """What mongodump keeps of each collection: its options and indexes, and its documents."""
    found = {}
    for description in client[database].list_collections():
        collection = client[database][description["name"]]
        indexes = [index for index in collection.list_indexes() if index["name"] != "_id_"]
        found[collection.name] = (
            (description["options"], indexes),
            list(collection.find().sort("$natural", 1)),
        )
    return found


def restore(
    client: MongoClient[dict[str, Any]], database: str, dump: dict[str, tuple[Any, list[Any]]]
) -> None:
    """What `mongorestore --drop` does with it; without --preserveUUID each has another UUID."""
    client.drop_database(database)
    for name, ((options, indexes), documents) in dump.items():
        client[database].create_collection(name, **options)
        if indexes:
            kept = [{k: v for k, v in index.items() if k != "ns"} for index in indexes]
            client[database].command({"createIndexes": name, "indexes": kept})
        if documents:
            client[database][name].insert_many(documents)


@pytest.mark.gen_test(timeout=120)
async def test_after_a_dump_is_restored_every_client_is_told_that_its_place_is_lost(
    workers: Workers, mongod: MongodProcess, database: str, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    worker = workers.start(audit_archive_dir=archive)
    with mongod.client() as client:
        async with api(worker.address) as service:
            await service.propose("p1", "c1")
            kept = await service.publish("p1", "kept")
            dump = await asyncio.to_thread(dumped, client, database)
            gone = await service.publish("p1", "gone")
        worker.stop()
        await asyncio.to_thread(restore, client, database, dump)
    worker = workers.start(audit_archive_dir=tmp_path / "new-archive")
    async with api(worker.address) as service:
        assert (await service.get("/api/v1/proposals/c1"))["id"] == "c1"
        new = await service.publish("p1", "new")
        assert seq_of(new) > seq_of(kept)
        # Whether its events are in the dump or not, and over every transport.
        for last_event_id in (kept, gone):
            async with session(worker.address, last_event_id=last_event_id) as viewer:
                resume = viewer.frames[0]["resume"]
                assert (resume["outcome"], resume["lost"]) == ("lost", None)
                assert (await viewer.recv())["type"] == "gap"
            resuming = {"Last-Event-ID": last_event_id}
            async with event_stream(worker.address, "c1", headers=resuming) as stream:
                assert (await stream.recv("gap"))["refetch"]
