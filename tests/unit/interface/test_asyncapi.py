"""The document of the sockets has every message, in AsyncAPI's own form."""

import json
from typing import Any

import jsonschema_rs
import pytest

from handlers.routes import ASYNCAPI, OPENAPI, socket_routes
from rtserver.audit.live.commands import AuditCommands
from rtserver.interface.asyncapi import AUDIT_COMMANDS, PROJECT_COMMANDS, REPLIES, STORED
from rtserver.model.events import EventType
from rtserver.runs.commands import RunCommands
from rtserver.sessions.client_messages import type_of
from rtserver.sessions.commands import ProjectCommands
from rtserver.sessions.publishing import SocketPublishing
from tests.support.documents import UndocumentedFrameError, check_frame, document
from tests.support.processes import ROOT

NOTHING: Any = None
SPECIFICATION = ROOT / "node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"


def test_it_is_asyncapi() -> None:
    if not SPECIFICATION.exists():
        pytest.skip("the npm package @asyncapi/specs is needed")
    specification = json.loads(SPECIFICATION.read_text(encoding="utf-8"))
    validator = jsonschema_rs.validator_for(specification)
    assert [str(fault) for fault in validator.iter_errors(document(ASYNCAPI))] == []


def test_its_references_lead_somewhere() -> None:
    whole = document(ASYNCAPI)

    def walk(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, dict):
            if "$ref" in value:
                found = whole
                for part in value["$ref"].removeprefix("#/").split("/"):
                    found = found[part]
            for item in value.values():
                walk(item)

    walk(whole)


def test_channels_are_addresses_of_the_server() -> None:
    addresses = {channel["address"] for channel in document(ASYNCAPI)["channels"].values()}
    sockets = {route.path for route in socket_routes({})}
    assert sockets <= addresses
    assert addresses - sockets == {"/sockjs/projects", "/api/v1/proposals/{proposal_id}/events"}
    assert "/api/v1/proposals/{proposal_id}/events" in document(OPENAPI)["paths"]


def test_every_type_that_clients_get_has_a_message() -> None:
    tags = {kind.__struct_config__.tag for kind in STORED}
    assert tags == {*map(str, EventType), None} - {str(EventType.CONTROL)}


def test_every_command_has_its_answer() -> None:
    assert set(REPLIES) == {type_of(kind) for kind in (*PROJECT_COMMANDS, *AUDIT_COMMANDS)}


def test_the_commands_are_those_that_sessions_carry_out() -> None:
    project: Any = ProjectCommands(NOTHING, NOTHING).table()
    runs: Any = RunCommands(NOTHING, NOTHING, NOTHING, NOTHING).table()
    publishing: Any = SocketPublishing(NOTHING, NOTHING, NOTHING, max_data_bytes=0).table()
    assert {*project, *runs, *publishing} == set(PROJECT_COMMANDS)
    assert set(AuditCommands(NOTHING, NOTHING, NOTHING).table()) == set(AUDIT_COMMANDS)


EVENT = {"id": "abcd1234-7", "project_id": "p1", "ts": "2026-01-01T10:00:00.000Z"}
LINE = {**EVENT, "type": "output", "proposal_id": "p", "run_id": "r", "stream": "stdout", "n": 1}


def test_frames_as_they_should_be() -> None:
    check_frame({**LINE, "line": ""})
    check_frame({**EVENT, "type": "build.finished", "data": None, "actor": "svc"}, "events")
    check_frame({**EVENT, "type": "note.inserted", "data": {"id": 1}})
    check_frame({"type": "position", "id": "abcd1234-7"})


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"type": "thing"},
        {"type": "build"},
        {**LINE},  # without the line
        {**LINE, "line": "", "stream": "stdin"},
        {**LINE, "line": "", "n": 0},
        {**LINE, "line": "", "more": 1},
        {**LINE, "line": "", "id": "7"},
        {**LINE, "line": "", "ts": "today"},
        {**EVENT, "type": "Build.finished", "data": None, "actor": "svc"},
        {**EVENT, "type": "build.finished", "actor": "svc"},
        {"type": "closing", "code": 1000, "reason": "", "reconnect": True, "retry_after_ms": 1},
        {"type": "ack", "request_id": 1, "anything": 1},
    ],
)
def test_frames_as_they_should_not_be(frame: dict[str, Any]) -> None:
    with pytest.raises(UndocumentedFrameError):
        check_frame(frame)


def test_a_position_is_no_frame_of_an_event_stream() -> None:
    with pytest.raises(UndocumentedFrameError):
        check_frame({"type": "position", "id": "abcd1234-7"}, "events")
