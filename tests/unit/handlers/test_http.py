"""Every address of the HTTP interface, with everything that a client can get wrong."""

import asyncio
import gc
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler
from websockets.asyncio.client import connect

from handlers.pages import AssetHandler, BundleHandler, PageHandler
from handlers.realtime.websocket import SessionSocket
from handlers.routes import ASYNCAPI, OPENAPI
from rtserver.app.server import Server
from rtserver.delivery.send_buffer import Outbox
from rtserver.model.errors import StoreUnavailableError
from rtserver.sessions.session import Session
from tests.support.documents import document
from tests.support.mongo import MongodProcess
from tests.support.recorder import LogRecorder
from tests.support.tokens import token
from tests.support.waiting import until
from tests.unit.handlers.parts import Http, problem, server_in_thread

LISTED = "https://app.example"
GET, POST, PATCH, PUT, DELETE = "GET", "POST", "PATCH", "PUT", "DELETE"

# Addresses with what they take; {p} is a project, {c} a proposal of it.
ROUTES: dict[str, tuple[str, ...]] = {
    "/api/v1/projects/{p}": (GET,),
    "/api/v1/projects/{p}/events": (GET, POST),
    "/api/v1/projects/{p}/proposals": (GET, POST),
    "/api/v1/projects/{p}/lock": (GET, PUT, DELETE),
    "/api/v1/proposals/{c}": (GET, PATCH, DELETE),
    "/api/v1/proposals/{c}/comments": (GET, POST),
    "/api/v1/comments/comment-1": (PATCH, DELETE),
    "/api/v1/proposals/{c}/reviews": (GET, POST),
    "/api/v1/proposals/{c}/revisions": (GET, POST),
    "/api/v1/proposals/{c}/revisions/1/files": (GET,),
    "/api/v1/proposals/{c}/revisions/1/files/specs/a/spec.md": (GET,),
    "/api/v1/proposals/{c}/revisions/2/changes?against=1": (GET,),
    "/api/v1/proposals/{c}/revisions/1/restore": (POST,),
    "/api/v1/proposals/{c}/events": (GET,),
    "/api/v1/proposals/{c}/runs": (GET,),
    "/api/v1/proposals/{c}/validations": (POST,),
    "/api/v1/proposals/{c}/iterations": (POST,),
    "/api/v1/runs/{r}": (GET, DELETE),
    "/api/v1/runs/{r}/stream": (GET,),
    "/api/v1/audit": (GET,),
    "/api/v1/audit/counts": (GET,),
    "/api/v1/connections?user_id=ada": (GET, DELETE),
    "/api/v1/connections/{r}": (DELETE,),
    "/api/v1/users/nobody-{r}/revoke": (POST,),
}
AUDIT_KEYS = "/.well-known/rtserver-audit-keys"
OPEN_ROUTES = ("/healthz", "/readyz", "/metrics", AUDIT_KEYS, "/", OPENAPI, ASYNCAPI)
METHODS = (GET, POST, PATCH, PUT, DELETE)


