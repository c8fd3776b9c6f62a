import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.auditor import Auditor
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import ForbiddenError, HiddenError, NotFoundError
from rtserver.model.events import AUDIT_PROJECT
from rtserver.runs.messages import StartIteration, StartValidation
from rtserver.sessions.audited_commands import RecordedRefusals, audited
from rtserver.sessions.client_messages import Command, MessageRefusedError, View
from rtserver.sessions.server_frames import Ack
from rtserver.sessions.session import Session
from tests.support.fakes import MemoryLog
from tests.support.recorder import LogRecorder
from tests.unit.audit.parts import auditing
from tests.unit.sessions.parts import Client, Handlers, Stage

RECORDED: dict[type[Command], Action] = {
    StartValidation: Action.VALIDATION_STARTED,
    StartIteration: Action.ITERATION_STARTED,
}
START = '{"type":"start_iteration","proposal_id":"asked-for","instruction":"Shorter"}'


class DoneAck(Ack):
    """What was done, though something else was asked for."""

    proposal_id: str
    run_id: str


async def records_of(auditor: Auditor, log: MemoryLog) -> list[dict[str, Any]]:
    """Everything that was recorded."""
    await auditor.flush()
    packs = log.packs.get(AUDIT_PROJECT, [])
    return [json.loads(event.payload) for pack in packs for event in pack.events()]


async def joined(auditor: Auditor, handlers: Handlers) -> Client:
    """A client whose commands are recorded."""
    return await Stage(commands=audited(auditor, handlers, RECORDED)).joined()


@pytest.mark.gen_test
async def test_a_record_says_what_the_answer_says(tmp_path: Path) -> None:
    async def start(_session: Session, _command: StartIteration) -> Ack:
        return DoneAck(proposal_id="done", run_id="r1")

    async with auditing(tmp_path) as (auditor, log):
        client = await joined(auditor, {StartIteration: start})
        await client.say(START)
        (record,) = await records_of(auditor, log)
    assert (record["action"], record["outcome"]) == ("iteration.started", "allowed")
    assert (record["actor"], record["project_id"], record["target"]) == ("ada", "p1", "done")
    assert record["details"] == {"run_id": "r1", "instruction": "Shorter"}


@pytest.mark.parametrize(
    ("error", "outcome", "reason", "project_id"),
    [
        (NotFoundError("none"), "failed", "not_found", "p1"),
        (ForbiddenError("no"), "denied", "forbidden", "p1"),
        (HiddenError("none", "p2"), "denied", "forbidden", "p2"),
        (RuntimeError("a fault"), "failed", "internal", "p1"),
    ],
)
@pytest.mark.gen_test
async def test_what_is_refused_or_fails_is_recorded_with_the_reason(
    tmp_path: Path,
    logs: LogRecorder,
    error: Exception,
    outcome: str,
    reason: str,
    project_id: str,
) -> None:
    if isinstance(error, RuntimeError):
        logs.expect("command_failed")

    async def start(_session: Session, _command: StartIteration) -> Ack:
        raise error

    async with auditing(tmp_path) as (auditor, log):
        client = await joined(auditor, {StartIteration: start})
        await client.say(START)
        (record,) = await records_of(auditor, log)
    assert (record["outcome"], record["target"]) == (outcome, "asked-for")
    assert (record["details"]["reason"], record["project_id"]) == (reason, project_id)


@pytest.mark.gen_test
async def test_a_command_that_is_cancelled_is_recorded_too(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def start(_session: Session, _command: StartIteration) -> Ack:
        begun.set()
        await asyncio.Event().wait()
        return Ack()

    async with auditing(tmp_path) as (auditor, log):
        client = await joined(auditor, {StartIteration: start})
        client.session.on_message(START)
        async with asyncio.timeout(5):
            await begun.wait()
            await client.session.services.tasks.stop()
        (record,) = await records_of(auditor, log)
    assert (record["action"], record["outcome"]) == ("iteration.started", "failed")


@pytest.mark.gen_test
async def test_what_records_itself_is_not_recorded_again(tmp_path: Path) -> None:
    async with auditing(tmp_path) as (auditor, log):

        async def start(_session: Session, _command: StartIteration) -> Ack:
            auditor.record(Action.ITERATION_STARTED, target="known better")
            return Ack()

        client = await joined(auditor, {StartIteration: start})
        await client.say(START)
        (record,) = await records_of(auditor, log)
    assert record["target"] == "known better"


@pytest.mark.gen_test
async def test_what_changes_nothing_is_not_recorded_and_acts_for_its_user(tmp_path: Path) -> None:
    seen: list[Acting] = []
    async with auditing(tmp_path) as (auditor, log):

        async def view(_session: Session, _command: View) -> Ack:
            seen.append(auditor.acting())
            return Ack()

        client = await joined(auditor, {View: view})
        await client.say('{"type":"view","proposal_ids":[]}')
        assert await records_of(auditor, log) == []
    assert [acting.actor for acting in seen] == ["ada"]


@pytest.mark.parametrize(
    ("refusal", "action", "outcome", "command"),
    [
        (("busy", "no", 1, "start_iteration"), "iteration.started", "denied", None),
        (("invalid", "no", 1, "start_validation"), "validation.started", "failed", None),
        (("invalid", "no", 1, "view"), "message.refused", "failed", "view"),
        (("malformed", "no"), "message.refused", "failed", None),
    ],
)
@pytest.mark.gen_test
async def test_a_message_that_becomes_no_command_is_recorded_as_what_it_was_meant_to_be(
    tmp_path: Path, refusal: tuple[Any, ...], action: str, outcome: str, command: str | None
) -> None:
    async with auditing(tmp_path) as (auditor, log):
        by = ConnectionRecord("c1", "w1", "ada", "p1", "websocket", 0.0)
        RecordedRefusals(auditor, RECORDED).record(by, MessageRefusedError(*refusal))
        (record,) = await records_of(auditor, log)
    assert (record["action"], record["outcome"]) == (action, outcome)
    assert record["details"].get("command") == command
    assert record["details"]["reason"] == refusal[0]
