"""How git is run."""

from pathlib import Path

import pytest

from rtserver.git.command import Git, GitError
from rtserver.runs.process.environment import tool_environment
from rtserver.runs.process.limits import ToolLimits
from tests.support.git import git, needs_git, repository

ROOT = Path(__file__).parents[3]


@needs_git
@pytest.mark.gen_test
async def test_it_says_what_git_says_and_knows_no_repository_above(tmp_path: Path) -> None:
    ours = Git(tool_environment(ROOT), ToolLimits())
    assert ours.is_there()
    inner = repository(tmp_path, {}) / "workspace"
    inner.mkdir()
    with pytest.raises(GitError, match="not a git repository"):
        await ours.ask(inner, "rev-parse", "HEAD")
    oid = await ours.ask(tmp_path, "hash-object", "--stdin", stdin=[b"a", b"b"])
    assert len(oid) == 41


@pytest.mark.gen_test
async def test_it_is_missed_where_it_is_not_installed(tmp_path: Path) -> None:
    ours = Git({"PATH": str(tmp_path)}, ToolLimits())
    assert not ours.is_there()
    with pytest.raises(GitError, match="command not found"):
        await ours.ask(tmp_path, "status")


@needs_git
@pytest.mark.gen_test
async def test_no_program_that_a_repository_names_is_run(tmp_path: Path) -> None:
    folder = repository(tmp_path / "w", {"a": "a"})
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    git(folder, "config", "core.fsmonitor", str(trap))
    git(folder, "status")
    assert (tmp_path / "sprung").exists(), "the trap works"
    (tmp_path / "sprung").unlink()
    await Git(tool_environment(ROOT), ToolLimits()).ask(folder, "status")
    assert not (tmp_path / "sprung").exists()
