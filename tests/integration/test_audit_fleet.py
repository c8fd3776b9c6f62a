"""Four workers on one audit log and one archive, three of which are killed one after the other."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, count
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rtserver.audit.archive.file import TornFileError, archive_files, read_lines
from rtserver.audit.checkpoints.key_file import make_key_file
from rtserver.audit.record.chain import GENESIS, hash_of
from tests.support.api import api
from tests.support.cli import rtserver_many
from tests.support.lateness import lateness
from tests.support.mongo import MongodProcess
from tests.support.processes import wait_until
from tests.support.waiting import until
from tests.support.workers import Worker, Workers

LOST_S = 0.05
"""Of so much time at most the records of a killed worker are lost."""

WORKERS = 4
KILLS = 3
PUBLISHERS = 2
ACTIVE = "rtserver_audit_archive_active"
Line = dict[str, Any]


class Publisher:
    """Has acts recorded by a worker, one after the other, until it is gone or told to end.

    Attributes:
        project: where nobody else publishes.
        answered: when each was answered; its record was made before that.
    """

    def __init__(self, worker: Worker, project: str) -> None:
        self.project = project
        self.answered: list[datetime] = []
        self._worker = worker

    async def run(self, done: asyncio.Event) -> None:
        with contextlib.suppress(httpx2.HTTPError):
            async with api(self._worker.address) as service:
                while not done.is_set():
                    await service.publish(self.project, len(self.answered))
                    self.answered.append(datetime.now(UTC))


class Killed:
    """A worker that was killed at work, and what it had answered by then."""

    def __init__(self, worker: Worker, publishers: list[Publisher]) -> None:
        self.at = datetime.now(UTC)
        worker.kill()
        self.publishers = publishers

    def lost_s(self, recorded: dict[str, int]) -> list[float]:
        """How long before its end each act was answered whose record is not there."""
        return [
            (self.at - moment).total_seconds()
            for publisher in self.publishers
            for moment in publisher.answered[recorded.get(publisher.project, 0) :]
        ]


async def _until_active(workers: list[Worker]) -> Worker:
    found: list[Worker] = []

    def look() -> bool:
        found.extend(worker for worker in workers if worker.metric(ACTIVE))
        return bool(found)

    await asyncio.to_thread(wait_until, look, "somebody archives")
    return found[0]


def _lines(directory: Path) -> list[Line]:
    return [json.loads(line) for file in archive_files(directory) for line in read_lines(file)]


def _chains(lines: list[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line["chain"], []).append(line)
    return found


def _heads(lines: list[Line]) -> Iterator[tuple[str, str]]:
    """Which chain says where which one stands."""
    for line in lines:
        for head in (line.get("details") or {}).get("heads") or ():
            yield line["chain"], head["chain"]


# Among the soaks: it takes half a minute, and times of four busy workers on two processors.
@pytest.mark.soak
@pytest.mark.gen_test(timeout=180)
async def test_archive_and_chains_are_whole_though_those_who_write_them_are_killed(
    workers: Workers, mongod: MongodProcess, database: str, project: str, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    make_key_file(tmp_path / "key", "audit.example.com")
    signing = {
        "audit_signing_key_file": tmp_path / "key",
        "audit_checkpoints_dir": tmp_path / "outside",
    }
    settings: dict[str, Any] = {
        **signing,
        "audit_checkpoint_interval_s": 0.3,
        "lease_s": 5,  # on a busy machine the living were taken for lost with half of it
        "audit_archive_dir": archive,
        "audit_anchor_interval_s": 0.5,
    }
    fleet = await asyncio.to_thread(workers.start_many, WORKERS, **settings)
    done = asyncio.Event()
    numbers = count()
    at_work = {
        worker: [Publisher(worker, f"{project}-{next(numbers)}") for _ in range(PUBLISHERS)]
        for worker in fleet
    }
    acting = [asyncio.create_task(publisher.run(done)) for publisher in chain(*at_work.values())]
    killed: list[Killed] = []
    with lateness() as late_s:
        for _ in range(KILLS):
            victim = await _until_active(fleet)  # the one from which most depends
            publishers = at_work[victim]
            enough = [len(publisher.answered) + 20 for publisher in publishers]
            await until(
                lambda who=publishers, many=enough: all(  # type: ignore[misc]
                    len(one.answered) >= number for one, number in zip(who, many, strict=True)
                ),
                "work",
            )
            fleet.remove(victim)
            killed.append(Killed(victim, publishers))
        (survivor,) = fleet
        assert await _until_active(fleet) is survivor
        machine_s = late_s()
    done.set()
    await asyncio.gather(*acting)
    heir = await asyncio.to_thread(workers.start, **settings)
    spools = Path(str(heir.settings["data_dir"])) / "audit-spool"
    await until(lambda: len(list(spools.iterdir())) == 2, "the killed ones' spools delivered")

    with mongod.client() as client:
        registry = client[database].workers
        await until(lambda: registry.count_documents({}) == 2, "the killed ones told of")
        # It does at each renewal of its lease; none of those before it may have lived so long.
        told = client[database].audit_archives
        await until(
            lambda: told.count_documents({"epoch": {"$exists": True}}) == 1,
            "the archive's writer says how far it went",
        )
        verify = {
            name: heir.settings[name] for name in ("mongodb_uri", "mongodb_database", "data_dir")
        } | {"audit_archive_dir": archive, **signing}
        copied = tmp_path / "copied"
        shutil.copytree(archive, copied)
        archive_files(copied)[-1].unlink()
        living, shortened = await asyncio.to_thread(
            rtserver_many,
            (["audit", "verify", "--json"], verify),
            (["audit", "verify", "--json", str(copied)], verify),
        )
        for worker in (survivor, heir):
            assert worker.stop() == []
        newest = client[database].audit.find_one(sort=[("first", -1)])
        assert newest is not None
    report = json.loads(living.stdout)
    assert (living.returncode, report["findings"]) == (0, []), report
    states = sorted(one["state"] for one in report["chains"])
    # Where the machine stands still for longer than a lease, a living one is told of as lost too.
    lost = states.count("lost")
    assert KILLS <= lost <= KILLS + 2
    assert states == ["lost"] * lost + ["registered"] * (KILLS + 2 - lost)
    assert sum("killed or cut off" in note for note in report["notes"]) == lost
    assert all(one["signed"] for one in report["chains"])
    assert not any("could not be checked" in note for note in report["notes"])
    findings = json.loads(shortened.stdout)["findings"]
    assert shortened.returncode == 1
    assert [(one["kind"], one["where"]) for one in findings] == [("removed", str(copied))]

    # What the last one had no more time for is archived by the next.
    closer = await asyncio.to_thread(workers.start, **settings)

    def is_archived() -> bool:
        with contextlib.suppress(TornFileError):  # the newest file may be being written
            return len(_lines(archive)) >= int(newest["last"])
        return False

    await until(is_archived, "all of it archived")
    assert closer.stop() == []
    lines = _lines(archive)[: newest["last"]]
    seqs = [int(line["id"].rpartition("-")[2]) for line in lines]
    assert seqs == list(range(1, newest["last"] + 1))
    chains = _chains(lines)
    assert len(chains) == WORKERS + 1
    for one in chains.values():
        assert [line["n"] for line in one] == list(range(1, len(one) + 1))
        assert [line["prev"] for line in one] == [GENESIS, *(line["hash"] for line in one[:-1])]
        assert all(line["hash"] == hash_of(line) for line in one)
    vouched = set(_heads(lines))
    for name, (first, *_) in chains.items():
        others = {by for by, of in vouched if of == name and by != name}
        # None of the four could be rewritten with only one of the others. The heir came last.
        assert len(others) >= 2 or first["details"]["pid"] == heir.pid, (name, vouched)

    recorded: dict[str, int] = {}
    for line in lines:
        if line["action"] == "event.published":
            recorded[line["project_id"]] = recorded.get(line["project_id"], 0) + 1
    for publisher in at_work[survivor]:
        # One may have been under way when it was told to end.
        assert len(publisher.answered) <= recorded[publisher.project]
    lost_s = [lost for one in killed for lost in one.lost_s(recorded)]
    assert max(lost_s, default=0.0) <= LOST_S + machine_s, (lost_s, machine_s)


def test_what_counts_as_lost() -> None:
    """The measure itself: it has to tell a record that is missing from one that is there."""
    publisher = Publisher.__new__(Publisher)
    publisher.project = "p1"
    killed = Killed.__new__(Killed)
    killed.at = datetime(2026, 1, 31, tzinfo=UTC)
    publisher.answered = [killed.at - timedelta(seconds=0.2), killed.at - timedelta(seconds=0.01)]
    killed.publishers = [publisher]
    assert killed.lost_s({"p1": 2}) == []
    assert killed.lost_s({"p1": 1}) == [0.01]
    assert killed.lost_s({}) == [0.2, 0.01]
