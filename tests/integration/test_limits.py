"""How many connections a project and a user may have, over all workers, dead ones included."""

import asyncio
import json
import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.integration.conftest import Pair
from tests.support.api import api
from tests.support.sockets import SocketClient, open_socket, session
from tests.support.waiting import until
from tests.support.workers import Workers


async def try_to_open(address: str, project: str, user: str) -> SocketClient | InvalidStatus:
    try:
        return await open_socket(address, project, user=user)
    except InvalidStatus as refused:
        return refused


def check_full(refused: InvalidStatus) -> None:
    response = refused.response
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = json.loads(response.body or b"")
    assert (problem["status"], problem["reason"]) == (503, "project_full")


@pytest.mark.gen_test
async def test_exactly_fifty_get_into_a_project(pair: Pair, project: str) -> None:
    pair.expect("http_request")
    async with AsyncExitStack() as stack:
        attempts = await asyncio.gather(
            *(
                try_to_open((pair.one, pair.other)[n % 2].address, project, f"user{n % 15}")
                for n in range(60)
            )
        )
        clients = [each for each in attempts if isinstance(each, SocketClient)]
        for client in clients:
            stack.push_async_callback(client.close)
        refusals = [each for each in attempts if isinstance(each, InvalidStatus)]
        assert (len(clients), len(refusals)) == (50, 10)
        for refused in refusals:
            check_full(refused)
        async with session(pair.one.address, f"{project}.2"):
            pass  # another project has room
        await clients[7].close()
        stack.push_async_callback(
            (await open_when_free(pair.other.address, project, "the next")).close
        )


async def open_when_free(address: str, project: str, user: str) -> SocketClient:
    """Try until there is room: a place is given back a moment after its connection has ended."""
    async with asyncio.timeout(15):
        while True:
            client = await try_to_open(address, project, user)
            if isinstance(client, SocketClient):
                return client
            check_full(client)
            await asyncio.sleep(0.05)


@pytest.mark.gen_test
async def test_places_of_a_killed_worker_are_free_when_its_lease_is_over(
    workers: Workers,
) -> None:
    lease_s = 1.5
    doomed, other = workers.start_many(2, max_connections_per_project=2, lease_s=lease_s)
    async with (
        session(doomed.address, "p1", user="a"),
        session(other.address, "p1", user="b") as survivor,
    ):
        # Leases are renewed: well after their time both places are still taken.
        deadline_s = time.monotonic() + lease_s * 1.5
        while time.monotonic() < deadline_s:
            refused = await try_to_open(other.address, "p1", "c")
            assert isinstance(refused, InvalidStatus)
            await asyncio.sleep(0.2)
        doomed.kill()
        refused = await try_to_open(other.address, "p1", "c")
        assert isinstance(refused, InvalidStatus)
        killed_s = time.monotonic()
        await (await open_when_free(other.address, "p1", "c")).close()
        assert time.monotonic() - killed_s < lease_s + 5
        await survivor.quiet(0.1)


@pytest.mark.gen_test
async def test_refused_and_vanished_clients_leave_no_place_taken(workers: Workers) -> None:
    worker = workers.start(max_connections_per_project=1, lease_s=60)
    for _ in range(5):
        client = await open_when_free(worker.address, "p1", "ada")
        await client.vanish()
    async with api(worker.address) as service, asyncio.timeout(20):
        for headers in ({}, {"Upgrade": "websocket", "Connection": "Upgrade"}):
            # Let in, and then found to be no WebSocket request after all.
            for _ in range(3):
                while True:
                    answer = await service.http.get("/ws/projects/p1", headers=headers)
                    if answer.status_code != 503:
                        break
                assert answer.status_code in (400, 426)
    await (await open_when_free(worker.address, "p1", "ada")).close()


@pytest.mark.gen_test
async def test_a_worker_that_stood_still_keeps_no_connection_beyond_the_limits(
    workers: Workers,
) -> None:
    """It went on with its five, beside the five that their user had opened elsewhere since."""
    lease_s = 1.0
    still, other = workers.start_many(
        2, max_connections_per_user=2, max_connections_per_project=3, lease_s=lease_s
    )
    still.expect("places_lost")
    async with AsyncExitStack() as stack:
        before = [
            await stack.enter_async_context(session(still.address, "p1", user=user))
            for user in ("ada", "ada", "ben")
        ]
        still.pause()
        try:
            since = [
                await open_when_free(other.address, "p1", user) for user in ("ada", "ada", "eve")
            ]
        finally:
            still.resume()
        for client in since:
            stack.push_async_callback(client.close)
        # The project is full again, so whoever lost a place goes, and may come back later.
        for client in before:
            code, closing = await client.closed()
            assert (code, closing["reconnect"]) == (4053, True)
            assert closing["retry_after_ms"] > 0
        for client in since:
            await client.welcome()
            await client.quiet(0.2)
        async with api(other.address, roles=("admin",)) as admin:
            listed = await admin.get("/api/v1/connections")
        users = sorted(each["user_id"] for each in listed["connections"])
        assert users == ["ada", "ada", "eve"]


@pytest.mark.gen_test
async def test_a_limit_in_the_file_of_settings_changes_without_a_restart(
    workers: Workers, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.env"
    settings.write_text("RT_MAX_CONNECTIONS_PER_PROJECT=1\n")
    worker = workers.start(env_file=settings)
    async with session(worker.address, user="ada"):
        refused = await try_to_open(worker.address, "p1", "ben")
        assert isinstance(refused, InvalidStatus)
        check_full(refused)
        settings.write_text(
            "RT_MAX_CONNECTIONS_PER_PROJECT=2\nRT_PING_INTERVAL_S=7\nRT_LOG_LEVEL=debug\n"
        )
        os.kill(worker.pid, signal.SIGHUP)
        await until(lambda: bool(worker.logged("settings_need_restart")), "it has read them")
        async with session(worker.address, user="ben"):
            pass
    (read,) = worker.logged("settings_read")
    assert read.fields["changed"] == ["RT_LOG_LEVEL", "RT_MAX_CONNECTIONS_PER_PROJECT"]
