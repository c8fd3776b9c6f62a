"""`audit` and `audit verify` as an operator uses them, and what a killed worker leaves."""

import asyncio
import contextlib
import itertools
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rtserver.audit_archive_file import archive_files
from rtserver.events import rfc3339
from tests.integration.conftest import Pair
from tests.support.api import api
from tests.support.cli import rtserver, rtserver_many, start_rtserver
from tests.support.processes import end, wait_until
from tests.support.sockets import session
from tests.support.workers import Worker, Workers
from tests.unit.waiting import until

LOST_MS = 50
"""Of so much time at most the records of a killed worker are lost."""


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
        assert [line["action"] for line in _lines(some.stdout)][:2] == [
            "event.published",
            "lock.acquired",
        ]
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


async def _publish_until_it_dies(address: str, project: str, answered: list[datetime]) -> None:
    """Note when each publication was answered; the n-th record of its kind tells of it."""
    with contextlib.suppress(httpx2.HTTPError):
        async with api(address) as service:
            while True:
                await service.publish(project, len(answered))
                answered.append(datetime.now(UTC))


@pytest.mark.gen_test
async def test_a_killed_worker_loses_a_moment_at_most_and_its_chain_says_so(
    workers: Workers, project: str, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    killed = await asyncio.to_thread(workers.start, lease_s=1, audit_archive_dir=archive)
    answered: list[list[datetime]] = [[], [], []]
    publishing = [
        asyncio.create_task(_publish_until_it_dies(killed.address, f"{project}-{number}", times))
        for number, times in enumerate(answered)
    ]
    await until(lambda: all(len(times) > 60 for times in answered), "work")
    killed_at = datetime.now(UTC)
    killed.kill()
    await asyncio.gather(*publishing)
    heir = await asyncio.to_thread(workers.start, lease_s=1, audit_archive_dir=archive)
    await _recorded(heir, "action=worker.lost")
    spools = Path(str(heir.settings["data_dir"])) / "audit-spool"
    await until(lambda: len(list(spools.iterdir())) == 1, "the killed one's spool delivered")
    counts = [
        len(await _recorded(heir, f"action=event.published&project_id={project}-{number}"))
        for number in range(3)
    ]
    # How slow this machine is at the moment: what is due after a time comes that much later.
    gaps = [b - a for times in answered for a, b in itertools.pairwise(times)]
    safe = killed_at - timedelta(milliseconds=LOST_MS) - max(gaps)
    for times, count in zip(answered, counts, strict=True):
        assert count >= sum(moment < safe for moment in times)

    await until(lambda: heir.metric("rtserver_audit_archive_active") == 1, "it archives")
    copied = tmp_path / "copied"
    shutil.copytree(archive, copied)
    archive_files(copied)[-1].unlink()
    settings = {**_settings(heir), "audit_archive_dir": archive}
    both, less = await asyncio.to_thread(
        rtserver_many,
        (["audit", "verify", "--json"], settings),
        (["audit", "verify", "--json", str(copied)], settings),
    )
    report = json.loads(both.stdout)
    assert (both.returncode, report["findings"]) == (0, []), report
    assert less.returncode == 1
    (finding,) = json.loads(less.stdout)["findings"]
    assert (finding["kind"], finding["where"]) == ("removed", str(copied))
    states = [chain["state"] for chain in report["chains"]]
    assert states in (["lost", "registered"], ["registered", "lost"])
    assert any("killed or cut off" in note for note in report["notes"])
