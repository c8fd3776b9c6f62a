"""Makes a commit of each revision and archive, behind them and in nobody's way.

What is to be committed waits in MongoDB, so a worker that is killed leaves it to the next. Of all
workers with the same workspaces one commits at a time, and a project's commits are made in order.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn, Protocol

import structlog

from rtserver.git.command import Git, GitError
from rtserver.git.commit import Commit, Person
from rtserver.git.repository import NoRepositoryError, NotNowError, Repository
from rtserver.lib.backoff import Backoff
from rtserver.lib.waiting import is_set_within
from rtserver.model.errors import StoreUnavailableError
from rtserver.observe.metrics import MetricsRegistry
from rtserver.revisions.commits import PendingCommit
from rtserver.revisions.model import RevisionStore
from rtserver.revisions.turns import Turn, Turns

LOOK_S = 10.0
"""How often to look for what a killed worker left, and again at a repository that is busy."""
OFFER_TIMEOUT_S = 5.0
MOST_WAIT = timedelta(hours=20)
"""Contents that no revision has, as those of specs, are kept for a day."""
RETRY_S, MAX_RETRY_S = 1.0, 10.0
OUTCOMES = ("committed", "unchanged", "no_repository", "failed", "dropped")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A commit in the queue, under the name by which it is removed."""

    name: object
    commit: PendingCommit


class CommitQueue(Protocol):
    """What waits to be committed in the workspaces of a place, in order.

    All raise StoreUnavailableError where MongoDB does not answer.
    """

    async def add(self, place: str, commit: PendingCommit) -> bool:
        """Put one in at the end; False where its project has too many already."""

    async def projects(self, place: str) -> Sequence[str]:
        """The projects that have any."""

    async def first(self, place: str, project_id: str) -> Waiting | None:
        """The first of a project."""

    async def remove(self, name: object) -> None:
        """Take one out."""


class CommitMetrics:
    """What became of commits: `commits_total` by `outcome`."""

    def __init__(self, registry: MetricsRegistry) -> None:
        self.commits_total = registry.counter(
            "commits",
            "Commits of revisions and archives in workspaces",
            ["outcome"],
            [[outcome] for outcome in OUTCOMES],
        )


class Committer:
    """`run` is the loop; the caller owns its task, and that of what is offered."""

    def __init__(
        self,
        queue: CommitQueue,
        revisions: RevisionStore,
        git: Git,
        turns: Turns,
        metrics: CommitMetrics,
        *,
        root: Path,
        holder: str,
        lease_s: float,
    ) -> None:
        """Make it.

        Args:
            queue: where it waits.
            revisions: has the contents.
            git: runs git.
            turns: whose turn it is.
            metrics: counts.
            root: the folder with the projects' workspaces.
            holder: names this process.
            lease_s: how long another waits for a sign of life before it takes over.
        """
        self._queue = queue
        self._revisions = revisions
        self._git = git
        self._metrics = metrics
        self._root = root
        self._place = f"{os.uname().nodename}:{root.resolve()}"
        self._turn = Turn(turns, f"$commits:{self._place}", holder=holder, lease_s=lease_s)
        self._offered = asyncio.Event()
        self._not_now: dict[str, str] = {}

    async def offer(
        self, commit: PendingCommit, contents: Mapping[str, bytes | None] | None = None
    ) -> None:
        """Have something committed. Raises nothing: what goes wrong is logged and counted.

        Args:
            commit: what.
            contents: those of its files that no revision has.
        """
        try:
            async with asyncio.timeout(OFFER_TIMEOUT_S):
                if contents is not None:
                    await self._revisions.keep(
                        {path: each for path, each in contents.items() if each is not None}
                    )
                is_in = await self._queue.add(self._place, commit)
        except (StoreUnavailableError, TimeoutError) as error:
            self._over("dropped", commit, problem=str(error) or "the database does not answer")
            return
        if not is_in:
            self._over("dropped", commit, problem="too many wait for their commits already")
        self._offered.set()

    async def run(self) -> NoReturn:
        """Commit what waits, until cancelled. Never gives up."""
        backoff = Backoff(RETRY_S, MAX_RETRY_S)
        while True:
            wait_s = LOOK_S
            self._offered.clear()
            try:
                if await self._queue.projects(self._place) and not await self._turn.take(
                    self._commit_all
                ):
                    wait_s = self._turn.renew_s  # another worker is at it, and may be killed
                backoff.reset()
            except* StoreUnavailableError as group:
                _log.warning("commits_wait", error=str(group.exceptions[0]))
                wait_s = backoff.next_s()
            except* Exception:  # noqa: BLE001 - whatever it is, the next try may go well
                _log.exception("commits_wait")
                wait_s = backoff.next_s()
            await is_set_within(self._offered, wait_s)

    async def _commit_all(self) -> None:
        for project_id in await self._queue.projects(self._place):
            while (waiting := await self._queue.first(self._place, project_id)) is not None:
                try:
                    await self._commit(waiting.commit)
                except NotNowError as error:
                    if self._not_now.get(project_id) != str(error):
                        self._not_now[project_id] = str(error)
                        _log.info("commits_wait", project_id=project_id, why=str(error))
                    if datetime.now(UTC) - waiting.commit.at < MOST_WAIT:
                        break
                    self._over("dropped", waiting.commit, problem=f"for too long {error}")
                else:
                    self._not_now.pop(project_id, None)
                await self._queue.remove(waiting.name)

    async def _commit(self, pending: PendingCommit) -> None:
        """Make one commit, or say why there is none.

        Raises:
            NotNowError: the repository is in the middle of something.
            StoreUnavailableError: MongoDB does not answer.
        """
        files: dict[str, bytes | None] = {}
        for path, sha256 in pending.files.items():
            files[path] = None if sha256 is None else await self._revisions.content(sha256)
            if sha256 is not None and files[path] is None:
                self._over("failed", pending, problem="its contents are not kept any more")
                return
        commit = Commit(
            Person.of(pending.actor), pending.at, pending.message, files, pending.folders
        )
        try:
            made = await Repository(self._git, self._root / pending.project_id).commit(commit)
        except NoRepositoryError as error:
            self._over("no_repository", pending, problem=str(error))
        except (GitError, OSError) as error:
            self._over("failed", pending, problem=str(error))
        else:
            self._over("unchanged" if made is None else "committed", pending, oid=made)

    def _over(self, outcome: str, pending: PendingCommit, **details: str | None) -> None:
        self._metrics.commits_total.labels(outcome).inc()
        say = _log.warning if outcome in ("failed", "dropped") else _log.debug
        what = pending.message.partition("\n")[0]
        say(f"commit_{outcome}", project_id=pending.project_id, commit=what, **details)
