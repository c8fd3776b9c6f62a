"""Each revision and archive is a commit in the workspace's repository, whichever worker made it."""

import asyncio

import pytest

from tests.integration.conftest import Pair
from tests.integration.test_reviewing import CHANGE, DELTA, reviewed, spec_of
from tests.support.git import git, needs_git, repository
from tests.support.node import OPENSPEC
from tests.support.waiting import until

pytestmark = needs_git


@pytest.mark.gen_test(timeout=60)
async def test_revisions_of_two_workers_and_an_archive_are_commits(
    pair: Pair, project: str
) -> None:
    spec_of(pair, project)
    work = repository(pair.workspace(project), {"README.md": "r\n"})
    (work / "README.md").write_text("somebody's\n")

    async def subjects_are(*expected: str) -> None:
        await until(
            lambda: git(work, "log", "--reverse", "--format=%s").splitlines()[1:] == [*expected],
            "all is committed",
        )

    async with reviewed(pair, project, {**CHANGE, "specs/loans/spec.md": DELTA}) as case:
        body = {"base": 1, "files": {"design.md": "d\n"}, "note": "why"}
        await case.ada.post(f"{case.path}/revisions", body)
        body = {"base": 2, "files": {"design.md": None}}
        await case.ben.post(f"{case.path}/revisions", body)
        made = [f"{case.id}: revision {n}" for n in (1, 2, 3)]
        await subjects_are(*made)
        trailers = await asyncio.to_thread(git, work, "log", "-1", "--format=%b", "HEAD~")
        assert trailers.splitlines()[:4] == ["why", "", f"Proposal: {case.id}", "Revision: 2"]
        assert "Actor: ada" in trailers
        assert git(work, "log", "-1", "--format=%an") == "ben"
        if not OPENSPEC.exists():
            return
        await case.ben.approve(case.id)
        await case.ben.patch(case.path, {"status": "approved"})
        await case.ada.patch(case.path, {"status": "archived"})
        await subjects_are(*made, f"{case.id}: archived")
        changed = git(work, "show", "--name-status", "--no-renames", "--format=", "HEAD")
        assert "M\topenspec/specs/loans/spec.md" in changed
        assert f"D\topenspec/changes/{case.id}/proposal.md" in changed
        assert "A\topenspec/changes/archive/" in changed
        # The index takes its place a moment after the branch has moved.
        await until(lambda: git(work, "status", "--short") == " M README.md", "nothing is staged")
