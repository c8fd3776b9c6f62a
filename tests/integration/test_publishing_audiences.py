"""What services may publish, for whom, and how it is found again."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Pair
from tests.support.api import api
from tests.support.mongo import MongodProcess
from tests.support.sockets import session
from tests.support.workers import Workers

Body = dict[str, Any]


def _events(project: str) -> str:
    return f"/api/v1/projects/{project}/events"


@pytest.mark.gen_test
async def test_audiences_on_every_worker_and_in_history(pair: Pair, project: str) -> None:
    viewers = [("ada", ["p"]), ("ada", ["q"]), ("ada", []), ("ben", ["q"]), ("eve", [])]
    bodies: list[Body] = [
        {"type": "a.all", "audience": "project", "proposal_id": "q"},
        {"type": "a.p", "audience": "proposal", "proposal_id": "p"},
        {"type": "a.also-p", "proposal_id": "p"},
        {"type": "a.ada", "audience": {"users": ["ada"]}, "proposal_id": "q"},
        {"type": "a.two", "audience": {"users": ["ada", "ben"]}},
        {"type": "a.end"},
    ]
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(api(pair.one.address))
        clients = [
            await stack.enter_async_context(
                session(worker.address, project, user=user, proposal_ids=view)
            )
            for worker, here in ((pair.one, viewers), (pair.other, viewers[2:]))
            for user, view in here
        ]
        await service.post(_events(project), {"events": bodies})
        seen = []
        for client in clients:
            frames = await client.recv_until("a.end")
            seen.append([f["type"] for f in frames if f["type"].startswith("a.")][:-1])
    expected = [
        ["a.all", "a.p", "a.also-p", "a.ada", "a.two"],
        ["a.all", "a.ada", "a.two"],
        ["a.all", "a.p", "a.also-p", "a.ada", "a.two"],
        ["a.all", "a.two"],
        ["a.all", "a.p", "a.also-p"],
    ]
    assert seen == expected + expected[2:]
    for user, types in (("ada", expected[0]), ("ben", ["a.all", "a.p", "a.also-p", "a.two"])):
        async with api(pair.other.address, user, ()) as reader:
            page = await reader.get(_events(project))
            assert [event["type"] for event in page["events"]][:-1] == types


@pytest.mark.gen_test
async def test_a_batch_is_stored_whole_or_not_at_all(pair: Pair, project: str) -> None:
    good = {"type": "a.b", "data": 1}
    limit = 64 * 1024
    bad: list[tuple[Body, int]] = [
        ({"type": "status_changed"}, 422),
        ({"type": "welcome"}, 422),
        ({"type": "a.b", "audience": "members"}, 422),
        ({"type": "a.b", "audience": "proposal"}, 422),
        ({"type": "a.b", "proposal_id": "../x"}, 422),
        ({"type": "a.b", "data": "x" * limit}, 413),
        ({}, 422),
    ]
    async with api(pair.one.address) as service:
        for body, status in bad:
            await service.post(_events(project), body, status)
            await service.post(_events(project), {"events": [good] * 3 + [body]}, status)
        await service.post(_events(project), {"events": []}, 422)
        await service.post(_events(project), {"events": [good], "type": "a.b"}, 422)
        assert (await service.get(_events(project)))["events"] == []
        answer = await service.post(_events(project), {"events": [good] * 3})
        assert [one.rpartition("-")[2] for one in answer["ids"]] == ["1", "2", "3"]
        assert answer["id"] == answer["ids"][-1]


@pytest.mark.gen_test
async def test_an_event_that_speaks_of_events_is_one(pair: Pair, project: str) -> None:
    data = {"events": [{"type": "x.y"}], "text": '{"events":[]}'}
    async with api(pair.one.address) as service:
        await service.post(_events(project), {"type": "a.b", "data": data})
        [event] = (await service.get(_events(project)))["events"]
        assert (event["type"], event["data"]) == ("a.b", data)


@pytest.mark.gen_test
async def test_bodies_that_are_no_json_and_one_that_is_large(pair: Pair, project: str) -> None:
    async with api(pair.one.address) as service:

        async def send(content: bytes) -> tuple[int, str]:
            answer = await service.http.post(_events(project), content=content)
            return answer.status_code, answer.json()["reason"]

        assert await send(b"{") == (400, "malformed")
        assert await send(b"") == (400, "malformed")
        assert await send(b'{"type":"a.b","data":' + b"[" * 50_000) == (400, "malformed")
        big = {"events": [{"type": "a.b", "data": "x" * 60_000}] * 60}
        assert len((await service.post(_events(project), big))["ids"]) == 60


@pytest.mark.gen_test
async def test_history_by_type_and_proposal(pair: Pair, project: str) -> None:
    async with api(pair.one.address) as service:
        bodies = [
            {"type": f"{kind}.{what}", "proposal_id": proposal, "data": n}
            for n, (kind, what, proposal) in enumerate(
                (kind, what, proposal)
                for kind in ("build", "deploy")
                for what in ("started", "done")
                for proposal in ("p", "q", "r")
            )
        ]
        await service.post(_events(project), {"events": bodies})

        async def numbers(*query: tuple[str, str]) -> list[int]:
            page = await service.get(_events(project), params=query)
            assert not page["more"]
            return [event["data"] for event in page["events"]]

        assert await numbers(("type", "build.done")) == [3, 4, 5]
        assert await numbers(("type", "build.*"), ("proposal_id", "q")) == [1, 4]
        assert await numbers(("type", "build.done"), ("type", "deploy.done")) == [
            3,
            4,
            5,
            9,
            10,
            11,
        ]
        assert await numbers(("proposal_id", "p"), ("proposal_id", "r"), ("type", "*.done")) == []
        assert await numbers(("type", "none.such")) == []
        page = await service.get(_events(project), params={"type": "deploy.*", "limit": 2})
        assert [event["data"] for event in page["events"]] == [6, 7]
        page = await service.get(
            _events(project), params={"type": "deploy.*", "after": page["position"]}
        )
        assert [event["data"] for event in page["events"]] == [8, 9, 10, 11]
        for params in ({"proposal_id": "../x"}, {"type": ""}, {"type": "x" * 101}):
            await service.get(_events(project), 400, params=params)


@pytest.mark.gen_test(timeout=120)
async def test_publishers_are_told_when_to_come_back_while_the_log_is_behind(
    workers: Workers, tmp_path: Path
) -> None:
    """MongoDB stands still: what waits is bounded, and nothing that was taken is lost."""
    mongod = MongodProcess(tmp_path / "own")
    try:
        worker = workers.start(mongodb_uri=mongod.uri, publish_queue_bytes=8192, lease_s=30)
        async with api(worker.address) as service:
            await service.publish("p1", "before")
            pid = mongod.mongod_pid
            os.kill(pid, signal.SIGSTOP)
            try:
                taken: list[asyncio.Task[str]] = []
                while True:
                    one = asyncio.create_task(service.publish("p1", "x" * 3000))
                    done, _ = await asyncio.wait([one], timeout=0.5)
                    if done:
                        with pytest.raises(AssertionError, match="503"):
                            one.result()
                        break
                    taken.append(one)
                assert 1 <= len(taken) <= 6
                answer = await service.http.post(
                    _events("p1"), json={"type": "a.b", "data": "x" * 3000}
                )
                assert answer.status_code == 503
                assert answer.json()["reason"] == "busy"
                assert 1 <= int(answer.headers["Retry-After"]) <= 10
            finally:
                os.kill(pid, signal.SIGCONT)
            ids = [await one for one in taken]
            page = await service.get(_events("p1"))
            assert [event["id"] for event in page["events"]][1:] == ids
            await service.publish("p1", "after")
    finally:
        workers.stop()
        mongod.stop()
