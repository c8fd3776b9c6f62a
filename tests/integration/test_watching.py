"""An application's collection, followed by real workers: paused, then killed."""

import asyncio
import os
import signal

import pytest

from rtserver.model.watch import OWN_COLLECTIONS
from tests.support.mongo import MongodProcess
from tests.support.processes import wait_until
from tests.support.sockets import seq_of, session
from tests.support.workers import Worker, Workers

LEASE_S = 1.0


def _holders(*workers: Worker) -> list[Worker]:
    return [worker for worker in workers if worker.metric("rtserver_watches_held") == 1]


@pytest.mark.gen_test
async def test_every_change_reaches_its_viewers_once_whoever_dies(
    workers: Workers, mongod: MongodProcess, database: str
) -> None:
    app = f"{database}_app"
    watch = f"{app}.notes:note:project=project:proposal=change:send=n"
    with mongod.client() as client:
        notes = client[app].create_collection(
            "notes", changeStreamPreAndPostImages={"enabled": True}
        )

        def write(first: int, last: int) -> None:
            for n in range(first, last):
                notes.insert_one({"_id": n, "project": "p1", "change": "c1", "n": n})

        async def written(first: int, last: int) -> None:
            await asyncio.to_thread(write, first, last)

        pair = workers.start_many(2, watch=watch, lease_s=LEASE_S)
        wait_until(lambda: len(_holders(*pair)) == 1, "one worker follows the collection")
        one, other = pair if _holders(*pair) == pair[:1] else pair[::-1]
        async with (
            session(other.address, "p1", proposal_ids=["c1"]) as viewer,
            session(other.address, "p1", proposal_ids=["c2"]) as elsewhere,
            session(other.address, "p2") as stranger,
        ):
            await written(0, 1)
            notes.update_one({"_id": 0}, {"$set": {"n": -1}})
            inserted, updated = await viewer.recv_events(2)
            assert inserted["type"] == "note.inserted"
            assert inserted["data"] == {"id": 0, "document": {"n": 0}}
            assert inserted["proposal_id"] == "c1"
            assert updated["type"] == "note.updated"
            assert updated["data"] == {"id": 0, "document": {"n": -1}}
            notes.delete_one({"_id": 0})
            (deleted,) = await viewer.recv_events(1)
            assert (deleted["type"], deleted["data"]) == ("note.deleted", {"id": 0})

            # Paused for longer than its lease, with changes on both sides.
            writing = asyncio.create_task(written(1, 60))
            await viewer.recv_events(10)
            os.kill(one.pid, signal.SIGSTOP)
            try:
                await viewer.recv_events(59 - 10)
                await writing
                wait_until(lambda: _holders(other) == [other], "the other takes over")
            finally:
                os.kill(one.pid, signal.SIGCONT)
            wait_until(lambda: _holders(one, other) == [other], "the paused one gave up")
            await written(60, 70)
            await viewer.recv_events(10)

            notes.insert_many(
                [
                    {"_id": "c2", "project": "p1", "change": "c2"},
                    {"_id": "p2", "project": "p2", "change": "c1"},
                ]
            )
            assert [event["data"]["id"] for event in await elsewhere.recv_events(1)] == ["c2"]
            assert [event["data"]["id"] for event in await stranger.recv_events(1)] == ["p2"]

            # Killed in the middle of it.
            writing = asyncio.create_task(written(70, 170))
            await viewer.recv_events(10)
            other.kill()
        position = viewer.last_event_id
        async with session(one.address, "p1", proposal_ids=["c1"], last_event_id=position) as back:
            told = [*viewer.events]
            await back.recv_events(3 + 169 - len(told))
            await writing
            told += back.events
        assert [event["data"]["id"] for event in told] == [0, 0, 0, *range(1, 170)]
        # Besides these there is one, that of `elsewhere`.
        assert seq_of(told[-1]["id"]) == len(told) + 1
        assert set(client[database].list_collection_names()) <= OWN_COLLECTIONS
        client.drop_database(app)
