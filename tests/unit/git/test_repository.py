"""Commits in real repositories that people use meanwhile."""

import asyncio
import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtserver.git.command import Git, GitError
from rtserver.git.commit import Commit, Person
from rtserver.git.index import LOCK, OWN_LOCK, READY
from rtserver.git.repository import NoRepositoryError, NotNowError, Repository
from rtserver.runs.process.environment import tool_environment
from rtserver.runs.process.limits import ToolLimits
from tests.support.git import git, needs_git, repository, write

pytestmark = needs_git
FOLDER = "openspec/changes/x"
FIRST = {f"{FOLDER}/proposal.md": "one\n", f"{FOLDER}/old.md": "old\n", "README.md": "r\n"}
FILES: dict[str, bytes | None] = {f"{FOLDER}/proposal.md": b"two\n", f"{FOLDER}/new.md": b"new\n"}


def _commit(files: dict[str, bytes | None] = FILES) -> Commit:
    return Commit(Person.of("ada"), datetime.now(UTC), "x: revision 2\n", files, (FOLDER,))


def _repository(workspace: Path) -> Repository:
    return Repository(Git(tool_environment(Path("/")), ToolLimits()), workspace)


@pytest.mark.gen_test
async def test_those_files_are_committed_and_all_else_stays(tmp_path: Path) -> None:
    work = repository(tmp_path / "w", FIRST)
    trap = work / ".git" / "hooks"
    for hook in ("reference-transaction", "post-index-change", "pre-commit", "post-commit"):
        (trap / hook).write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
        (trap / hook).chmod(0o755)
    write(work, {"README.md": "staged\n", "other": "new\n", f"{FOLDER}/new.md": "new\n"})
    git(work, "add", "README.md", "other")
    assert (tmp_path / "sprung").exists(), "the hooks work"
    (tmp_path / "sprung").unlink()
    write(work, {"README.md": "not staged\n", f"{FOLDER}/proposal.md": "two\n"})
    (work / FOLDER / "old.md").unlink()

    made = await _repository(work).commit(_commit())
    assert not (tmp_path / "sprung").exists()
    assert made == git(work, "rev-parse", "main")
    assert git(work, "show", "--format=%an|%ae|%cn|%s", "--name-status", "HEAD").split() == [
        "ada|ada@users.rtserver.invalid|rtserver|x:",
        *("revision", "2"),
        *("A", f"{FOLDER}/new.md", "D", f"{FOLDER}/old.md", "M", f"{FOLDER}/proposal.md"),
    ]
    assert git(work, "show", f"HEAD:{FOLDER}/proposal.md") == "two"
    assert git(work, "status", "--short").splitlines() == ["MM README.md", "A  other"]
    assert git(work, "show", ":README.md") == "staged"
    git(work, "fsck", "--strict")
    assert not (work / ".git" / LOCK).exists()

    assert await _repository(work).commit(_commit()) is None
    assert made == git(work, "rev-parse", "main")


@pytest.mark.gen_test
async def test_what_was_staged_of_the_files_themselves_stays_too(tmp_path: Path) -> None:
    work = repository(tmp_path, FIRST)
    write(work, {f"{FOLDER}/proposal.md": "half\n"})
    git(work, "add", FOLDER)
    write(work, {f"{FOLDER}/proposal.md": "two\n"})
    await _repository(work).commit(_commit({f"{FOLDER}/proposal.md": b"two\n"}))
    assert git(work, "show", f":{FOLDER}/proposal.md") == "half"
    assert git(work, "status", "--short").splitlines() == [
        f"MM {FOLDER}/proposal.md",
        f"?? {FOLDER}/old.md",
    ]


@pytest.mark.gen_test
async def test_it_waits_where_the_repository_is_in_the_middle_of_something(
    tmp_path: Path,
) -> None:
    work = repository(tmp_path / "w", FIRST)
    head = git(work, "rev-parse", "HEAD")
    commit = _repository(work).commit

    (work / ".git" / "MERGE_HEAD").write_text(f"{head}\n")
    with pytest.raises(NotNowError, match="a merge is under way"):
        await commit(_commit())
    (work / ".git" / "MERGE_HEAD").unlink()
    git(work, "checkout", "--quiet", "--detach")
    with pytest.raises(NotNowError, match="no branch"):
        await commit(_commit())
    git(work, "checkout", "--quiet", "--orphan", "none")
    with pytest.raises(NotNowError, match="no commit yet"):
        await commit(_commit())
    git(work, "checkout", "--quiet", "--force", "main")
    git(work, "config", "hook.mine.command", "touch sprung")
    with pytest.raises(GitError, match="names hooks"):
        await commit(_commit())
    git(work, "config", "--unset", "hook.mine.command")
    assert git(work, "rev-parse", "main") == head
    assert await commit(_commit()) is not None


@pytest.mark.gen_test
async def test_a_repository_that_is_not_the_workspaces_own_is_none(tmp_path: Path) -> None:
    above = repository(tmp_path / "above", {})
    (above / "w").mkdir()
    with pytest.raises(NoRepositoryError):
        await _repository(above / "w").commit(_commit())
    elsewhere = repository(tmp_path / "w", {})
    git(elsewhere, "config", "core.worktree", str(above))
    with pytest.raises((NoRepositoryError, GitError)):
        await _repository(elsewhere).commit(_commit())
    assert git(above, "rev-list", "--count", "HEAD") == "1"


def _commits_past_the_index(work: Path) -> str:
    """As `git fetch . other:main` does."""
    while True:
        parent = git(work, "rev-parse", "main")
        oid = git(work, "commit-tree", f"{parent}^{{tree}}", "-p", parent, "-m", "person")
        with contextlib.suppress(AssertionError):  # the server was quicker
            git(work, "update-ref", "refs/heads/main", oid, parent)
            return oid


@pytest.mark.gen_test
async def test_whoever_commits_at_once_loses_nothing(tmp_path: Path) -> None:
    work = repository(tmp_path, FIRST)

    async def server(name: bytes) -> list[str | None]:
        texts = [b"%s %d\n" % (name, n) for n in range(3)]
        return [
            await _repository(work).commit(_commit({f"{FOLDER}/proposal.md": text}))
            for text in texts
        ]

    async def person() -> list[str]:
        return [await asyncio.to_thread(_commits_past_the_index, work) for _ in range(4)]

    made = await asyncio.gather(server(b"one"), server(b"other"), person())
    assert {oid for each in made for oid in each} <= set(git(work, "rev-list", "main").split())
    assert git(work, "status", "--short").splitlines() == [
        f" M {FOLDER}/proposal.md",
        f"?? {FOLDER}/old.md",
    ]


@pytest.mark.gen_test
async def test_what_a_killed_worker_began_is_finished(tmp_path: Path) -> None:
    work = repository(tmp_path, FIRST)
    made = await _repository(work).commit(_commit())
    # As if it had been killed between the commit and the index's taking its place.
    (work / ".git" / "index").rename(work / ".git" / READY)
    git(work, "read-tree", "HEAD~")
    (work / ".git" / OWN_LOCK).touch()
    os.link(work / ".git" / OWN_LOCK, work / ".git" / LOCK)

    assert await _repository(work).commit(_commit()) is None
    assert git(work, "rev-parse", "main") == made
    assert git(work, "diff", "--cached", "--name-only") == ""
    assert not (work / ".git" / LOCK).exists()