@pytest.fixture(scope="module")
def served(mongod: MongodProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of this file; each takes a project of its own."""
    with mongod.fresh_database() as name:
        settings = {
            "mongodb_uri": mongod.uri,
            "mongodb_database": name,
            "data_dir": tmp_path_factory.mktemp("served"),
            "allowed_origins": LISTED,
        }
        with server_in_thread(settings) as server:
            yield server


@pytest.fixture
def app(served: Server) -> Application:
    return served.features.interface.application


@pytest.fixture
def http_server(served: Server) -> HTTPServer:
    """The server's own, with its bounds, instead of the one that pytest-tornado would make."""
    return served.features.interface.server


@pytest.fixture
def base_url(served: Server) -> str:
    return f"http://127.0.0.1:{served.port}"


@pytest.fixture
def http(http_client: AsyncHTTPClient, base_url: str) -> Http:
    return Http(http_client, base_url)


def _paths(route: str) -> str:
    return route.format(p="p1", c="change-1", r="run-1")


async def _propose(http: Http, project: str = "p1", proposal: str = "change-1") -> None:
    response = await http(
        POST, f"/api/v1/projects/{project}/proposals", {"id": proposal, "title": "T"}
    )
    assert response.code in (201, 409), response.body  # tests share the server


def _given(method: str, body: object) -> tuple[object, ...]:
    """The body of a request, where its method has one."""
    return (body,) if method in (POST, PATCH, PUT) else ()


@pytest.mark.gen_test
async def test_the_table_of_addresses_is_complete(app: Application) -> None:
    """A new address has to be added here, and is then held to all that follows."""
    known = {_paths(route).partition("?")[0] for route in (*ROUTES, *OPEN_ROUTES)}
    rules = app.wildcard_router.rules
    patterns = [rule.matcher.regex.pattern for rule in rules]  # type: ignore[attr-defined]
    for pattern in patterns:
        if "/api/" in pattern:
            assert any(re.fullmatch(pattern, path) for path in known), pattern


@pytest.mark.gen_test
async def test_every_address_is_in_one_of_the_documents_or_a_page(app: Application) -> None:
    """Seen from the addresses themselves, and from the documents."""
    socket_channels = document(ASYNCAPI)["channels"].values()
    described = {
        **document(OPENAPI)["paths"],
        **{channel["address"]: {"get": {}} for channel in socket_channels},
        **document(OPENAPI)["paths"],
    }
    sample = {path: re.sub(r"\{\w+\}", "x", path) for path in described}
    answered: set[str] = set()
    for rule in app.wildcard_router.rules:
        pattern = rule.matcher.regex.pattern  # type: ignore[attr-defined]
        handler = rule.target
        paths = [path for path in described if re.fullmatch(pattern, sample[path])]
        if issubclass(handler, PageHandler | AssetHandler | BundleHandler) or "/sockjs/" in pattern:
            assert set(paths) <= {"/sockjs/projects"}, pattern
            answered.update(paths)
            continue
        assert len(paths) == 1, f"{pattern} is described by {paths}"
        answered.update(paths)
        methods = {
            method
            for method in ("get", "post", "put", "patch", "delete")
            if getattr(handler, method) is not getattr(RequestHandler, method)
        }
        assert methods == set(described[paths[0]]) - {"parameters"}, pattern
    assert answered >= set(described) - {"/sockjs/projects"}


@pytest.mark.gen_test
async def test_the_documents_are_for_everybody(http: Http) -> None:
    for path in (OPENAPI, ASYNCAPI):
        response = await http(GET, path, token="")
        assert response.code == 200
        assert json.loads(response.body) == document(path)
        assert response.headers["Content-Type"] == "application/json"
        etag = response.headers["ETag"]
        again = await http(GET, path, token="", headers={"If-None-Match": etag})
        assert (again.code, again.body) == (304, b"")
        assert (await http("HEAD", path, token="")).code == 200
        assert "; GET, HEAD are" in problem(await http(POST, path, {}), 405)["detail"]


@pytest.mark.gen_test
async def test_without_a_good_token_nothing_is_told_or_done(http: Http) -> None:
    await _propose(http)
    for route, methods in ROUTES.items():
        for method in methods:
            given = _given(method, {})
            for bad, reason in (("", "missing"), ("nonsense", "malformed")):
                response = await http(method, _paths(route), *given, token=bad)
                answer = problem(response, 401, reason)
                assert ("Authorization: Bearer" in answer["detail"]) is (reason == "missing")
                scheme = response.headers["WWW-Authenticate"]
                assert scheme.startswith("Bearer")
                assert ('error="invalid_token"' in scheme) is (reason != "missing")
            expired = token("ada", ttl_s=-100)
            problem(await http(method, _paths(route), *given, token=expired), 401, "expired")


@pytest.mark.gen_test
async def test_a_token_for_another_project_opens_nothing_here(http: Http) -> None:
    await _propose(http)
    other = token("ben", "p2")
    body: dict[str, Any] = {"type": "a.b", "title": "T", "text": "T", "instruction": "I"}
    body |= {"verdict": "approve", "revision": 1, "base": 1, "files": {"proposal.md": "x"}}
    for route, methods in ROUTES.items():
        for method in methods:
            given = _given(method, body)
            response = await http(method, _paths(route), *given, token=other)
            # What lies under a project is forbidden; what has an id of its own is not known of,
            # except to those who ask for its stream, which the interface names 403.
            assert response.code in (403, 404), f"{method} {route}: {response.code}"
            problem(response, response.code)
            if "{p}" in route or "audit" in route or "connections" in route:
                assert response.code == 403
    response = await http(POST, "/api/v1/projects/p1/events", {"type": "a.b"})
    problem(response, 403, "forbidden")  # not a service


@pytest.mark.gen_test
async def test_what_is_not_there_is_404(http: Http) -> None:
    for path in (
        "/api/v1/proposals/none-such",
        "/api/v1/proposals/none-such/comments",
        "/api/v1/proposals/none-such/events",
        "/api/v1/runs/none-such",
        "/api/v1/projects",
        "/api/v1/projects/p1/",
        "/api/v1/projects/p1/nothing",
        "/api/v2/projects/p1",
        "/ws",
        "/nothing%20here",
        "/x" * 3000,
    ):
        problem(await http(GET, path), 404, "not_found")
    for path in ("validations", "comments"):
        response = await http(POST, f"/api/v1/proposals/none-such/{path}", {"text": "T"})
        problem(response, 404, "not_found")
    problem(await http(PATCH, "/api/v1/proposals/none-such", {"title": "T"}), 404, "not_found")
    problem(await http(DELETE, "/api/v1/runs/none-such"), 404, "not_found")
    problem(await http(GET, "/static/none.js"), 404)
    problem(await http("BREW", "/nothing"), 404, "not_found")


@pytest.mark.gen_test
async def test_methods_that_there_are_not_are_405_with_those_that_there_are(http: Http) -> None:
    for route, methods in ROUTES.items():
        for method in METHODS:
            if method in methods:
                continue
            response = await http(method, _paths(route), *_given(method, {}))
            problem(response, 405)
            allowed = set(response.headers["Allow"].split(", "))
            assert allowed - {"HEAD", "OPTIONS"} == set(methods), route
            assert ("HEAD" in allowed) == (GET in methods), route
    for path in OPEN_ROUTES:
        response = await http(POST, path, {})
        problem(response, 405)
        assert "GET" in response.headers["Allow"]
        problem(await http("BREW", path), 405)


@pytest.mark.gen_test
async def test_head_tells_what_get_would_less_the_body(http: Http) -> None:
    """RFC 9110 section 9.3.2."""
    await _propose(http)
    for path in (
        *OPEN_ROUTES,
        "/static/app.css",
        "/api/v1/projects/p1",
        "/api/v1/projects/p1/events",
        "/api/v1/projects/p1/lock",
        "/api/v1/proposals/change-1",
        "/api/v1/proposals/change-1/comments",
    ):
        whole, head = await http(GET, path), await http("HEAD", path)
        assert whole.code == head.code == 200, f"{path}: {whole.code}, {head.code}"
        assert head.body == b""
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]
        if path != "/metrics":
            # What went over the network: the client has unpacked what came in gzip.
            assert head.headers["Content-Length"] == whole.headers["Content-Length"], path
            is_packed = "X-Consumed-Content-Encoding" in whole.headers
            assert is_packed or whole.headers["Content-Length"] == str(len(whole.body)), path
    for path in ("/api/v1/runs/none-such", "/api/v1/proposals/none-such"):
        head = await http("HEAD", path)
        assert (head.code, head.body) == (404, b"")
    assert (await http("HEAD", "/api/v1/projects/p1", token="")).code == 401
    # To look at a socket's address is no reason to take a place in the project.
    head = await http("HEAD", "/ws/projects/p1")
    assert head.code == 405


