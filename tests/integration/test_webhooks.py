"""Webhooks, by real workers to a real receiver: killed within an attempt, given up, sent again."""

import asyncio
import json
import subprocess
from typing import Any

import pytest

from tests.support.api import api
from tests.support.cli import rtserver
from tests.support.mongo import MongodProcess
from tests.support.waiting import until
from tests.support.webhook_receiver import SECRET, Receiver, receiver
from tests.support.workers import Worker, Workers

LEASE_S = 1.0
Message = tuple[str, dict[str, Any]]


def _settings(there: Receiver, **more: object) -> dict[str, Any]:
    endpoint = {"id": "ci", "url": there.url, "secret": SECRET, "projects": ["p1"], **more}
    return {
        "webhooks": json.dumps([endpoint]),
        "webhook_hosts": "127.0.0.1",
        "webhook_private": "on",
        "lease_s": LEASE_S,
    }


async def _publish(worker: Worker, *numbers: int) -> None:
    events = [{"type": "build.finished", "data": {"n": n}} for n in numbers]
    async with api(worker.address) as service:
        await service.post("/api/v1/projects/p1/events", {"events": events})


def _numbers(messages: list[Message]) -> list[int]:
    return [told["data"]["data"]["n"] for _, told in messages]


async def _begun(mongod: MongodProcess, database: str) -> None:
    with mongod.client() as client:
        webhooks = client[database]["webhooks"]
        begun = {"feeds.p1": {"$exists": True}}
        await until(lambda: webhooks.count_documents(begun) == 1, "it to begin")


async def _command(worker: Worker, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # The receiver answers meanwhile, in this thread.
    return await asyncio.to_thread(rtserver, "webhooks", *arguments, **worker.settings)


@pytest.mark.gen_test
async def test_nothing_is_lost_where_the_worker_that_tells_is_killed(
    workers: Workers, mongod: MongodProcess, database: str
) -> None:
    async with receiver() as there:
        pair = workers.start_many(2, **_settings(there))
        await _begun(mongod, database)
        one, other = sorted(pair, key=lambda worker: -worker.metric("rtserver_webhooks_held"))
        await _publish(other, 1, 2, 3)
        await until(lambda: len(there.accepted) == 3, "the first messages")
        there.answering.clear()
        await _publish(other, 4, 5)
        await until(lambda: len(there.got) == 4, "an attempt")
        one.kill()
        there.answering.set()
        await until(lambda: len({id_ for id_, _ in there.accepted}) == 5, "the others")
        # The one that was under way came twice, under the same id.
        assert _numbers(there.got) == [1, 2, 3, 4, 4, 5]
        assert there.got[3] == there.got[4]
        assert other.metric("rtserver_webhooks_held") == 1


@pytest.mark.gen_test
async def test_what_is_given_up_can_be_sent_again(
    workers: Workers, mongod: MongodProcess, database: str
) -> None:
    async with receiver() as there:
        there.status = 503
        worker = workers.start(**_settings(there, retry_s=1))
        worker.expect("webhook_dead_letters")
        await _begun(mongod, database)
        await _publish(worker, 1, 2)
        with mongod.client() as client:
            letters = client[database]["webhook_dead_letters"]
            await until(lambda: letters.count_documents({}) == 2, "both to be given up")
            refused = await _command(worker, "send-again", "ci")
            assert refused.returncode == 1
            assert "status 503" in refused.stderr
            assert letters.count_documents({}) == 2
            there.status = 204
            assert (await _command(worker, "send-again", "ci")).stdout == "2 accepted\n"
            assert letters.count_documents({}) == 0
        assert _numbers(there.accepted) == [1, 2]
        assert {id_ for id_, _ in there.got} == {id_ for id_, _ in there.accepted}
        async with api(worker.address, "root", ("admin",)) as admin:
            found = await admin.get("/api/v1/audit", params={"action": "webhook.*"})
        outcomes = {(record["action"], record["outcome"]) for record in found["records"]}
        assert outcomes == {
            ("webhook.dead_lettered", "failed"),
            ("webhook.sent_again", "failed"),
            ("webhook.sent_again", "allowed"),
        }
