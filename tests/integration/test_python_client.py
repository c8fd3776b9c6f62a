"""The Python client against real workers: what it reads is whole, through the death of a worker."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtserver_client import (
    ApiError,
    BlockingClient,
    Client,
    FilePositions,
    MemoryPositions,
    Project,
    StoppedError,
    connection,
)
from tests.integration.conftest import Pair
from tests.support.api import api
from tests.support.tokens import token
from tests.support.waiting import until
from tests.support.workers import Worker, Workers


def url(worker: Worker) -> str:
    return f"http://{worker.address}"


async def collect(project: Project, until_n: int, into: list[Any]) -> None:
    async with contextlib.aclosing(project.events()) as events:
        async for event in events:
            into.append(event)
            if into[-1]["data"]["n"] == until_n:
                return


@pytest.mark.gen_test(timeout=120)
async def test_nothing_is_lost_or_doubled_through_the_death_of_its_worker(
    workers: Workers, tmp_path: Path
) -> None:
    victim, other = workers.start_many(2)
    service = token("svc", roles=("service",))
    positions, got = FilePositions(tmp_path / "p1.json"), list[Any]()
    async with Client(url(victim), token("ada")) as reader, Client(url(other), service) as writer:
        reading = asyncio.create_task(collect(reader.project("p1", positions=positions), 30, got))
        await until((tmp_path / "p1.json").exists, "the reader's first position")
        publisher = writer.project("p1")
        for n in range(10):
            await publisher.publish("build.step", {"n": n})
        await until(lambda: len(got) >= 5, "some events")
        victim.kill()
        for n in range(10, 31):
            await publisher.publish("build.step", {"n": n})
        workers.start(port=victim.port)
        await reading
        assert [event["data"]["n"] for event in got] == list(range(31))
        # Another process, which finds the file: what was not handled comes, and nothing before.
        position = await positions.load()
        assert position == got[-2]["id"]
        again = list[Any]()
        await collect(
            reader.project("p1", positions=FilePositions(tmp_path / "p1.json")), 30, again
        )
    assert [event["id"] for event in again] == [got[-1]["id"]]


@pytest.mark.gen_test
async def test_a_key_makes_a_second_publication_harmless(pair: Pair, project: str) -> None:
    service = token("svc", roles=("service",))
    async with Client(url(pair.one), service) as client:
        one = client.project(project)
        first = await one.publish("build.finished", {"ok": True}, key="build-1")
        assert await one.publish("build.finished", {"ok": True}, key="build-1") == first
        stored: list[Any] = [event async for event in one.history()]
        assert [event["id"] for event in stored] == [first]
        with pytest.raises(ApiError) as refused:
            await one.publish("no dot", {})
    assert refused.value.status == 422


@pytest.mark.gen_test
async def test_who_may_not_is_told_and_stays_away(pair: Pair, project: str) -> None:
    async with Client(url(pair.one), token("eve", "elsewhere")) as client:
        with pytest.raises(StoppedError) as stopped:
            await collect(client.project(project), 0, [])
    assert stopped.value.code == 4003


@pytest.mark.gen_test
async def test_it_waits_for_a_status_and_a_run_without_polling(pair: Pair, project: str) -> None:
    change = f"{project}-c"
    async with (
        api(pair.one.address) as service,
        Client(url(pair.other), token("ada")) as client,
    ):
        await service.propose(project, change, author="ada")
        one = client.project(project)
        waiting = asyncio.create_task(one.wait(change, status="in_review", timeout_s=60))
        moved = await one.proposal(change).set_status("in_review")
        assert (await waiting)["version"] == moved["version"]
        run = await one.proposal(change).validate()
        ended = await one.wait_for_run(run, timeout_s=60)
        assert ended["state"] not in ("queued", "running")
        comment = await one.proposal(change).comment("Why?")
        assert comment["author"] == "ada"
        with pytest.raises(TimeoutError):
            await one.wait(change, status="archived", timeout_s=0.2)


@pytest.mark.gen_test
async def test_a_token_is_renewed_and_the_socket_stays(
    pair: Pair, project: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "rtserver_client")
    given, waits = list[str](), iter([0.1])
    monkeypatch.setattr(connection, "renewal_in_s", lambda _token: next(waits, None))

    def source() -> str:
        given.append(token("ada", ttl_s=3600 + len(given)))
        return given[-1]

    async with (
        Client(url(pair.one), source) as client,
        Client(url(pair.one), token("svc", roles=("service",))) as writer,
    ):
        got = list[Any]()
        reading = asyncio.create_task(collect(client.project(project), 1, got))
        await until(lambda: len(given) == 2, "another token")
        await writer.project(project).publish("build.step", {"n": 1})
        await reading
    assert [event["data"]["n"] for event in got] == [1]
    assert not [record for record in caplog.records if record.name == "rtserver_client"]


def test_the_blocking_client_reads_and_writes(pair: Pair, project: str) -> None:
    with BlockingClient(url(pair.one), token("svc", roles=("service",))) as client:
        one = client.project(project)
        ids = [one.publish("build.step", {"n": n}) for n in range(3)]
        stored: list[Any] = list(one.history())
        assert [event["id"] for event in stored] == ids
        behind = MemoryPositions(ids[0])
        events: Iterator[Any] = one.events(positions=behind)
        assert [next(events)["id"], next(events)["id"]] == ids[1:]
        events.close()  # type: ignore[attr-defined]
        assert one.snapshot()["position"] == ids[-1]