@pytest.mark.gen_test
async def test_preflights_are_answered_for_listed_origins_and_need_no_token(http: Http) -> None:
    """Fetch standard, CORS protocol: the browser asks first, without credentials."""
    for route, methods in ROUTES.items():
        asked = {
            "Origin": LISTED,
            "Access-Control-Request-Method": methods[0],
            "Access-Control-Request-Headers": "authorization, content-type",
        }
        response = await http("OPTIONS", _paths(route), token="", headers=asked)
        assert (response.code, response.body) == (204, b""), route
        assert response.headers["Access-Control-Allow-Origin"] == LISTED
        assert "Origin" in response.headers["Vary"]
        allowed = set(response.headers["Access-Control-Allow-Methods"].split(", "))
        assert set(methods) <= allowed
        headers = response.headers["Access-Control-Allow-Headers"].lower()
        assert {"authorization", "content-type", "if-match", "if-none-match"} <= set(
            headers.split(", ")
        )
        assert "Access-Control-Allow-Credentials" not in response.headers

        response = await http(
            "OPTIONS", _paths(route), token="", headers={**asked, "Origin": "https://evil.example"}
        )
        assert not [name for name in response.headers if name.startswith("Access-Control-")]
    assert set((await http("OPTIONS", "/api/v1/projects/p1")).headers["Allow"].split(", ")) == {
        "GET",
        "HEAD",
        "OPTIONS",
    }


