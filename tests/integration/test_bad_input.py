"""Input that no honest client sends: each gets its answer, and the neighbours notice nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest
from websockets.exceptions import InvalidStatus

from tests.integration.conftest import ALLOWED_ORIGIN, Pair
from tests.support.api import api
from tests.support.sockets import open_socket, session

BAD_PROJECTS = {
    "slash": "a/b",
    "parent": "..",
    "up": "../../etc",
    "hidden": ".git",
    "option": "-rf",
    "nul": "a\0b",
    "newline": "a\nb",
    "long": "x" * 10_000,
    "workers": "$workers",
    "blank": " ",
    "not-ascii": "pr\u00f6jekt",
}
BAD_PROPOSALS = {**BAD_PROJECTS, "reserved": "archive", "backslash": "..\\x", "empty": ""}

BAD_MESSAGES: dict[str, tuple[str | bytes, str]] = {
    "not-json": ("nonsense", "malformed"),
    "empty": ("", "malformed"),
    "array": ("[]", "malformed"),
    "number": ("7", "malformed"),
    "null": ("null", "malformed"),
    "no-type": ("{}", "malformed"),
    "type-is-a-number": ('{"type":7}', "malformed"),
    "unknown-type": ('{"type":"zap"}', "unknown_type"),
    "long-type": (json.dumps({"type": "z" * 60_000}), "unknown_type"),
    "a-frame-of-ours": ('{"type":"welcome"}', "unknown_type"),
    "field-missing": ('{"type":"view"}', "invalid"),
    "field-of-another-kind": ('{"type":"view","proposal_ids":{"a":1}}', "invalid"),
    "deep": ("[" * 30_000 + "]" * 30_000, "malformed"),
    "deep-within": ('{"type":"view","proposal_ids":' + "[" * 60_000, "malformed"),
    "binary": (b"\x00\x01\xff", "binary"),
    "too-large": (json.dumps({"type": "view", "x": "y" * 70_000}), "too_large"),
    "half-a-pair": ('{"type":"view","proposal_ids":["\\ud800"]}', "malformed"),
    "huge-number": ('{"type":"view","proposal_ids":[1e999999]}', "malformed"),
    "nan": ('{"type":"view","proposal_ids":[NaN]}', "malformed"),
}


@asynccontextmanager
async def unharmed_neighbour(pair: Pair, project: str) -> AsyncIterator[None]:
    """Somebody else who goes on getting events while something bad happens."""
    async with (
        session(pair.one.address, project, user="neighbour") as neighbour,
        api(pair.other.address) as service,
    ):
        yield
        await service.publish(project, "as ever")
        async with asyncio.timeout(10):
            assert (await neighbour.recv_events(1))[0]["data"] == "as ever"
        assert [frame["type"] for frame in neighbour.frames] == ["welcome", "test.event"]


async def turned_away(pair: Pair, path: str, why: str) -> None:
    """A browser shows its page nothing of a refused upgrade, so it is said after it."""
    async with await open_socket(pair.one.address, path=path) as socket:
        code, closing = await socket.closed()
    assert (code, closing["code"], closing["reconnect"]) == (4400, 4400, False)
    assert closing["reason"].startswith(why)


@pytest.mark.gen_test
@pytest.mark.parametrize("project_id", BAD_PROJECTS.values(), ids=BAD_PROJECTS)
async def test_bad_project_ids(pair: Pair, project: str, project_id: str) -> None:
    async with unharmed_neighbour(pair, project), api(pair.one.address) as service:
        name = quote(project_id, safe="").replace(".", "%2E")  # or clients resolve the dots
        await turned_away(pair, f"/ws/projects/{name}", "project id")
        for method, path in (
            ("GET", f"/api/v1/projects/{name}"),
            ("GET", f"/api/v1/projects/{name}/events"),
            ("POST", f"/api/v1/projects/{name}/events"),
            ("POST", f"/api/v1/projects/{name}/proposals"),
        ):
            response = await service.http.request(method, path, json={"type": "a.b"})
            assert response.status_code == 400, (method, path, response.text)
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["reason"] == "bad_identifier"
            assert len(response.content) < 1000


@pytest.mark.gen_test
@pytest.mark.parametrize("proposal_id", BAD_PROPOSALS.values(), ids=BAD_PROPOSALS)
async def test_bad_proposal_ids(pair: Pair, project: str, proposal_id: str) -> None:
    async with unharmed_neighbour(pair, project), api(pair.one.address) as service:
        body = {"id": proposal_id, "title": "t"}
        answer = await service.post(f"/api/v1/projects/{project}/proposals", body, 400)
        assert answer["reason"] == "bad_identifier"
        if proposal_id:
            name = quote(proposal_id, safe="").replace(".", "%2E")
            answer = await service.post(f"/api/v1/proposals/{name}/validations", None, 400)
            assert answer["reason"] == "bad_identifier"
        async with session(pair.one.address, project) as client:
            answer = await client.ask("start_validation", proposal_id=proposal_id)
            assert answer["type"] == "error"
            assert answer["reason"] == "bad_identifier"
            assert len(json.dumps(answer)) < 1000
        query = quote(proposal_id, safe="")
        await turned_away(pair, f"/ws/projects/{project}?proposal_id={query}", "proposal id")


@pytest.mark.gen_test
@pytest.mark.parametrize(("message", "reason"), BAD_MESSAGES.values(), ids=BAD_MESSAGES)
async def test_bad_messages(pair: Pair, project: str, message: str | bytes, reason: str) -> None:
    async with unharmed_neighbour(pair, project), session(pair.one.address, project) as client:
        await client.send(message)
        answer = await client.recv()
        assert answer["type"] == "error"
        assert answer["reason"] == reason
        assert answer["error"]
        assert len(json.dumps(answer)) < 1000
        assert (await client.ask("view", proposal_ids=[]))["type"] == "ack"


@pytest.mark.gen_test
async def test_error_names_the_request_that_it_answers(pair: Pair, project: str) -> None:
    async with session(pair.one.address, project) as client:
        for request_id in ("r1", 7):
            await client.send({"type": "zap", "request_id": request_id})
            assert (await client.recv())["request_id"] == request_id
            await client.send({"type": "view", "request_id": request_id})
            assert (await client.recv())["request_id"] == request_id
        answer = await client.ask("cancel_validation", run_id="none-such")
        assert (answer["type"], answer["reason"]) == ("error", "not_found")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        (ALLOWED_ORIGIN, True),
        ("http://{address}", True),
        ("https://evil.example.com", False),
        (f"{ALLOWED_ORIGIN}.evil.example", False),
        ("http://127.0.0.1:1", False),
        ("null", False),
    ],
)
async def test_origin_is_checked(
    pair: Pair, project: str, origin: str | None, allowed: bool
) -> None:
    headers = {} if origin is None else {"Origin": origin.replace("{address}", pair.one.address)}
    if allowed:
        async with session(pair.one.address, project, headers=headers):
            return
    with pytest.raises(InvalidStatus) as refused:
        await open_socket(pair.one.address, project, headers=headers)
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body or b"")["reason"] == "origin"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"nonsense", 400),
        (b"[" * 100_000 + b"]" * 100_000, 422),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"type":"nodot"}', 422),
        (b'{"type":"output","data":{}}', 422),
        (b'{"type":"a.b","proposal_id":"../x"}', 422),
        (b'{"type":"a.b","audience":"everybody"}', 422),
        (b'{"type":"a.b","audience":{"users":[]}}', 422),
        (b'{"type":"a.b","data":"' + b"x" * 70_000 + b'"}', 413),
        (b'{"events":[]}', 422),
        (b'{"type":"a.b","data":' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400),
    ],
)
async def test_bad_publications(pair: Pair, project: str, content: bytes, status: int) -> None:
    async with unharmed_neighbour(pair, project), api(pair.one.address) as service:
        response = await service.http.post(f"/api/v1/projects/{project}/events", content=content)
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
