"""`audit` and `audit verify` as an operator uses them."""

import asyncio
import json
import os
import pwd
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rtserver.app.operator import records as app_operator_records
from rtserver.cli.main import main
from rtserver.model.moments import rfc3339
from tests.integration.conftest import Pair
from tests.support.api import api
from tests.support.cli import rtserver, rtserver_many, start_rtserver
from tests.support.processes import end, wait_until
from tests.support.sockets import session
from tests.support.waiting import until
from tests.support.workers import Worker


def _settings(worker: Worker) -> dict[str, Any]:
    names = ("mongodb_uri", "mongodb_database", "data_dir")
    return {name: worker.settings[name] for name in names}


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def _recorded(worker: Worker, filters: str) -> list[dict[str, Any]]:
    """The records that match, as soon as there are some."""
    found: list[dict[str, Any]] = []

    async def look() -> bool:
        page = await admin.get(f"/api/v1/audit?{filters}&limit=1000")
        found[:] = page["records"]
        return bool(found)

    async with api(worker.address, "root", ("admin",)) as admin:
        await until(look, filters)
    return found


@pytest.mark.gen_test
async def test_the_log_is_read_by_filter_and_followed(
    pair: Pair, project: str, tmp_path: Path
) -> None:
    settings = _settings(pair.one)
    async with api(pair.one.address) as service, api(pair.other.address, "ada", ()) as ada:
        await service.publish_many(project, 3)
        await ada.put(f"/api/v1/projects/{project}/lock", {"reason": "Mine"})
        await ada.post(f"/api/v1/projects/{project}/events", {"type": "a.b"}, status=403)
        async with session(pair.one.address, project, user="ada"):
            pass

        def reads(*arguments: str) -> tuple[list[str], dict[str, Any]]:
            return ["audit", "--project", project, *arguments], settings

        cases = [
            reads("--json"),
            reads("--json", "--actor", "ada", "--outcome", "denied"),
            reads("--json", "--action", "lock.*", "--action", "event.published"),
            reads("--json", "--history", "1", "--action", "lock.*"),
            reads("--json", "--since", rfc3339(datetime.now(UTC) + timedelta(days=1))),
            reads("--action", "lock.*"),
        ]
        # Either worker writes its own records at its own time: no order holds between the two.
        for last in ("action=connection.closed", "action=event.published&outcome=denied"):
            await _recorded(pair.other, f"project_id={project}&{last}")
        everything, denied, some, newest, none, plain = await asyncio.to_thread(
            rtserver_many, *cases
        )
        # Six readings, each with its filter, by who sits at this shell.
        read = await _recorded(pair.other, "action=audit.read&outcome=allowed")
        told = [line for line in read if line["details"].get("via") == "shell"]
        filters = [line["details"]["filter"] for line in told[-6:]]
        assert {"project_id": project, "actor": "ada", "outcome": "denied"} in filters
        assert [line["details"].get("history") for line in told[-6:]].count(1) == 1
        assert {(line["actor"], line["ip"]) for line in told} == {
            (pwd.getpwuid(os.getuid()).pw_name, None)
        }
        actions = [line["action"] for line in _lines(everything.stdout)]
        assert set(actions) == {
            "event.published",
            "lock.acquired",
            "connection.opened",
            "connection.closed",
        }
        assert {(line["actor"], line["outcome"]) for line in _lines(denied.stdout)} == {
            ("ada", "denied")
        }
        assert {line["action"] for line in _lines(some.stdout)} == {
            "event.published",
            "lock.acquired",
        }
        (line,) = _lines(newest.stdout)
        assert line["action"] == "lock.acquired"
        assert none.stdout == ""
        assert f"lock.acquired           actor=ada  project={project}" in plain.stdout

        printed = tmp_path / "followed"
        follow = start_rtserver(
            *cases[0][0], "--history", "1", "--follow", stdout=printed, **settings
        )
        try:
            await asyncio.to_thread(wait_until, lambda: bool(printed.read_text()), "history")
            watched = await _recorded(pair.other, "action=audit.watched")
            assert {"filter": {"project_id": project}, "history": 1, "via": "shell"}.items() <= (
                watched[-1]["details"].items()
            )
            await ada.delete(f"/api/v1/projects/{project}/lock", status=204)
            await asyncio.to_thread(
                wait_until, lambda: "lock.released" in printed.read_text(), "the record"
            )
        finally:
            assert end(follow)
        assert follow.returncode == 0
        assert [line["action"] for line in _lines(printed.read_text())] == [
            actions[-1],
            "lock.released",
        ]


def test_the_log_of_living_workers_is_verified(pair: Pair) -> None:
    done = rtserver("audit", "verify", **_settings(pair.one))
    assert done.returncode == 0, done
    assert done.stdout.endswith("clean\n")
    assert "registered" in done.stdout


@pytest.mark.gen_test
async def test_what_is_published_from_a_shell_is_recorded(pair: Pair, project: str) -> None:
    command = ["publish", project, "build.finished", '{"ok": true}', "--key", "1"]
    settings = _settings(pair.one)
    done, twice = [await asyncio.to_thread(rtserver, *command, **settings) for _ in range(2)]
    assert done.stdout == twice.stdout
    (_, again) = await asyncio.to_thread(
        rtserver_many,
        (["publish", project, "a.b", "{}", "--key", "1"], settings),
        (["audit", "verify"], settings),
    )
    assert again.stdout.endswith("clean\n"), again
    found = await _recorded(pair.one, f"action=event.published&project_id={project}")
    assert [line["outcome"] for line in found] == ["allowed", "allowed", "failed"]
    first, second, refused = (line["details"] for line in found)
    assert (first["types"], first["first"]) == (["build.finished"], done.stdout.strip())
    assert (first.get("duplicate"), second["duplicate"]) == (None, True)
    assert refused["reason"] == "key_reused"
    assert {one["via"] for one in (first, second, refused)} == {"shell"}


def test_without_a_record_nothing_is_shown(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, so that MongoDB can be kept from taking it."""
    for name, value in _settings(pair.one).items():
        monkeypatch.setenv(f"RT_{name.upper()}", str(value))
    monkeypatch.setattr(app_operator_records, "RECORDED_S", 0.01)  # less than a record gathers
    assert main(["audit"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "can't be recorded in the audit log" in said.err
