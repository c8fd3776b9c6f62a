"""Bodies and heads beyond their bound, however they come, and connections that end early."""

import asyncio
import json
import re
import uuid
from collections.abc import Iterator

import pytest

from rtserver.app.server import Server
from tests.support.mongo import MongodProcess
from tests.support.raw_http import raw_http
from tests.support.recorder import LogRecorder
from tests.support.tokens import token
from tests.support.waiting import until
from tests.unit.handlers.parts import raw_request, server_in_thread

PATH = "/api/v1/projects/p1/events"
LIMIT = 4 * 1024 * 1024


@pytest.fixture(scope="module")
def served(mongod: MongodProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of this file."""
    with (
        mongod.fresh_database() as name,
        server_in_thread(
            {
                "mongodb_uri": mongod.uri,
                "mongodb_database": name,
                "data_dir": tmp_path_factory.mktemp("served"),
                "max_message_bytes": 8 * 1024 * 1024,
            }
        ) as server,
    ):
        yield server


def _head(*headers: str, method: str = "POST", path: str = PATH) -> bytes:
    signed = token("svc", roles=("service",))
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {signed}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def _event(size: int) -> bytes:
    """A body of exactly this many bytes."""
    frame = b'{"type":"a.b","data":"%s"}'
    return frame % (b"x" * (size - len(frame) + 2))


def _chunked(body: bytes, chunk: int = 65536) -> Iterator[bytes]:
    for start in range(0, len(body), chunk):
        part = body[start : start + chunk]
        yield b"%x\r\n%s\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def _is_too_large(status: int, head: bytes, body: bytes) -> None:
    assert status == 413, (head, body)
    assert b"content-type: application/problem+json" in head.lower()
    document = json.loads(body)
    assert (document["status"], document["reason"]) == (413, "too_large")
    assert str(LIMIT) in document["detail"]


@pytest.mark.gen_test
async def test_the_largest_body_is_taken_with_and_without_a_length(served: Server) -> None:
    body = _event(LIMIT)
    status, *_ = await raw_request(
        served.port, _head(f"Content-Length: {len(body)}", "Connection: close"), body
    )
    assert status == 201
    status, *_ = await raw_request(
        served.port, _head("Transfer-Encoding: chunked", "Connection: close"), *_chunked(body)
    )
    assert status == 201


@pytest.mark.gen_test
@pytest.mark.parametrize("excess", [1, 1_000_000, 40 * LIMIT])
async def test_a_body_that_says_that_it_is_too_large_is_not_read(
    served: Server, excess: int
) -> None:
    answer = await raw_request(served.port, _head(f"Content-Length: {LIMIT + excess}"))
    _is_too_large(*answer)


@pytest.mark.gen_test
async def test_a_body_that_is_sent_all_the_same_is_answered_too(served: Server) -> None:
    body = _event(LIMIT + 1)
    answer = await raw_request(served.port, _head(f"Content-Length: {len(body)}"), body)
    _is_too_large(*answer)


@pytest.mark.gen_test
@pytest.mark.parametrize("excess", [1, 3 * LIMIT])
async def test_a_body_of_unknown_length_is_read_up_to_the_bound(
    served: Server, excess: int, logs: LogRecorder
) -> None:
    answer = await raw_request(
        served.port, _head("Transfer-Encoding: chunked"), *_chunked(b"x" * (LIMIT + excess))
    )
    _is_too_large(*answer)
    assert not [line for line in logs.lines if line["level"] == "error"]


@pytest.mark.gen_test
async def test_what_is_left_of_a_refused_body_is_not_taken_for_a_request(served: Server) -> None:
    """The connection goes on where somebody with a token is refused, else it ends."""
    body = _event(LIMIT + 300_000)
    stranger = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT}\r\n\r\n".encode()
    requests = {
        _head(f"Content-Length: {len(body)}") + body: [413],  # before the token is looked at
        _head("Transfer-Encoding: chunked") + b"".join(_chunked(body)): [413, 200],
        stranger + (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * (LIMIT // 30))[:LIMIT]: [401],
    }
    for request, expected in requests.items():
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        async with asyncio.timeout(30):
            writer.write(request)
            await writer.drain()
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            received = await reader.read()
            writer.transport.abort()
            await writer.wait_closed()
        statuses = [int(found) for found in re.findall(rb"HTTP/1.1 (\d+)", received)]
        assert statuses == expected


@pytest.mark.gen_test
async def test_a_stranger_is_refused_before_the_body_is_read(served: Server) -> None:
    request = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT}\r\n\r\n".encode()
    status, head, _ = await raw_request(served.port, request)  # none of the body is sent
    assert status == 401
    assert b"www-authenticate: bearer" in head.lower()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        *(
            (method, path, {"GET": (413,), "POST": (405, 404)}[method])
            for path in ("/", "/admin", "/legacy", "/static/app.js", "/healthz", "/readyz")
            for method in ("GET", "POST")
        ),
        ("GET", "/metrics", (413,)),
        ("GET", "/api/v1/openapi.json", (413,)),
        ("POST", "/api/v1/nothing", (404,)),
        ("FOO", "/", (405,)),
        ("GET", "/ws/projects/p1", (413,)),
        ("GET", "/ws/audit", (413,)),
        ("GET", "/sockjs/projects", (413,)),
        ("GET", "/sockjs/projects/info", (413,)),
        ("GET", "/sockjs/projects/websocket", (413,)),
        ("GET", "/sockjs/projects/000/new/websocket", (413,)),
        ("GET", "/sockjs/projects/000/new/eventsource", (413,)),
        ("POST", "/sockjs/projects/000/new/xhr", (413,)),
        ("POST", "/sockjs/projects/000/new/xhr_streaming", (413,)),
        ("POST", "/sockjs/projects/000/new/xhr_send", (413,)),
        ("POST", "/sockjs/projects/000/new/jsonp_send", (413,)),
        ("GET", "/api/v1/projects/p1", (401, 413)),
        ("DELETE", "/api/v1/projects/p1/lock", (401, 413)),
    ],
)
@pytest.mark.parametrize("length", [f"Content-Length: {33 * LIMIT}", "Transfer-Encoding: chunked"])
async def test_a_stranger_is_answered_before_any_body(
    served: Server, method: str, path: str, statuses: tuple[int, ...], length: str
) -> None:
    """None of the body is sent: who waits for it answers nothing."""
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode()
    status, head, _ = await raw_request(served.port, request)
    if path.endswith("_send") and "chunked" in length:
        statuses = (404,)
    assert status in statuses, head


@pytest.mark.gen_test
async def test_sockjs_messages_have_a_bound_and_a_session(served: Server) -> None:
    """One without a hello takes a hello at most; a client that leaves amid one leaves nothing."""
    session = f"/sockjs/projects/000/{uuid.uuid4().hex}"
    async with raw_http(f"127.0.0.1:{served.port}") as http:
        await http.send("POST", session + "/xhr")
        assert await (await http.read_head()).read_body() == "o\n"
        bound = 4 * 8 * 1024 * 1024
        await http.send("POST", session + "/xhr_send", {"Content-Length": str(bound + 1)})
        await http.read_head()
        assert (http.status, json.loads(await http.read_body())["reason"]) == (413, "too_large")
    async with raw_http(f"127.0.0.1:{served.port}") as http:
        await http.send("POST", session + "/xhr_send", {"Content-Length": "100"}, '["x')


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: -1",),
        ("Content-Length: 0x10",),
        ("Content-Length: \u00b2",),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: gzip",),
        ("Content-Length: " + "9" * 5000,),
    ],
)
async def test_lengths_that_cannot_be_are_refused(served: Server, headers: tuple[str, ...]) -> None:
    """RFC 9112 section 6.3: or two ends of a connection may disagree where a request ends."""
    status, *_ = await raw_request(served.port, _head(*headers))
    assert status in (400, 413, 501), status


@pytest.mark.gen_test
async def test_clients_that_leave_early_leave_nothing_behind(
    served: Server, logs: LogRecorder
) -> None:
    for request in (
        b"POST",
        _head("Content-Length: 1000") + b"{",
        _head("Transfer-Encoding: chunked") + b"5\r\n{",
        _head("Content-Length: 20") + _event(40),
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(request)
        await writer.drain()
        writer.transport.abort()
    upgrade = _head(
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        method="GET",
        path="/ws/projects/p1",
    )
    for wait_s in (0, 0, 0.001, 0.002, 0.005, 0.01, 0.02):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(upgrade)
        await writer.drain()
        await asyncio.sleep(wait_s)
        writer.transport.abort()
    await until(
        lambda: len([li for li in logs.lines if li.get("event") == "http_request"]) >= 7,
        "the upgrades' being looked at",
    )
    await until(lambda: not served.features.sessions.table._sessions, "the end of all sessions")
    # Each place is given back once: the project has room for as many as it may have.
    await until(
        lambda: not served.features.sessions.gateway._admission._entries, "all places' being free"
    )


@pytest.mark.gen_test
@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)])
async def test_a_short_body_that_has_no_use_hinders_nothing(
    served: Server, expect: tuple[str, ...]
) -> None:
    """Some clients send `{}` with every request; what comes after it is the next request."""
    paths = ("/healthz", "/", "/metrics", "/sockjs/projects/info", "/api/v1/openapi.json")
    first = b"".join(
        _head("Content-Length: 2", *expect, method="GET", path=path) + b"{}" for path in paths
    )
    session = f"/sockjs/projects/000/{uuid.uuid4().hex}/xhr"
    last = _head("Content-Length: 2", "Connection: close", path=session) + b"{}"
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    async with asyncio.timeout(30):
        writer.write(first + last)
        received = await reader.read()
        writer.close()
        await writer.wait_closed()
    statuses = [int(found) for found in re.findall(rb"HTTP/1.1 ([2-5]\d\d)", received)]
    assert statuses == [200] * (len(paths) + 1), received[:300]


@pytest.mark.gen_test
async def test_a_socket_opens_after_a_short_body(served: Server) -> None:
    request = _head(
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Content-Length: 2",
        method="GET",
        path="/ws/projects/p1",
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    async with asyncio.timeout(30):
        writer.write(request + b"{}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 101")
        assert b'"welcome"' in await reader.readuntil(b'"welcome"')
        writer.transport.abort()
        await writer.wait_closed()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "path", [PATH, "/", "/ws/projects/p1", "/nowhere", "/sockjs/projects/info"]
)
async def test_a_head_that_is_too_long_is_answered(served: Server, path: str) -> None:
    fits, is_too_long = (f"Cookie: {'x' * size}" for size in (60_000, 66_000))
    status, *_ = await raw_request(served.port, _head(fits, method="GET", path=path))
    assert status not in (0, 431)
    status, head, body = await raw_request(served.port, _head(is_too_long, method="GET", path=path))
    assert (status, json.loads(body)["reason"]) == (431, "head_too_large"), head
    query = _head(method="GET", path=f"{path}?{'x' * 66_000}")
    assert (await raw_request(served.port, query))[0] == 431


@pytest.mark.gen_test
async def test_a_method_is_not_repeated_at_any_length(served: Server, logs: LogRecorder) -> None:
    status, head, body = await raw_request(served.port, _head(method="X" * 30_000, path="/healthz"))
    assert (status, len(body) < 1000) == (405, True), head
    assert all(len(str(line)) < 1000 for line in logs.lines)


@pytest.mark.gen_test
async def test_an_address_in_absolute_form_is_answered(served: Server) -> None:
    for address in (f"http://x{PATH}", f"HTTPS://other:8443{PATH}", f"http://x{PATH}?limit=1"):
        status, head, _ = await raw_request(served.port, _head(method="GET", path=address))
        assert status == 200, head
    assert (await raw_request(served.port, _head(method="GET", path="http://x")))[0] == 200
    # Its host is the request's, whatever the header says: this page is of another one.
    crossing = _head("Origin: http://x", method="GET", path="http://other/sockjs/projects/info")
    assert (await raw_request(served.port, crossing))[0] == 403
    odd = _head(method="GET", path="http://a b@/healthz")
    assert (await raw_request(served.port, odd))[0] == 400
