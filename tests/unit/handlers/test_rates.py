"""Requests and connections that come too often: 429 by user, and by address without a token."""

import json
import uuid
from collections.abc import Iterator, Mapping
from itertools import count, product

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from rtserver.app.server import Server
from tests.support.mongo import MongodProcess
from tests.support.raw_http import RawHttp, raw_http
from tests.support.recorder import LogRecorder
from tests.support.sockjs_polls import hello, polled
from tests.support.tokens import token
from tests.unit.handlers.parts import server_in_thread

AT_ONCE = 5
"""Of each kind; the rate is so low that no other is allowed within the test."""
WHAT, WHOM = ("requests", "connects"), ("user", "address")
_addresses = (f"192.0.2.{number}" for number in count(1))


@pytest.fixture(scope="module")
def served(mongod: MongodProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    kinds = [f"{what}_per_s_per_{whom}" for what, whom in product(WHAT, WHOM)]
    with (
        mongod.fresh_database() as name,
        server_in_thread(
            {
                "mongodb_uri": mongod.uri,
                "mongodb_database": name,
                "data_dir": tmp_path_factory.mktemp("served"),
                "allowed_origins": "https://app.example",
                "max_connections_per_user": 1,
                # What may come at once is that of ten seconds.
                **{f"max_{kind}": AT_ONCE / 10 for kind in kinds},
            }
        ) as server,
    ):
        yield server


@pytest.fixture
def ip() -> str:
    """One that was not seen yet."""
    return next(_addresses)


async def _statuses(
    http: RawHttp, method: str, path: str, headers: Mapping[str, str], times: int = AT_ONCE + 1
) -> list[int]:
    found: list[int] = []
    body = ""
    for _ in range(times):
        await http.send(method, path, headers)
        body = await (await http.read_head()).read_body()
        found.append(http.status)
    if found[-1] == 429:
        problem = json.loads(body)
        assert (problem["reason"], problem["status"]) == ("too_often", 429)
        assert int(http.headers["retry-after"]) == problem["retry_after_s"] > 0
    return found


def _signed(user: str, *roles: str, ip: str = "192.0.2.255") -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user, roles=roles)}", "X-Forwarded-For": ip}


@pytest.mark.gen_test
async def test_a_user_is_counted_wherever_they_are(served: Server, ip: str) -> None:
    path = "/api/v1/projects/p1"
    async with raw_http(f"127.0.0.1:{served.port}") as http:
        assert await _statuses(http, "GET", path, _signed("ada")) == [200] * AT_ONCE + [429]
        assert await _statuses(http, "GET", path, _signed("ada", ip=ip), 1) == [429]
        assert await _statuses(http, "GET", path, _signed("ben"), 1) == [200]
        cross = {**_signed("ada"), "Origin": "https://app.example"}
        assert await _statuses(http, "GET", path, cross, 1) == [429]
        assert "Retry-After" in http.headers["access-control-expose-headers"]
        service = _signed("svc", "service")
        assert set(await _statuses(http, "GET", path, service, 2 * AT_ONCE)) == {200}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/api/v1/projects/p1", {}, 401),
        ("GET", "/api/v1/projects/p1", {"Authorization": "Bearer nonsense"}, 401),
        ("OPTIONS", "/api/v1/projects/p1", {}, 204),
        ("GET", "/", {}, 200),
        ("GET", "/static/app.css", {}, 200),
        ("GET", "/healthz", {}, 200),
        ("GET", "/nothing", {}, 404),
        ("FOO", "/", {}, 405),
        ("GET", "/api/v1/projects/%ff", {}, 400),
        ("GET", "/sockjs/projects/000/%ff/websocket", {}, 400),
        ("POST", "/sockjs/projects/000/%ff/xhr_send", {}, 400),
        ("GET", "/sockjs/projects/info", {}, 200),
        ("POST", "/sockjs/projects/000/unknown/xhr_send", {}, 404),
        ("GET", "/api/v1/proposals/c1/events", {}, 401),
    ],
)
async def test_who_has_no_token_is_counted_by_address(
    served: Server, ip: str, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with raw_http(f"127.0.0.1:{served.port}") as http:
        mine = {**headers, "X-Forwarded-For": ip}
        assert await _statuses(http, method, path, mine) == [status] * AT_ONCE + [429]
        others = {**headers, "X-Forwarded-For": next(_addresses)}
        assert await _statuses(http, method, path, others, 1) == [status]
        # A user behind the same address is none of the strangers there.
        known = _signed(f"behind-{ip}", ip=ip)
        assert await _statuses(http, "GET", "/api/v1/projects/p1", known, 1) == [200]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "user"),
    [
        ("/ws/projects/p1", "ws-user"),
        ("/ws/projects/p1", None),
        ("/ws/audit", None),
        ("/sockjs/projects/websocket", None),
        ("/sockjs/projects/000/new/websocket", None),
    ],
)
async def test_connects_have_a_rate_of_their_own(
    served: Server, ip: str, path: str, user: str | None
) -> None:
    headers = {"X-Forwarded-For": ip} if user is None else _signed(user, ip=ip)
    url = f"ws://127.0.0.1:{served.port}{path}"
    for _ in range(AT_ONCE):
        async with connect(url, additional_headers=headers, proxy=None):
            pass
    with pytest.raises(InvalidStatus, match="429") as refused:
        await connect(url, additional_headers=headers, proxy=None)
    assert int(refused.value.response.headers["Retry-After"]) > 0
    async with raw_http(f"127.0.0.1:{served.port}") as http:
        assert await _statuses(http, "GET", "/healthz", headers, 1) == [200]


@pytest.mark.gen_test
async def test_sockjs_is_counted_by_address_until_somebody_is_let_in(
    served: Server, ip: str
) -> None:
    address = f"127.0.0.1:{served.port}"
    known = hello("p1", "polling")
    async with polled(address, known, from_ip="127.0.0.2") as client:
        await client.recv_type("welcome")
        async with raw_http(address) as http:
            mine = {"X-Forwarded-For": ip}
            for _ in range(AT_ONCE):
                path = f"/sockjs/projects/000/{uuid.uuid4().hex}/xhr"
                assert await _statuses(http, "POST", path, mine, 1) == [200]
            path = f"/sockjs/projects/000/{uuid.uuid4().hex}/xhr"
            assert await _statuses(http, "POST", path, mine, 1) == [429]
        for _ in range(3 * AT_ONCE):
            await client.send({"type": "view", "proposal_ids": []})
            client.frames.clear()
            await client.recv_type("ack")


@pytest.mark.gen_test
async def test_a_sockjs_user_connects_too_often(served: Server) -> None:
    said = hello("p1", "often")
    address = f"127.0.0.1:{served.port}"
    for number in range(AT_ONCE):
        async with polled(address, said, from_ip=f"127.0.1.{number}") as client:
            await client.recv_type("welcome")
    async with polled(address, said, from_ip="127.0.2.1") as client:
        closing = await client.recv_type("closing")
    assert (closing["code"], closing["reconnect"]) == (4029, True)
    assert closing["retry_after_ms"] > 0


@pytest.mark.gen_test
async def test_refusals_do_not_flood_records_and_log(
    served: Server, ip: str, logs: LogRecorder
) -> None:
    async with raw_http(f"127.0.0.1:{served.port}") as http:
        found = await _statuses(http, "GET", "/", {"X-Forwarded-For": ip}, AT_ONCE + 4)
    assert found.count(429) == 4
    told = [line for line in logs.lines if line["event"] == "too_often" and line["who"] == ip]
    assert len(told) == 1