@pytest.mark.gen_test
async def test_answers_and_errors_alike_may_be_read_by_listed_origins_only(http: Http) -> None:
    for path, status in (("/api/v1/projects/p1", 200), ("/api/v1/runs/x", 404)):
        for origin, readable in ((LISTED, True), ("https://evil.example", False), ("null", False)):
            response = await http(GET, path, headers={"Origin": origin})
            assert response.code == status
            shown = response.headers.get("Access-Control-Allow-Origin")
            assert shown == (origin if readable else None)
            assert "Origin" in response.headers["Vary"]
    refused = await http(GET, "/api/v1/projects/p1", token="", headers={"Origin": LISTED})
    problem(refused, 401)
    assert refused.headers["Access-Control-Allow-Origin"] == LISTED, "or a page can't see why"


@pytest.mark.gen_test
async def test_bodies_that_are_not_json_or_do_not_fit(http: Http) -> None:
    await _propose(http)
    service = token("svc", roles=("service",))
    takes = {
        "/api/v1/projects/p1/events": POST,
        "/api/v1/projects/p1/proposals": POST,
        "/api/v1/proposals/change-1": PATCH,
        "/api/v1/proposals/change-1/comments": POST,
        "/api/v1/projects/p1/lock": PUT,
    }
    for path, method in takes.items():
        for bad in (b"{", b"nonsense", b"\xff\xfe", b'{"title": "\\ud800"}', b'{"a":NaN}', b"\x00"):
            problem(await http(method, path, bad, token=service), 400, "malformed")
        for bad in (b"[]", b"7", b"null", b'"text"'):
            problem(await http(method, path, bad, token=service), 422)
        deep = b'{"type":"a.b","title":"T","text":"T","reason":"r","x":' + b"[" * 50_000
        response = await http(method, path, deep, token=service)
        problem(response, 400, "malformed")
    for path, method, body in (
        ("/api/v1/projects/p1/proposals", POST, {"title": ""}),
        ("/api/v1/projects/p1/proposals", POST, {"title": 7}),
        ("/api/v1/projects/p1/proposals", POST, {"title": "T", "status": "nonsense"}),
        ("/api/v1/projects/p1/proposals", POST, {"title": "T", "reviewers": "ben"}),
        ("/api/v1/proposals/change-1", PATCH, {"id": "another"}),
        ("/api/v1/proposals/change-1/comments", POST, {"text": ""}),
        ("/api/v1/proposals/change-1/comments", POST, {}),
        ("/api/v1/projects/p1/lock", PUT, {"lease_s": "long"}),
        ("/api/v1/projects/p1/events", POST, {"type": "nodot"}),
    ):
        problem(await http(method, path, body, token=service), 422)
    problem(
        await http(POST, "/api/v1/projects/p1/proposals", {"id": "change-1", "title": "T"}), 409
    )


