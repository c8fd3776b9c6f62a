"""Whoever is not let in leaves one record, whichever way they came and whatever was wrong."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from rtserver.app.server import Server
from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.catalogue import CATALOGUE
from tests.support.raw_http import raw_http
from tests.support.sockets import Frame, SocketClient, open_socket, session
from tests.support.tokens import token

EVENTS = "/api/v1/proposals/a-1/events"
STREAM = {"Accept": "text/event-stream"}
FOREIGN = {"Origin": "https://evil.example"}
ADA = token("ada", "p1")
ROOT = token("root", "none", roles=("admin",))
BEN = token("ben", "p2")

ACTIONS = [
    *("connection.*", "token.*", "audit.watched", "audit.read"),
    *("api.*", "limit.*", "message.*", "validation.*"),
]
WATCHED = "/ws/audit?" + "&".join([f"action={action}" for action in ACTIONS])
STRANGERS = f"{WATCHED}&log=strangers"
JOINED = {"count", "first", "last"}

Visit = Callable[[str], Awaitable[None]]


def http(
    path: str,
    status: int,
    signed: str = "",
    method: str = "GET",
    body: str = "",
    **headers: str,
) -> Visit:
    """A request that is answered with this status."""

    async def visit(address: str) -> None:
        sent = {"Host": address, **{name.replace("_", "-"): text for name, text in headers.items()}}
        if signed:
            sent["Authorization"] = f"Bearer {signed}"
        async with raw_http(address) as connection:
            await connection.send(method, path, sent, body)
            assert (await connection.read_head()).status == status, (path, connection.status)

    return visit


def stream(status: int, signed: str = "", path: str = EVENTS, **others: str) -> Visit:
    """The same for an event stream."""
    return http(path, status, signed, **{**STREAM, **others})


def socket(path: str, signed: str, code: int) -> Visit:
    """A WebSocket that is closed at once with this code, or refused with this status."""

    async def visit(address: str) -> None:
        if code >= 1000:
            client = await open_socket(address, path=path, token=signed)
            assert (await client.closed())[0] == code
            return
        with pytest.raises(InvalidStatus) as refused:
            await open_socket(address, path=path, token=signed, headers=FOREIGN)
        assert refused.value.response.status_code == code

    return visit


def sockjs(message: str, code: int) -> Visit:
    """A SockJS session whose first message ends it."""

    async def visit(address: str) -> None:
        path = "/sockjs/projects/websocket"
        client = await open_socket(address, path=path, token="")
        await client.ws.send(message)
        closing = json.loads(await client.ws.recv())
        assert (closing["type"], closing["code"]) == ("closing", code)
        await client.close()

    return visit


def hello(**fields: Any) -> str:
    return json.dumps({"type": "hello", "project_id": "p1", "token": ADA, **fields})


@dataclass(frozen=True, slots=True)
class Case:
    """A way to be refused.

    Attributes:
        visit: what is done.
        action, outcome, reason, actor: what the one record of it says.
    """

    visit: Visit
    action: str
    outcome: str
    reason: str
    actor: str | None = None


DENIED, TOKEN = "connection.denied", "token.refused"
CASES = {
    "stream, no token": Case(stream(401), TOKEN, "denied", "missing"),
    "stream, bad token": Case(stream(401, "no.token"), TOKEN, "denied", "malformed"),
    "stream, not theirs": Case(stream(403, BEN), DENIED, "denied", "forbidden", "ben"),
    "stream, no such": Case(
        stream(404, ADA, "/api/v1/proposals/none/events"), DENIED, "failed", "not_found", "ada"
    ),
    "stream, bad id": Case(
        stream(400, ADA, "/api/v1/proposals/a%20b/events"),
        DENIED,
        "failed",
        "bad_identifier",
        "ada",
    ),
    "stream, not taken": Case(
        stream(406, ADA, Accept="text/html"), DENIED, "failed", "not_acceptable", "ada"
    ),
    "stream, foreign page": Case(stream(403, ADA, **FOREIGN), DENIED, "denied", "origin", "ada"),
    "stream, looked at": Case(
        stream(404, ADA, "/api/v1/proposals/none/events", method="HEAD"),
        DENIED,
        "failed",
        "not_found",
        "ada",
    ),
    "socket, no token": Case(socket("/ws/projects/p1", "", 4001), TOKEN, "denied", "missing"),
    "socket, not theirs": Case(
        socket("/ws/projects/p1", BEN, 4003), DENIED, "denied", "forbidden", "ben"
    ),
    "socket, bad id": Case(
        socket("/ws/projects/a%20b", ADA, 4400), DENIED, "failed", "bad_identifier", "ada"
    ),
    "socket, foreign page": Case(socket("/ws/projects/p1", ADA, 403), DENIED, "denied", "origin"),
    "socket, no upgrade": Case(
        http("/ws/projects/p1", 426, ADA), DENIED, "failed", "upgrade_required"
    ),
    "audit, no token": Case(socket("/ws/audit", "", 4001), TOKEN, "denied", "missing"),
    "audit, no admin": Case(socket("/ws/audit", ADA, 4003), DENIED, "denied", "not_admin", "ada"),
    "audit, foreign page": Case(socket("/ws/audit", ROOT, 403), DENIED, "denied", "origin"),
    "audit, no such filter": Case(
        socket("/ws/audit?actr=ada", ROOT, 4400), DENIED, "failed", "invalid", "root"
    ),
    "audit, no such action": Case(
        socket("/ws/audit?action=lock.*&action=lok.*", ROOT, 4400),
        DENIED,
        "failed",
        "invalid",
        "root",
    ),
    "audit, bad history": Case(
        socket("/ws/audit?history=many", ROOT, 4400), DENIED, "failed", "invalid", "root"
    ),
    "reading, no such filter": Case(
        http("/api/v1/audit?actr=ada", 422, ROOT), "audit.read", "failed", "invalid", "root"
    ),
    "reading, bad place": Case(
        http("/api/v1/audit?after=here", 400, ROOT), "audit.read", "failed", "invalid", "root"
    ),
    "reading, of another log": Case(
        http("/api/v1/audit?after=abcdefgh-1", 409, ROOT), "audit.read", "failed", "lost", "root"
    ),
    "reading, no admin": Case(
        http("/api/v1/audit", 403, ADA), "audit.read", "denied", "not_admin", "ada"
    ),
    "reading, looked at": Case(
        http("/api/v1/audit?actr=ada", 422, ROOT, method="HEAD"),
        "audit.read",
        "failed",
        "invalid",
        "root",
    ),
    "listing, no admin": Case(
        http("/api/v1/connections", 403, ADA), "connection.listed", "denied", "not_admin", "ada"
    ),
    "SockJS, foreign page": Case(
        http("/sockjs/projects/0/a/xhr", 403, method="POST", **FOREIGN), DENIED, "denied", "origin"
    ),
    "SockJS socket, foreign page": Case(
        socket("/sockjs/projects/websocket", "", 403), DENIED, "denied", "origin"
    ),
    "SockJS, no hello": Case(sockjs("{}", 4400), DENIED, "failed", "protocol_error"),
    "SockJS, no token": Case(sockjs(hello(token=""), 4001), TOKEN, "denied", "missing"),
    "SockJS, not theirs": Case(
        sockjs(hello(token=BEN), 4003), DENIED, "denied", "forbidden", "ben"
    ),
    "SockJS, bad id": Case(
        sockjs(hello(project_id="a b"), 4400), DENIED, "failed", "protocol_error"
    ),
}
"""What is refused, and the record of it."""

MISTAKES: dict[str, dict[str, object]] = {
    "no such action": {"action": ["lok.*"]},
    "no such outcome": {"outcome": "perhaps"},
    "no such condition": {"actr": "ada"},
    "no time": {"since": "yesterday"},
}


async def _records(
    watcher: SocketClient, server: Server, *, of_strangers: bool = False
) -> list[Frame]:
    """What was recorded since the last time, in one of the logs."""
    audit = server.features.audit
    audit.joined.flush()
    auditor = audit.strangers.auditor if of_strangers else audit.auditor
    auditor.record(Action.LIMIT_HIT, by=Acting(), target="so far")
    found = await watcher.recv_until(lambda frame: frame.get("target") == "so far")
    return [frame for frame in found if frame["type"] == "audit"][:-1]


@pytest.mark.gen_test
async def test_whoever_is_not_let_in_leaves_one_record(server: Server) -> None:
    address = f"127.0.0.1:{server.port}"
    created = json.dumps({"id": "a-1", "title": "A"})
    await http("/api/v1/projects/p1/proposals", 201, ADA, "POST", created)(address)
    observer = token("observer", "none", roles=("admin",))
    async with (
        session(address, path=WATCHED, token=observer) as watcher,
        session(address, path=STRANGERS, token=observer) as strangers,
    ):
        await _records(watcher, server)
        for name, case in CASES.items():
            await case.visit(address)
            apart = await _records(strangers, server, of_strangers=True)
            assert bool(apart) is (case.actor is None), name
            found = await _records(watcher, server)
            if apart:  # joined at last, as it came at first
                assert len(found) <= len(apart), name
                found = apart
            told = [
                (one["action"], one["outcome"], one["details"].get("reason"), one["actor"])
                for one in found
            ]
            assert told == [(case.action, case.outcome, case.reason, case.actor)], name
            (record,) = found
            assert record["ip"] == "127.0.0.1", name
            known = {*CATALOGUE[Action(case.action)].details, *JOINED}
            assert set(record["details"]) <= known, name
            if case.action == DENIED:
                assert record["details"]["transport"] in ("websocket", "sse", "sockjs"), name


@pytest.mark.gen_test
async def test_a_filter_that_is_none_is_recorded_once(server: Server) -> None:
    address = f"127.0.0.1:{server.port}"
    observer = token("observer", "none", roles=("admin",))
    async with (
        session(address, path=WATCHED, token=observer) as watcher,
        session(address, path="/ws/audit?actor=nobody", token=ROOT) as other,
    ):
        await _records(watcher, server)
        for name, mistake in MISTAKES.items():
            assert (await other.ask("filter", **mistake))["type"] == "error", name
            (record,) = await _records(watcher, server)
            assert (record["action"], record["outcome"]) == ("audit.watched", "failed"), name
            assert (record["actor"], record["details"]["change"]) == ("root", True), name
            assert record["details"]["reason"] == "invalid", name
        await other.send("{}")
        assert (await other.recv_type("error"))["reason"] == "malformed"
        (record,) = await _records(watcher, server)
        assert (record["action"], record["outcome"]) == ("message.refused", "failed")


MESSAGES: dict[str, tuple[str | bytes, str, str]] = {
    "no JSON": ("{", "message.refused", "malformed"),
    "no such command": ('{"type": "shout"}', "message.refused", "unknown_type"),
    "not as text": (b"{}", "message.refused", "binary"),
    "too long": ('"' + "a" * 300_000 + '"', "message.refused", "too_large"),
    "a view of nothing": ('{"type": "view", "proposal_ids": 7}', "message.refused", "invalid"),
    "a run of nothing": ('{"type": "start_validation"}', "validation.started", "invalid"),
    "no token": ('{"type": "refresh_token", "token": 7}', "token.refreshed", "invalid"),
}


@pytest.mark.gen_test
async def test_a_message_that_becomes_no_command_is_recorded_once(server: Server) -> None:
    address = f"127.0.0.1:{server.port}"
    observer = token("observer", "none", roles=("admin",))
    async with session(address, path=WATCHED, token=observer) as watcher:
        for name, (message, action, reason) in MESSAGES.items():
            async with session(address, "p1", token=ADA) as client:
                await _records(watcher, server)
                await client.send(message)
                assert (await client.recv_type("error"))["reason"] == reason, name
                (record,) = await _records(watcher, server)
                told = (record["action"], record["outcome"], record["details"]["reason"])
                assert told == (action, "failed", reason), name
                assert (record["actor"], record["project_id"]) == ("ada", "p1"), name
                assert set(record["details"]) <= set(CATALOGUE[Action(action)].details), name
