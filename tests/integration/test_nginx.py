"""Debian's nginx with `docs/nginx.conf` as it stands, two workers behind."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests.integration.proxy_case import (
    SOCKJS_TRANSPORTS,
    Front,
    find_program,
    free_address,
    ride_out_a_killed_worker,
    running,
    sample_of,
    sessions_stick_and_spread,
)
from tests.support.api import api
from tests.support.event_stream import event_stream, events_path, request_stream
from tests.support.line_process import LineProcess, line_process, node_client
from tests.support.sockets import session
from tests.support.sockjs_polls import hello
from tests.support.tokens import token
from tests.support.workers import Workers

MAIN = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/rtserver.conf;
}}
"""


@pytest.fixture(scope="module")
def front(_module_workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    executable = find_program("nginx")
    workers = _module_workers.start_many(2, ping_interval_s=1)
    address = free_address()
    directory = tmp_path_factory.mktemp("nginx")
    sample = sample_of(
        "nginx.conf",
        workers,
        ("listen 80;", f"listen {address};"),
        ("/var/log/nginx/rtserver.log", f"{directory}/access.log"),
    )
    (directory / "rtserver.conf").write_text(sample, encoding="utf-8")
    (directory / "nginx.conf").write_text(MAIN.format(directory=directory), encoding="utf-8")
    argv = [executable, "-p", str(directory), "-c", str(directory / "nginx.conf")]
    with running(argv, address, directory) as written:
        yield Front(address, workers)
    alarms = [line for line in written().splitlines() if "[emerg]" in line or "[crit]" in line]
    assert alarms == []
    logged = (directory / "access.log").read_text(encoding="utf-8")
    assert "GET /" in logged
    assert "?" not in logged, "a query may have a token in it"


@pytest.mark.gen_test
async def test_events_of_a_stream_arrive_at_once(front: Front) -> None:
    async with api(front.address) as service:
        await service.propose("stream", "nginx-1")
        async with event_stream(
            front.address, "nginx-1", headers={"Accept-Encoding": "gzip, br"}
        ) as stream:
            assert "content-encoding" not in stream.headers
            assert stream.headers["content-type"] == "text/event-stream"
            loop = asyncio.get_running_loop()
            waits_s = []
            for number in range(20):
                begun_s = loop.time()
                await service.publish("stream", number)
                # The next is published only when this one is here: nothing may wait for more.
                assert (await stream.recv("test.event"))["data"] == number
                waits_s.append(loop.time() - begun_s)
            assert sorted(waits_s)[10] < 1.0
            while not stream.blocks[-1].comments:
                await stream.recv_block()
        refused = await request_stream(front.address, events_path("nginx-1"), token="")
        await refused.close()
        assert refused.status == 401


@pytest.mark.gen_test
async def test_entity_tags_stay_strong(front: Front) -> None:
    async with api(front.address, "ada") as service:
        await service.propose("tags", "nginx-tags")
        path = "/api/v1/proposals/nginx-tags"
        seen = await service.http.get(path, headers={"Accept-Encoding": "gzip"})
        changed = await service.http.patch(
            path, json={"title": "Newer"}, headers={"If-Match": seen.headers["ETag"]}
        )
        assert changed.status_code == 200
        snapshot = await service.http.get(
            "/api/v1/projects/tags", headers={"Accept-Encoding": "gzip"}
        )
        assert snapshot.headers["Content-Encoding"] == "gzip"


@pytest.mark.gen_test
async def test_a_stream_goes_on_at_another_worker(front: Front) -> None:
    async with api(front.address) as service:
        await service.propose("other", "nginx-2")
        published = [await service.publish("other", number) for number in range(5)]
    seen: list[str] = []
    position = ""
    for worker in (*front.workers, *front.workers):
        # Straight to each worker in turn, as nginx may choose any.
        query = f"last_event_id={position}" if position else ""
        async with (
            event_stream(worker.address, "nginx-2", query) as stream,
            api(front.address) as service,
        ):
            published.append(await service.publish("other", len(published)))
            while published[-1] not in [event["id"] for event in stream.events]:
                await stream.recv("test.event")
            seen += [event["id"] for event in stream.events]
            position = stream.last_event_id
    assert seen == published[5:]


@pytest.mark.gen_test
async def test_polling_sessions_stick_to_their_worker(front: Front) -> None:
    await sessions_stick_and_spread(front)


def test_sockjs_client_through_the_proxy(front: Front, tmp_path: Path) -> None:
    with ExitStack() as stack:
        clients: dict[str, LineProcess] = {}
        for transport in SOCKJS_TRANSPORTS:
            greeting = json.dumps(hello("node", f"user-{transport}"))
            command = node_client(
                "sockjs_client.cjs", f"http://{front.address}/sockjs/projects", transport, greeting
            )
            clients[transport] = stack.enter_context(line_process(command, tmp_path))
        for transport, client in clients.items():
            opened = client.wait(lambda line: line["happened"] == "open")
            assert opened["transport"] == transport
            client.wait(lambda line: line.get("frame", {}).get("type") == "welcome")
        url = f"http://{front.address}/api/v1/projects/node/events"
        bearer = {"Authorization": f"Bearer {token('svc', roles=('service',))}"}
        for number in range(5):
            answer = httpx2.post(
                url, json={"type": "test.event", "data": number}, headers=bearer, trust_env=False
            )
            assert answer.status_code == 201
        for client in clients.values():
            client.wait(lambda line: line.get("frame", {}).get("data") == 4)
            numbers = [
                line["frame"]["data"]
                for line in client.lines()
                if line.get("frame", {}).get("type") == "test.event"
            ]
            assert numbers == list(range(5))


@pytest.mark.gen_test
async def test_websockets_and_the_clients_address_pass(front: Front) -> None:
    async with session(front.address, "ws") as client:
        await asyncio.sleep(2.5)  # past pings, which are answered through the proxy
        assert (await client.ask("view", proposal_ids=[]))["type"] == "ack"
    async with connect(
        f"ws://{front.address}/ws/projects/ws?token={token('ada')}",
        origin=f"http://{front.address}",  # type: ignore[arg-type]
        additional_headers={"X-Forwarded-For": "198.51.100.7"},
        proxy=None,
    ) as same_origin:
        assert json.loads(await same_origin.recv())["type"] == "welcome"
    lines = [line for worker in front.workers for line in worker.logged("http_request")]
    sockets = [line for line in lines if "/ws/projects/ws" in line.fields["path"]]
    assert {line.fields["ip"] for line in sockets} <= {"127.0.0.1", "198.51.100.7"}
    async with httpx2.AsyncClient(trust_env=False) as visitor:  # it is the proxy that answers
        assert (await visitor.get(f"http://{front.address}/metrics")).status_code == 404
        page = await visitor.get(f"http://{front.address}/", headers={"Accept-Encoding": "gzip"})
        assert page.status_code == 200


def test_a_worker_killed_behind_it_costs_no_client_an_event(front: Front, tmp_path: Path) -> None:
    """The last one: nobody starts the worker again."""
    ride_out_a_killed_worker(front, tmp_path, "killed-behind-nginx")
