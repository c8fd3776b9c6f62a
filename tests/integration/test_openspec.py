"""The real OpenSpec validator, through a running server, beside itself in a shell."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rtserver.demo.project import DEMO_PROJECT_ID
from tests.support.api import api
from tests.support.node import OPENSPEC, tool_environment
from tests.support.sockets import Frame, session
from tests.support.workers import Workers

AS_WE_CALL_IT = ("--type", "change", "--strict", "--no-interactive")
TIMES = ("durationMs", "duration_ms")


def openspec(
    workspace: Path, proposal_id: str, *options: str
) -> "subprocess.CompletedProcess[str]":
    """The validator in a shell, as a person calls it who never did before."""
    return subprocess.run(
        [OPENSPEC, "validate", proposal_id, *AS_WE_CALL_IT, *options],
        cwd=workspace,
        env={
            **tool_environment(),
            "HOME": str(workspace.parent / "new-user"),
            **({} if options else {"FORCE_COLOR": "1"}),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def without_times(report: Any) -> Any:
    """A report but for how long it took."""
    if isinstance(report, dict):
        return {name: without_times(part) for name, part in report.items() if name not in TIMES}
    return [without_times(part) for part in report] if isinstance(report, list) else report


def printed(frames: list[Frame], stream: str) -> list[str]:
    return [frame["line"] for frame in frames if frame["stream"] == stream]


@pytest.mark.gen_test
@pytest.mark.skipif(not OPENSPEC.exists(), reason="openspec is not installed: run `npm ci`")
async def test_real_validator_passes_and_fails_as_in_a_shell(workers: Workers) -> None:
    worker = await asyncio.to_thread(workers.start, "--demo")
    workspace = workers.directory / "workspaces" / DEMO_PROJECT_ID
    for folder in ("var", "var/audit-spool", "workspaces"):
        assert (workers.directory / folder).stat().st_mode & 0o777 == 0o700, folder
    async with api(worker.address, "ada", roles=()) as ada:

        async def compare(proposal_id: str, status: str, exit_code: int) -> None:
            async with session(
                worker.address, DEMO_PROJECT_ID, proposal_ids=[proposal_id]
            ) as viewer:
                run = await ada.post(f"/api/v1/proposals/{proposal_id}/validations", None, 202)
                frames = await viewer.recv_until("validation_complete", 60)
            start, *lines, end = [frame for frame in frames if frame.get("run_id")]
            assert (start["type"], start["proposal_id"]) == ("validation_start", proposal_id)
            assert {frame["run_id"] for frame in (start, *lines, end)} == {run["run_id"]}
            shell, report = await asyncio.gather(
                asyncio.to_thread(openspec, workspace, proposal_id),
                asyncio.to_thread(openspec, workspace, proposal_id, "--json"),
            )
            assert printed(lines, "stdout") == shell.stdout.splitlines()
            assert printed(lines, "stderr") == shell.stderr.splitlines()
            assert lines
            assert [line["n"] for line in lines] == list(range(1, len(lines) + 1))
            assert end["status"] == status
            summary = end["summary"]
            assert summary["exit_code"] == shell.returncode == exit_code
            assert summary["lines"] == len(lines)
            in_shell = json.loads(report.stdout)
            in_shell["root"]["path"] = "."  # viewers are not told where the server keeps its files
            assert without_times(summary["report"]) == without_times(in_shell)
            assert summary["report"]["items"][0]["valid"] is (status == "passed")
            assert (await ada.get(f"/api/v1/runs/{run['run_id']}"))["state"] == status

        await asyncio.gather(
            compare("add-hold-queue", "passed", 0), compare("waive-late-fees", "failed", 1)
        )
