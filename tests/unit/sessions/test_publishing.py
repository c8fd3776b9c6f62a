import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rtserver.audit.record.auditor import Auditor
from rtserver.eventlog.api import PublicationTooLargeError, Published
from rtserver.lib.tasks import TaskOwner
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import AUDIT_PROJECT, EventDraft
from rtserver.model.identity import Role
from rtserver.sessions.publishing import (
    MAX_TOGETHER,
    MAX_UNDER_WAY,
    MAX_UNDER_WAY_BYTES,
    SocketPublishing,
)
from tests.support.fakes import MemoryLog
from tests.support.recorder import LogRecorder
from tests.support.waiting import until
from tests.unit.audit.parts import auditing
from tests.unit.sessions.parts import Client, Stage

SERVICE = frozenset({Role.SERVICE})
MESSAGE_BYTES = 40_000


def message(number: int, data: object = None, **more: object) -> str:
    """A command that publishes the number."""
    event = {"type": "a.b", "data": number if data is None else data}
    return json.dumps({"type": "publish", "event": event, "request_id": number, **more})


class Log(MemoryLog):
    """A log that answers when the test says so.

    Attributes:
        calls: the data of each publication, and its key.
        error: what becomes of those of more than one event, or of all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[list[Any], str | None]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def publish(self, drafts: Sequence[EventDraft], **more: Any) -> Published:
        self.calls.append(([draft.fields["data"] for draft in drafts], more["key"]))
        await self.gate.wait()
        if self.error is not None and (
            len(drafts) > 1 or not isinstance(self.error, PublicationTooLargeError)
        ):
            raise self.error
        return await super().publish(drafts, **more)


class Scene:
    """A service's connection, and the log that it publishes to."""

    def __init__(self, tasks: TaskOwner, log: Log, client: Client, auditor: Auditor) -> None:
        self.tasks, self.log, self.client, self.auditor = tasks, log, client, auditor

    def answers(self, kind: str) -> list[dict[str, Any]]:
        """The frames of a kind."""
        return [frame for frame in self.client.frames if frame["type"] == kind]

    def acknowledged(self) -> list[dict[str, Any]]:
        """What all acks say, in order."""
        return [entry for ack in self.answers("ack") for entry in ack["published"]]


@contextlib.asynccontextmanager
async def scene(
    tmp_path: Path, roles: frozenset[Role] = SERVICE
) -> AsyncIterator[tuple[Scene, MemoryLog]]:
    """A service that was welcomed, and the audit log."""
    async with auditing(tmp_path) as (auditor, audit_log):
        log = Log()
        tasks = TaskOwner()
        publishing = SocketPublishing(log, auditor, tasks, max_data_bytes=MESSAGE_BYTES)
        stage = Stage(
            takers=publishing.table(), max_message_bytes=MESSAGE_BYTES, outbox_bytes=1 << 22
        )
        yield Scene(tasks, log, await stage.joined(roles=roles), auditor), audit_log
        await tasks.finish("publish")
        assert not publishing._under_way, "nothing is kept of what is done"


async def records(auditor: Auditor, log: MemoryLog) -> list[dict[str, Any]]:
    """What was recorded."""
    await auditor.flush()
    packs = log.packs.get(AUDIT_PROJECT, [])
    return [json.loads(event.payload) for pack in packs for event in pack.events()]


@pytest.mark.gen_test
async def test_one_is_acknowledged_with_its_id(tmp_path: Path) -> None:
    async with scene(tmp_path) as (at, audit):
        ack = await at.client.say(message(7))
        assert ack["request_id"] == 7
        assert ack["published"] == [{"request_id": 7, "id": "e0e0-1"}]
        (record,) = await records(at.auditor, audit)
    assert (record["action"], record["outcome"]) == ("event.published", "allowed")
    assert (record["actor"], record["project_id"], record["target"]) == ("ada", "p1", "p1")
    assert record["connection_id"] == "c1"
    assert record["details"] == {"types": ["a.b"], "events": 1, "first": "e0e0-1"}


@pytest.mark.gen_test
async def test_what_comes_at_once_is_stored_answered_and_recorded_together(tmp_path: Path) -> None:
    async with scene(tmp_path) as (at, audit):
        for number in range(MAX_TOGETHER + 5):
            at.client.session.on_message(message(number))
        await until(lambda: len(at.answers("ack")) == 2, "two acks")
        assert [entry["request_id"] for entry in at.acknowledged()] == list(range(105))
        assert [entry["id"] for entry in at.acknowledged()] == [f"e0e0-{n}" for n in range(1, 106)]
        assert [ack["request_id"] for ack in at.answers("ack")] == [None, None]
        assert [len(data) for data, _ in at.log.calls] == [MAX_TOGETHER, 5]
        stored = await records(at.auditor, audit)
    assert [record["details"]["events"] for record in stored] == [MAX_TOGETHER, 5]