@pytest.mark.gen_test
async def test_an_event_may_have_data_called_events(http: Http) -> None:
    """It was taken for a batch, and refused."""
    response = await http(
        POST,
        "/api/v1/projects/p1/events",
        {"type": "build.finished", "data": {"events": [1, 2]}},
        token=token("svc", roles=("service",)),
    )
    assert response.code == 201, response.body


@pytest.mark.gen_test
async def test_numbers_of_the_query_are_what_they_say(http: Http) -> None:
    path = "/api/v1/projects/p1/events?limit="
    assert (await http(GET, path + "7")).code == 200
    assert (await http(GET, path + "007")).code == 200
    for bad in (
        "0",
        "1001",
        "-1",
        "1.0",
        "x",
        "",
        "%20",
        "%EF%BC%91",
        "00000000000000000001999999",  # its first twenty digits are in range
        "0" * 30 + "5" * 5000,
    ):
        problem(await http(GET, path + bad), 400)


@pytest.mark.gen_test
async def test_addresses_that_are_not_utf8(http: Http) -> None:
    service = token("svc", roles=("service",))
    for path in (
        "/api/v1/projects/%ff%fe",
        "/api/v1/projects/%c3%28/events",
        "/api/v1/proposals/%ff",
        "/api/v1/runs/%e2%82",
        "/api/v1/projects/p1/events?after=%ff",
        "/api/v1/projects/p1/events?limit=%ff",
        "/api/v1/projects/p1/events?type=%ff",
    ):
        problem(await http(GET, path), 400)
    problem(await http(POST, "/api/v1/projects/%ff/events", {"type": "a.b"}, token=service), 400)
    problem(await http(GET, "/api/v1/projects/p1?token=%ff%fe", token=""), 401)
    problem(await http(GET, "/%ff"), 404)
    problem(await http(GET, "/ws/projects/%ff"), 400)
    # Names of parameters that nobody asks for may be anything.
    assert (await http(GET, "/api/v1/projects/p1?%ff=%ff")).code == 200


@pytest.mark.gen_test
async def test_a_socket_that_is_none(http: Http) -> None:
    """RFC 6455 section 4.4 and RFC 9110 section 15.5.22: what would be understood is said."""
    response = await http(GET, "/ws/projects/p1")
    problem(response, 426)
    assert response.headers["Upgrade"] == "websocket"
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "8",
    }
    response = await http(GET, "/ws/projects/p1", headers=upgrade)
    problem(response, 426)
    assert response.headers["Sec-WebSocket-Version"] == "13"
    problem(await http(POST, "/ws/projects/p1", {}), 405)


