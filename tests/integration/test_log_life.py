"""The log's collection: made by several at once, resized, dropped; and what clients see of it."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.api import Api, api
from tests.support.cli import rtserver
from tests.support.mongo import MongodProcess
from tests.support.sockets import seq_of, session
from tests.support.workers import Workers

MIB = 1024 * 1024


def events_collection(mongod: MongodProcess, database: str) -> Mapping[str, Any]:
    """How MongoDB describes the log's collection."""
    with mongod.client() as client:
        (found,) = client[database].list_collections(filter={"name": "events"})
        return found


@pytest.mark.gen_test
async def test_several_workers_may_start_at_once_on_nothing(
    workers: Workers, mongod: MongodProcess, database: str
) -> None:
    running = workers.start_many(4)
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(session(worker.address, user=f"user {worker.pid}"))
            for worker in running
        ]
        (position,) = {client.frames[0]["position"] for client in clients}
        services = [await stack.enter_async_context(api(worker.address)) for worker in running]
        ids = await asyncio.gather(*(service.publish("p1", 1) for service in services))
        epoch = position.partition("-")[0]
        assert sorted(ids) == [f"{epoch}-{seq}" for seq in range(1, 5)]
        for client in clients:
            events = await client.recv_events(4)
            assert [event["id"] for event in events] == sorted(ids)
    found = events_collection(mongod, database)
    assert found["options"]["capped"] is True
    assert found["options"]["size"] == 16 * MIB
    with mongod.client() as mongo:
        indexes = mongo[database].events.index_information()
    assert indexes["sequence"]["unique"] is True


@pytest.mark.gen_test
async def test_only_an_operator_s_command_changes_a_size_and_loses_nothing_that_fits(
    workers: Workers, mongod: MongodProcess, database: str
) -> None:
    worker = workers.start()
    settings = {
        "mongodb_uri": mongod.uri,
        "mongodb_database": database,
        "data_dir": workers.directory,
    }

    async def command(*arguments: str, size_bytes: int) -> Any:
        given = {**settings, "event_log_bytes": size_bytes}
        return await asyncio.to_thread(rtserver, *arguments, **given)

    async with (
        api(worker.address) as service,
        api(worker.address, "root", ("admin",)) as root,
    ):
        ids = [await service.publish("p1", number) for number in range(5)]
        # A worker whose setting is another says so, and leaves the log as it is.
        other = workers.start(event_log_bytes=8 * MIB)
        (line,) = other.logged("log_size_differs")
        assert f"the setting says {8 * MIB}" in line.fields["problem"]
        assert other.stop() == []
        assert events_collection(mongod, database)["options"]["size"] == 16 * MIB

        done = await command("log", "resize", "events", size_bytes=32 * MIB)
        assert done.returncode == 0, done
        assert events_collection(mongod, database)["options"]["size"] == 32 * MIB
        done = await command("log", "resize", "events", size_bytes=8 * MIB)
        assert (done.returncode, done.stdout) == (1, ""), done
        assert "--shrink" in done.stderr
        assert events_collection(mongod, database)["options"]["size"] == 32 * MIB
        done = await command("log", "resize", "events", "--shrink", size_bytes=8 * MIB)
        assert done.returncode == 0, done
        assert events_collection(mongod, database)["options"]["size"] == 8 * MIB
        done = await command("log", "resize", "events", size_bytes=8 * MIB)
        assert (done.returncode, "as its setting says" in done.stdout) == (0, True), done

        async with session(worker.address, last_event_id=ids[0]) as client:
            assert client.frames[0]["resume"]["replayed"] == len(ids) - 1
            await client.recv_events(len(ids) - 1)
        recorded = (await root.get("/api/v1/audit?action=log.resized"))["records"]
        assert [
            (one["outcome"], one["details"]["before_bytes"], one["details"]["after_bytes"])
            for one in recorded
        ] == [("allowed", 16 * MIB, 32 * MIB), ("allowed", 32 * MIB, 8 * MIB)]