@pytest.mark.gen_test
async def test_keys_stand_alone_and_in_order(tmp_path: Path) -> None:
    async with scene(tmp_path) as (at, _):
        for number in range(5):
            more = {"idempotency_key": "k"} if number == 2 else {}
            at.client.session.on_message(message(number, **more))
        await until(lambda: len(at.acknowledged()) == 5, "all acks")
        assert at.log.calls == [([0, 1], None), ([2], "publish:p1:ada:k"), ([3, 4], None)]


@pytest.mark.gen_test
async def test_what_is_too_large_together_goes_one_by_one(tmp_path: Path) -> None:
    async with scene(tmp_path) as (at, _):
        at.log.error = PublicationTooLargeError(1)
        for number in range(3):
            at.client.session.on_message(message(number))
        await until(lambda: len(at.acknowledged()) == 3, "all acks")
        assert [data for data, _ in at.log.calls] == [[0, 1, 2], [0], [1], [2]]
        assert not at.answers("error")


@pytest.mark.gen_test
async def test_more_than_the_bound_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with scene(tmp_path) as (at, _):
        at.log.gate.clear()
        for number in range(MAX_UNDER_WAY + 1):
            at.client.session.on_message(message(number))
        (error,) = at.answers("error")
        assert (error["request_id"], error["reason"]) == (MAX_UNDER_WAY, "busy")
        at.log.gate.set()
        await until(lambda: len(at.acknowledged()) == MAX_UNDER_WAY, "all acks")
        await at.tasks.finish("publish")
        at.log.gate.clear()
        data = "x" * (MESSAGE_BYTES - 1000)
        fitting = MAX_UNDER_WAY_BYTES // len(message(2000, data))
        for number in range(2000, 2000 + fitting + 1):
            at.client.session.on_message(message(number, data))
        assert at.answers("error")[-1]["request_id"] == 2000 + fitting
        at.log.gate.set()
        await until(lambda: len(at.acknowledged()) == MAX_UNDER_WAY + fitting, "all acks")


@pytest.mark.gen_test
async def test_only_services_publish_and_others_are_held_to_their_rate(tmp_path: Path) -> None:
    async with scene(tmp_path, frozenset()) as (at, audit):
        frame = await at.client.say(message(1))
        assert (frame["reason"], frame["request_id"]) == ("forbidden", 1)
        (record,) = await records(at.auditor, audit)
        assert (record["outcome"], record["details"]["reason"]) == ("denied", "forbidden")
        for number in range(100):
            at.client.session.on_message(message(number))
        assert at.client.frames[-1]["code"] == 4029
        assert not at.log.calls


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (message(1, idempotency_key="tab\tkey"), "invalid"),
        (message(1, idempotency_key=""), "invalid"),
        ('{"type":"publish","event":{"type":"undotted"},"request_id":1}', "bad_identifier"),
        ('{"type":"publish","event":{"type":"a.b","audience":"x"},"request_id":1}', "invalid"),
        ('{"type":"publish","request_id":1}', "invalid"),
    ],
)
async def test_what_cannot_be_published(tmp_path: Path, text: str, reason: str) -> None:
    async with scene(tmp_path) as (at, _):
        frame = await at.client.say(text)
        assert (frame["type"], frame["request_id"]) == ("error", 1)
        assert frame["reason"] == reason
        assert not at.log.calls


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("error", "reason"),
    [(StoreUnavailableError("gone"), "unavailable"), (RuntimeError("a secret"), "internal")],
)
async def test_each_is_told_where_the_log_failed(
    tmp_path: Path, logs: LogRecorder, error: Exception, reason: str
) -> None:
    logs.expect("command_failed")
    async with scene(tmp_path) as (at, audit):
        at.log.error = error
        for number in range(2):
            at.client.session.on_message(message(number))
        await until(lambda: len(at.answers("error")) == 2, "errors")
        frames = at.answers("error")
        assert [(f["request_id"], f["reason"]) for f in frames] == [(0, reason), (1, reason)]
        assert "secret" not in str(frames)
        (record,) = await records(at.auditor, audit)
    assert (record["details"]["reason"], record["outcome"]) == (reason, "failed")
