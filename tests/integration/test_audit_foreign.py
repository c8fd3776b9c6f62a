"""What is another project's is not there for who asks, and the attempt is recorded as denied."""

import json
from typing import Any

import pytest

from handlers.base.operations import METHODS, operation_of
from handlers.routes import http_routes
from rtserver.app.server import Server
from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.catalogue import CATALOGUE
from tests.support.api import Api, api
from tests.support.sockets import Frame, SocketClient, session
from tests.support.tokens import token

ADA, BEN = token("ada", "p1"), token("ben", "p2")
ROOT = token("root", "none", roles=("admin",))
BODY = {
    "text": "x",
    "title": "x",
    "instruction": "x",
    "status": "in_review",
    "verdict": "approve",
    "revision": 1,
    "base": 1,
    "files": {"proposal.md": "x"},
}
"""Enough for each request that has a body."""
NAMED = {"proposal_id", "run_id", "comment_id"}
STREAM = "/api/v1/proposals/{proposal_id}/events"
"""It says what it is that is forbidden, as sockets do."""


async def _records(watcher: SocketClient, server: Server) -> list[Frame]:
    """What was recorded of `ben` since the last time, but that connections come and go."""
    server.features.audit.auditor.record(Action.LIMIT_HIT, by=Acting(actor="ben"), target="so far")
    found = await watcher.recv_until(lambda frame: frame.get("target") == "so far")
    told = [frame for frame in found if frame["type"] == "audit"][:-1]
    return [record for record in told if not record["action"].startswith("connection.")]


def _requests() -> list[tuple[str, str]]:
    """Every request for a proposal, a run or a comment, by its path."""
    return [
        (method, route.template)
        for route in http_routes({})
        for method in METHODS
        if NAMED & set(route.parameters)
        and route.template != STREAM
        and operation_of(route.handler, method) is not None
    ]


async def _asked(who: Api, method: str, path: str, ids: dict[str, str]) -> Any:
    """The problem that a request is answered with, without the ids."""
    body = None if method == "GET" else json.dumps(BODY)
    where = path.format(**ids, revision="1", file_path="proposal.md")
    answer = await who.http.request(method, f"{where}?against=1", content=body)
    assert answer.status_code == 404, (method, path)
    text = answer.text
    for one in ids.values():
        text = text.replace(one, "it")
    return json.loads(text)


@pytest.mark.gen_test
async def test_every_request_for_what_is_anothers(server: Server) -> None:
    address = f"127.0.0.1:{server.port}"
    requests = _requests()
    assert len(requests) >= 8
    async with (
        api(address, token=ADA) as ada,
        api(address, token=BEN) as ben,
        session(address, path="/ws/audit?actor=ben", token=ROOT) as watcher,
    ):
        await ada.propose("p1", "a-1")
        run = await ada.post("/api/v1/proposals/a-1/validations", None, 202)
        await ada.run_ended(run["run_id"])
        comment = await ada.post("/api/v1/proposals/a-1/comments", {"text": "x"})
        ids = {"proposal_id": "a-1", "run_id": run["run_id"], "comment_id": comment["id"]}
        none = {**dict.fromkeys(NAMED, "0123456789abcdef"), "proposal_id": "a-0"}
        await _records(watcher, server)
        for method, path in requests:
            name = f"{method} {path}"
            theirs = await _asked(ben, method, path, ids)
            (record,) = await _records(watcher, server)
            assert (record["outcome"], record["actor"]) == ("denied", "ben"), name
            assert record["project_id"] == "p1", name
            assert record["target"] in ids.values(), name
            assert (record["details"]["reason"], record["details"]["status"]) == ("forbidden", 404)
            assert set(record["details"]) <= set(CATALOGUE[Action(record["action"])].details), name
            # Nothing tells the asker that there is such a thing.
            nobodys = await _asked(ben, method, path, none)
            assert nobodys == theirs, name
            found = await _records(watcher, server)
            assert [one["outcome"] for one in found] == ([] if method == "GET" else ["failed"]), (
                name
            )


@pytest.mark.gen_test
async def test_every_command_for_what_is_anothers(server: Server) -> None:
    address = f"127.0.0.1:{server.port}"
    async with (
        api(address, token=ADA) as ada,
        session(address, "p2", token=BEN) as ben,
        session(address, path="/ws/audit?actor=ben", token=ROOT) as watcher,
    ):
        await ada.propose("p1", "a-1")
        run = await ada.post("/api/v1/proposals/a-1/validations", None, 202)
        await ada.run_ended(run["run_id"])
        await _records(watcher, server)
        proposal, of_run = {"proposal_id": "a-1"}, {"run_id": run["run_id"]}
        for command, fields, action in (
            ("start_validation", proposal, "validation.started"),
            ("start_iteration", {**proposal, "instruction": "x"}, "iteration.started"),
            ("cancel_validation", of_run, "validation.cancelled"),
            ("cancel_iteration", of_run, "iteration.cancelled"),
        ):
            answer = await ben.ask(command, **fields)
            assert (answer["type"], answer["reason"]) == ("error", "not_found"), command
            (record,) = await _records(watcher, server)
            assert (record["action"], record["outcome"]) == (action, "denied"), command
            assert (record["actor"], record["project_id"]) == ("ben", "p1"), command
            assert record["details"]["reason"] == "forbidden", command