@pytest.mark.gen_test
async def test_operator_s_commands_and_tail_restarts_leave_the_size_alone(
    workers: Workers, mongod: MongodProcess, database: str
) -> None:
    # An operator's shell need not have the server's settings: with the default size, `publish`
    # once shrank the log under the running server.
    worker = workers.start()
    settings = {"mongodb_uri": mongod.uri, "mongodb_database": database}
    done = await asyncio.to_thread(rtserver, "publish", "p1", "a.b", **settings)
    assert done.returncode == 0, done
    assert events_collection(mongod, database)["options"]["size"] == 16 * MIB
    # Nor does a worker whose setting is another change it when its tail starts again.
    newer = workers.start(event_log_bytes=32 * MIB)
    kill_cursors(mongod, database)
    async with session(worker.address) as client, api(newer.address) as service:
        await service.publish("p1", 1)
        await client.recv_events(1)
    assert worker.logged("tail_lost")
    assert events_collection(mongod, database)["options"]["size"] == 16 * MIB


def kill_cursors(mongod: MongodProcess, database: str) -> None:
    """End every tailing cursor on the log, as a failover does."""
    with mongod.client() as client:
        idle = client.admin.aggregate([{"$currentOp": {"idleCursors": True, "allUsers": True}}])
        cursors = [
            operation["cursor"]["cursorId"]
            for operation in idle
            if operation.get("ns") == f"{database}.events" and "cursor" in operation
        ]
        assert cursors
        client[database].command({"killCursors": "events", "cursors": cursors})


@pytest.mark.gen_test
async def test_operator_s_commands_make_no_log_of_their_own(
    mongod: MongodProcess, database: str
) -> None:
    settings = {"mongodb_uri": mongod.uri, "mongodb_database": database}
    done = await asyncio.to_thread(rtserver, "publish", "p1", "a.b", **settings)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no server has used" in line
    with mongod.client() as client:
        assert client[database].list_collection_names() == []


async def publish_all_along(service: Api, stop: asyncio.Event) -> int:
    count = 0
    while not stop.is_set():
        answer = await service.http.post(
            "/api/v1/projects/p1/events", json={"type": "a.b", "data": count}
        )
        assert answer.status_code in (201, 503), answer.text
        count += answer.status_code == 201
    return count


@pytest.mark.gen_test
@pytest.mark.parametrize("busy", [False, True])
async def test_dropped_log_is_another_epoch(
    workers: Workers, mongod: MongodProcess, database: str, busy: bool
) -> None:
    one, other = workers.start_many(2)
    stop = asyncio.Event()
    async with (
        session(one.address) as client,
        session(other.address, user="ben") as second,
        api(one.address) as service,
    ):
        old_id = await service.publish("p1", "old")
        await second.recv_events(1)
        publishing = asyncio.create_task(publish_all_along(service, stop)) if busy else None
        workers.expect("log_lost")
        with mongod.client() as damage:
            damage[database].drop_collection("events")
        for each in (client, second):
            code, _ = await each.closed()
            assert code == 1001
        stop.set()
        if publishing is not None:
            await publishing
    for worker in (one, other):
        await asyncio.to_thread(worker.wait_ready)
    async with (
        session(one.address, last_event_id=old_id) as client,
        session(other.address, user="ben", last_event_id=old_id) as second,
        api(one.address) as service,
    ):
        for each in (client, second):
            assert each.frames[0]["resume"]["outcome"] == "lost"
            assert each.frames[0]["resume"]["lost"] is None
            assert (await each.recv())["type"] == "gap"
        new_id = await service.publish("p1", "new")
        assert new_id.partition("-")[0] != old_id.partition("-")[0]
        assert seq_of(new_id) > 0
        for each in (client, second):
            frames = await each.recv_until(lambda frame: frame.get("data") == "new")
            assert frames[-1]["id"] == new_id
    assert events_collection(mongod, database)["options"]["capped"] is True
