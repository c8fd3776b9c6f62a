"""An admin's session on the audit log: filter, history, pause and resume."""

import json
from pathlib import Path
from typing import Any

import pytest

from rtserver.audit.live.commands import AuditCommands
from rtserver.audit.live.fanout import AuditFanout
from rtserver.audit.live.filter import EVERYTHING, AuditFilter
from rtserver.audit.live.reader import AuditReader
from rtserver.audit.live.session import AuditSession
from rtserver.audit.record.auditor import Auditor
from rtserver.model.events import AUDIT_PROJECT
from tests.support.fakes import MemoryLog
from tests.support.waiting import until
from tests.unit.audit.parts import auditing, record_of
from tests.unit.sessions.parts import Client, Stage

ADA = AuditFilter(actor="ada")


async def joined(
    auditor: Auditor,
    *,
    wanted: AuditFilter = EVERYTHING,
    history: int = 0,
    last_event_id: str | None = None,
    stored: int = 0,
) -> tuple[Stage, Client]:
    """An admin who watches a log in which so many records are; every third is ada's."""
    nothing: Any = None
    table = AuditCommands(nothing, MemoryLog(), auditor).table()
    stage = Stage(commands=table, recent_bytes=1, fanout=AuditFanout)
    for number in range(1, stored + 1):
        stage.log.append(AUDIT_PROJECT, record_of("ben" if number % 3 else "ada"))
    client = stage.client(project_id=AUDIT_PROJECT, user="root")
    entry = client.session.entry
    session = AuditSession(
        stage.services,
        client.transport,
        client.session.identity,
        entry,
        reader=AuditReader(stage.log),
        wanted=wanted,
        history=history,
    )
    client.session, client.documented_as = session, "audit"
    session.start(last_event_id)
    await until(client.is_live, "a live session")
    return stage, client


async def show(stage: Stage, *actors: str) -> None:
    """Let these users do something, and the session see it."""
    for actor in actors:
        await stage.dispatcher.on_packs([stage.log.append(AUDIT_PROJECT, record_of(actor))])


async def said(client: Client, **message: Any) -> dict[str, Any]:
    """The answer to a message; records may have come by then too."""
    await client.say(json.dumps({"request_id": 1, **message}))
    return [frame for frame in client.frames if frame["type"] in ("ack", "error")][-1]


@pytest.mark.gen_test
async def test_the_newest_that_match_come_first_where_history_is_asked_for(tmp_path: Path) -> None:
    async with auditing(tmp_path) as (auditor, _):
        stage, client = await joined(auditor, wanted=ADA, history=2, stored=10)
        welcome = client.frames[0]
        assert (welcome["type"], welcome["history"]) == ("welcome", 2)
        assert welcome["filter"] == {"actor": "ada"}
        assert client.seqs == [6, 9]
        await show(stage, "ben", "ada")
        assert client.seqs == [6, 9, 12]


@pytest.mark.gen_test
async def test_a_filter_holds_from_the_next_record_on(tmp_path: Path) -> None:
    async with auditing(tmp_path) as (auditor, log):
        stage, client = await joined(auditor)
        await show(stage, "ben")
        frame = await said(client, type="filter", actor="ada")
        assert (frame["type"], frame["filter"]) == ("ack", {"actor": "ada"})
        await show(stage, "ben", "ada")
        assert client.seqs == [1, 3]
        frame = await said(client, type="filter", action="no.such_action")
        assert (frame["type"], frame["reason"]) == ("error", "invalid")
        await show(stage, "ben", "ada")
        assert client.seqs == [1, 3, 5], "the filter is as it was"
        await auditor.flush()
        recorded = [
            json.loads(event.payload)["outcome"]
            for pack in log.packs[AUDIT_PROJECT]
            for event in pack.events()
        ]
        assert recorded == ["allowed", "failed"]


@pytest.mark.gen_test
async def test_what_comes_during_a_pause_is_sent_after_it(tmp_path: Path) -> None:
    async with auditing(tmp_path) as (auditor, _):
        stage, client = await joined(auditor)
        await show(stage, "ada")
        assert (await said(client, type="pause"))["paused"] is True
        await show(stage, "ben", "ada")
        assert client.seqs == [1]
        frame = await said(client, type="replay", **{"from": f"{stage.log.epoch}-0"})
        assert (frame["type"], frame["reason"]) == ("error", "paused")
        assert (await said(client, type="resume"))["paused"] is False
        await until(client.is_live, "a live session")
        await show(stage, "cleo")
        assert client.seqs == [1, 2, 3, 4]


@pytest.mark.gen_test
async def test_of_a_long_pause_the_newest_are_sent_and_the_rest_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtserver.audit.live.session.MAX_PAUSED_RECORDS", 2)
    async with auditing(tmp_path) as (auditor, _):
        stage, client = await joined(auditor, wanted=ADA)
        await said(client, type="pause")
        await show(stage, *["ada", "ben"] * 5)
        await said(client, type="resume")
        await until(client.is_live, "a live session")
        (gap,) = [frame for frame in client.frames if frame["type"] == "gap"]
        assert (gap["reason"], gap["lost"]) == ("paused", 3)
        assert gap["refetch"] == f"/api/v1/audit?after={stage.log.epoch}-0"
        assert client.seqs == [7, 9]


@pytest.mark.gen_test
async def test_a_session_that_is_not_on_the_audit_log_takes_no_such_command(
    tmp_path: Path,
) -> None:
    nothing: Any = None
    async with auditing(tmp_path) as (auditor, log):
        client = await Stage(commands=AuditCommands(nothing, log, auditor).table()).joined()
        with pytest.raises(TypeError, match="audit sessions"):
            await AuditCommands(nothing, log, auditor).pause(client.session, nothing)
