"""Makes commits in a workspace's repository, and leaves the rest of it as it is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rtserver.git.command import Git, GitError
from rtserver.git.commit import (
    Commit,
    Entry,
    Tree,
    changes,
    entries,
    import_stream,
    index_lines,
)
from rtserver.git.index import IndexBusyError, LockedIndex, locked_index
from rtserver.lib.threads import see_through

MAX_ATTEMPTS = 5
BRANCHES = "refs/heads/"
UNDER_WAY = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisection",
}


class NoRepositoryError(Exception):
    """The workspace is not the top of a repository."""


class NotNowError(Exception):
    """The repository is in the middle of something; the message says of what."""


@dataclass(frozen=True, slots=True)
class _Head:
    git_dir: Path
    oid: str
    branch: str


class Repository:
    """The repository of a workspace."""

    def __init__(self, git: Git, workspace: Path) -> None:
        self._git = git
        self._workspace = workspace

    async def commit(self, commit: Commit) -> str | None:
        """Commit on the branch that is checked out; no hook is run, and no file touched.

        What is staged of the committed files is brought along where it was as in the commit
        before; all else that somebody staged stays. What was begun is seen through, also where the
        caller is cancelled: half of it would leave an index that undoes the commit.

        Returns:
            The commit's id; None where everything is so already.

        Raises:
            NoRepositoryError, NotNowError: see there.
            GitError: git refused, or the repository can't be written to.
        """
        if not await asyncio.to_thread((self._workspace / ".git").exists):
            raise NoRepositoryError("the workspace is no repository")
        await self._refuse_configured_hooks()
        git_dir = (await self._head()).git_dir
        made: list[str | None] = []

        async def work() -> None:
            try:
                async with _locked(git_dir) as index:
                    made.append(await self._commit(commit, index))
            except IndexBusyError as error:
                raise NotNowError(str(error)) from None
            except OSError as error:
                why = (error.strerror or "the system refused").lower()
                raise GitError(f"the repository can't be written to: {why}") from error

        if await see_through(work()):
            raise asyncio.CancelledError
        return made[0]

    async def _refuse_configured_hooks(self) -> None:
        """Raise where the configuration names hooks: no setting turns all of them off.

        Git runs these since 2.54, whatever `core.hooksPath` is.
        """
        listed = await self._git.ask(self._workspace, "config", "--list", "--name-only", "-z")
        if any(name.startswith(b"hook.") for name in listed.split(b"\0")):
            raise GitError(
                "the repository's configuration names hooks (hook.*), which might be run"
            )

    async def _head(self) -> _Head:
        words = ("--show-toplevel", "--absolute-git-dir", "HEAD", "--symbolic-full-name", "HEAD")
        try:
            answer = await self._git.ask(self._workspace, "rev-parse", *words)
        except GitError as error:
            if "ambiguous argument 'HEAD'" in str(error):
                raise NotNowError("there is no commit yet") from None
            raise
        top, git_dir, oid, branch = answer.decode("utf-8", "surrogateescape").splitlines()
        if Path(top) != await asyncio.to_thread(self._workspace.resolve):
            raise NoRepositoryError("the workspace is not the top of its repository")
        for name, what in UNDER_WAY.items():
            if (Path(git_dir) / name).exists():
                raise NotNowError(f"{what} is under way")
        if not branch.startswith(BRANCHES):
            raise NotNowError("no branch is checked out")
        return _Head(Path(git_dir), oid, branch)

    async def _commit(self, commit: Commit, index: LockedIndex) -> str | None:
        """Commit while nobody else changes the index. Others may move the branch all the same."""
        failed: GitError | None = None
        before: _Head | None = None
        for _ in range(MAX_ATTEMPTS):
            head = await self._head()
            tree = await self._tree(commit, head.oid)
            changed = await asyncio.to_thread(changes, commit, tree, head.oid)
            if not changed:
                if index.is_prepared():  # this attempt's, or that of a worker that was killed
                    await asyncio.to_thread(index.finish)
                return None if before is None else head.oid
            if failed is not None and head == before:
                raise failed
            before = head
            await asyncio.to_thread(index.discard)
            await self._prepare_index(commit, changed, tree, index)
            stream = import_stream(
                commit, changed, branch=head.branch, parent=head.oid, now=datetime.now(UTC)
            )
            try:
                answer = await self._git.ask(
                    self._workspace, "fast-import", "--quiet", stdin=stream
                )
            except GitError as error:
                failed = error
                continue
            await asyncio.to_thread(index.finish)
            return answer.decode().strip()
        raise failed or GitError("the branch moved on again and again")

    async def _tree(self, commit: Commit, parent: str) -> Tree:
        listed = await self._git.ask(
            self._workspace, "ls-tree", "-r", "-z", "--full-tree", parent, "--", *_places(commit)
        )
        return entries(listed, oid_at=2)

    async def _prepare_index(
        self, commit: Commit, changed: dict[str, Entry | None], tree: Tree, index: LockedIndex
    ) -> None:
        copy = await asyncio.to_thread(index.copy)
        if copy is None:
            return
        listed = await self._git.ask(
            self._workspace, "ls-files", "-s", "-z", "--", *_places(commit), index=copy
        )
        staged = entries(listed, oid_at=1)
        # Where somebody staged something else, that is theirs to commit, or not.
        same = {
            path: entry for path, entry in changed.items() if staged.get(path) == tree.get(path)
        }
        await self._git.ask(
            self._workspace,
            *("update-index", "-z", "--index-info"),
            stdin=[index_lines(same)],
            index=copy,
        )
        await asyncio.to_thread(index.prepare)


def _places(commit: Commit) -> list[str]:
    outside = [
        path
        for path in commit.files
        if not any(path.startswith(f"{folder}/") for folder in commit.folders)
    ]
    return [*commit.folders, *outside]


@contextlib.asynccontextmanager
async def _locked(git_dir: Path) -> AsyncIterator[LockedIndex]:
    with contextlib.ExitStack() as stack:
        yield await asyncio.to_thread(stack.enter_context, locked_index(git_dir))
