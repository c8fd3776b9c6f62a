"""The queue of commits is worked off in order, whatever a repository is in the middle of."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rtserver.git.command import Git
from rtserver.model.errors import StoreUnavailableError
from rtserver.observe.metrics import MetricsRegistry
from rtserver.revisions.commits import PendingCommit
from rtserver.revisions.committing import MOST_WAIT, OUTCOMES, CommitMetrics, Committer, Waiting
from rtserver.runs.process.environment import tool_environment
from rtserver.runs.process.limits import ToolLimits
from tests.support.git import git, needs_git, repository
from tests.support.recorder import LogRecorder
from tests.support.waiting import running, until
from tests.unit.revisions.test_turns import Turns

pytestmark = needs_git


class Queue:
    """`CommitQueue` in memory, with room for three."""

    def __init__(self) -> None:
        self.waiting: list[PendingCommit] = []
        self.is_away = False

    async def add(self, place: str, commit: PendingCommit) -> bool:
        if self.is_away:
            raise StoreUnavailableError("away")
        if len(self.waiting) == 3:
            return False
        self.waiting.append(commit)
        return True

    async def projects(self, place: str) -> list[str]:
        return sorted({commit.project_id for commit in self.waiting})

    async def first(self, place: str, project_id: str) -> Waiting | None:
        found = (commit for commit in self.waiting if commit.project_id == project_id)
        commit = next(found, None)
        return None if commit is None else Waiting(commit, commit)

    async def remove(self, name: object) -> None:
        self.waiting.remove(name)  # type: ignore[arg-type]


class Contents:
    """As much of a `RevisionStore` as there is use for."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    async def keep(self, contents: dict[str, bytes]) -> None:
        for content in contents.values():
            self._kept[hashlib.sha256(content).hexdigest()] = content

    async def content(self, sha256: str) -> bytes | None:
        return self._kept.get(sha256)


class Case:
    """A committer, what it has to do, and what it counted."""

    def __init__(self, root: Path) -> None:
        self.queue = Queue()
        contents: Any = Contents()
        metrics = CommitMetrics(MetricsRegistry())
        self._counter = metrics.commits_total
        self.committer = Committer(
            self.queue,
            contents,
            Git(tool_environment(Path("/")), ToolLimits()),
            Turns(),
            metrics,
            root=root,
            holder="me",
            lease_s=3,
        )

    async def offer(self, project_id: str, text: str, *, ago: timedelta = timedelta()) -> None:
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        await self.committer.offer(
            PendingCommit(project_id, "ada", datetime.now(UTC) - ago, text, {"f": sha256}),
            {"f": text.encode()},
        )

    def counts(self) -> dict[str, float]:
        of = {outcome: self._counter.labels(outcome)._value.get() for outcome in OUTCOMES}
        return {outcome: count for outcome, count in of.items() if count}


@pytest.mark.gen_test
async def test_what_waits_is_committed_in_order(tmp_path: Path, logs: LogRecorder) -> None:
    logs.expect("commit_dropped")
    work = repository(tmp_path / "p1", {})
    git(work, "checkout", "--quiet", "--detach")
    case = Case(tmp_path)
    for text in ("one", "two", "two"):
        await case.offer("p1", text)
    await case.offer("p1", "no room")
    assert case.counts() == {"dropped": 1}
    async with running(case.committer.run()):
        await until(lambda: any(line["event"] == "commits_wait" for line in logs.lines), "it waits")
        git(work, "checkout", "--quiet", "main")
        case.queue.waiting.pop()
        await case.offer("p2", "none")  # also wakes it
        await until(lambda: not case.queue.waiting, "all is done")
    assert git(work, "log", "--format=%s").split() == ["two", "one", "begin"]
    assert case.counts() == {"committed": 2, "no_repository": 1, "dropped": 1}


@pytest.mark.gen_test
async def test_what_goes_wrong_is_said_and_holds_nothing_up(
    tmp_path: Path, logs: LogRecorder
) -> None:
    logs.expect("commit_dropped", "commit_failed")
    work = repository(tmp_path / "p1", {})
    case = Case(tmp_path)
    case.queue.is_away = True
    await case.offer("p1", "lost")
    case.queue.is_away = False
    case.queue.waiting.append(
        PendingCommit("p1", None, datetime.now(UTC), "pruned", {"f": "0" * 64})
    )
    await case.offer("p1", "good")
    async with running(case.committer.run()):
        await until(lambda: not case.queue.waiting, "all is done")
        assert git(work, "log", "--format=%s").split() == ["good", "begin"]
        git(work, "checkout", "--quiet", "--detach")
        await case.offer("p1", "old", ago=2 * MOST_WAIT)
        await until(lambda: not case.queue.waiting, "it is given up")
    assert case.counts() == {"committed": 1, "failed": 1, "dropped": 2}