@pytest.mark.gen_test
async def test_a_token_shows_up_nowhere(
    http: Http, logs: LogRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    signed, expired = token("ada", "p1"), token("ada", ttl_s=-100)
    answers = []
    for one in (signed, expired, "not-a-token-but-as-secret"):
        for path in ("/api/v1/projects/p1", "/ws/projects/p1", "/nothing", "/", "/static/none.js"):
            answers.append(await http(GET, path, token=one))
            answers.append(await http(GET, f"{path}?token={one}&x=1", token=""))
            # Percent-encoded, as some clients send it, and under a name that is encoded as well.
            coded = "".join(f"%{ord(char):02X}" for char in one)
            answers.append(await http(GET, f"{path}?t%6Fken={coded}", token=""))
    await until(
        lambda: [line["event"] for line in logs.lines].count("http_request") >= len(answers),
        "the access log",
    )
    told = "\n".join(
        [str(line) for line in logs.lines]
        + [record.getMessage() for record in caplog.records]
        + [answer.body.decode() for answer in answers]
        + [str(list(answer.headers.get_all())) for answer in answers]
    )
    for one in (signed, expired, "not-a-token-but-as-secret"):
        assert one not in told
        assert one.rpartition(".")[2] not in told, "a signature without the rest"
        assert "".join(f"%{ord(char):02X}" for char in one) not in told


@pytest.mark.gen_test
async def test_the_access_log_has_numbers_for_status(http: Http, logs: LogRecorder) -> None:
    await http("HEAD", "/ws/projects/p1")
    await http(GET, "/nothing")

    def statuses() -> list[object]:
        return [line["status"] for line in logs.lines if line["event"] == "http_request"]

    await until(lambda: len(statuses()) >= 2, "the access log")
    assert {type(status) for status in statuses()} == {int}


class _Never(asyncio.Event):
    """Not set, whatever the tail does meanwhile."""

    def is_set(self) -> bool:
        return False


@pytest.mark.gen_test
async def test_when_mongodb_is_away_it_is_503_with_a_time(
    http: Http, served: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_args: object, **_options: object) -> None:
        raise StoreUnavailableError("The database does not answer; try again soon")

    monkeypatch.setattr(served.features.events.writer, "head", fails)
    response = await http(GET, "/api/v1/projects/p1")
    problem(response, 503, "unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    monkeypatch.setattr(served.features.tail, "ready", _Never())
    response = await http(GET, "/readyz")
    assert response.code == 503
    assert "tail" in json.loads(response.body)["problems"]


@pytest.mark.gen_test
async def test_pages_carry_a_policy_and_no_address_of_elsewhere(http: Http) -> None:
    page = await http(GET, "/", token="")
    assert page.code == 200
    policy = page.headers["Content-Security-Policy"]
    for part in ("default-src 'self'", "object-src 'none'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert b"<script>" not in page.body
    again = await http(GET, "/", token="", headers={"If-None-Match": page.headers["Etag"]})
    assert again.code == 304
    for path in ("/static/../pyproject.toml", "/static/%2e%2e/pyproject.toml", "/static/"):
        assert (await http(GET, path)).code in (403, 404)
    for path in ("/static/app.css%00", "/static/app/%00/main.js"):
        problem(await http(GET, path), 404)


@pytest.mark.gen_test
async def test_a_connection_that_is_over_leaves_nothing_for_the_collector(
    served: Server,
) -> None:
    """Sessions, timers and handlers held each other: 12 KiB of every connection stayed.

    The collector looks at what has grown old so seldom that this was as good as a leak.
    """

    def alive() -> int:
        kinds = (SessionSocket, Session, Outbox)
        return sum(1 for thing in gc.get_objects() if type(thing) in kinds)

    def nothing_is_left() -> bool:
        gc.collect()
        return alive() == 0

    # What earlier tests left to end by itself may need the collector; from here on it is off.
    await until(nothing_is_left, "the end of earlier tests' connections")
    gc.disable()
    try:
        address = f"ws://127.0.0.1:{served.port}/ws/projects/p1"
        headers = {"Authorization": f"Bearer {token('leaving')}"}
        for code in (1000, 3000):
            async with connect(address, additional_headers=headers, compression=None) as client:
                assert json.loads(await client.recv())["type"] == "welcome"
                assert alive() >= 3
                await client.close(code)
        await until(lambda: alive() == 0, "the end of what was kept for the connections")
    finally:
        gc.enable()
