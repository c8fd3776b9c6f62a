"""A validator's report as viewers get it, without the places of the server, and what it means."""

from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from rtserver.runs.process.run import CapturedOutput, ProcessResult
from rtserver.runs.validation.outcome import (
    NoReportError,
    ValidationOutcome,
    report_of,
    unless_tool_failed,
)

WORKSPACE = Path("/srv/arbeitsplätze/p.1")


def report(said: Any, *, max_report_bytes: int = 1000) -> Any:
    ended = ProcessResult(0, None, timed_out=False, not_started=None, duration_ms=1)
    captured = CapturedOutput(ended, msgspec.json.encode(said), truncated=False)
    return report_of(captured, workspace=WORKSPACE, timeout_s=1, max_report_bytes=max_report_bytes)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"{WORKSPACE}", "."),
        (f"{WORKSPACE}/", "."),
        (f"{WORKSPACE}/openspec/größe.md", "openspec/größe.md"),
        (f"{WORKSPACE}/.hidden", ".hidden"),
        (f"in {WORKSPACE}.", "in .."),
        (f"'{WORKSPACE}' ({WORKSPACE}/x:3)", "'.' (x:3)"),
        (f"Error:\n{WORKSPACE}/a.js\n\tat {WORKSPACE}/b.js", "Error:\na.js\n\tat b.js"),
        (
            {f"{WORKSPACE}/key": [1, None, {"path": f"{WORKSPACE}"}]},
            {"key": [1, None, {"path": "."}]},
        ),
    ],
)
def test_paths_are_relative_to_the_workspace(said: Any, shown: Any) -> None:
    assert report(said) == shown


@pytest.mark.parametrize(
    "said",
    [
        f"{WORKSPACE}2/x",
        f"{WORKSPACE}.old/x",
        f"/mnt{WORKSPACE}/x",
        "/srv/p-1",
        "./x",
        [0.5, "\\n"],
    ],
)
def test_what_only_looks_like_it_stays(said: Any) -> None:
    assert report(said) == said


def test_the_bound_is_that_of_what_is_shown() -> None:
    assert report([f"{WORKSPACE}/x"] * 2, max_report_bytes=9) == ["x", "x"]
    with pytest.raises(NoReportError, match="the report has 9 bytes"):
        report(["x", "x"], max_report_bytes=8)


@pytest.mark.parametrize(
    ("verdict", "said", "status"),
    [
        ("failed", {"status": [{"severity": "error"}]}, "error"),
        ("failed", {"status": [None, {}, {"severity": "error", "message": 7}]}, "error"),
        ("failed", {"status": [{"severity": "error", "message": "x " * 9000}]}, "error"),
        ("failed", {"status": [{"severity": "warning", "message": "old"}], "items": []}, "failed"),
        ("failed", {"status": "error"}, "failed"),
        ("failed", [{"status": [{"severity": "error"}]}], "failed"),
        ("passed", {"status": [{"severity": "error", "message": "too late"}]}, "passed"),
    ],
)
def test_a_report_of_the_tools_own_failure_is_no_verdict(
    verdict: Literal["passed", "failed"], said: Any, status: str
) -> None:
    outcome = unless_tool_failed(ValidationOutcome(verdict, {"report": said}))
    assert outcome.status == status
    assert (outcome.reason is not None) is (status == "error")
    assert len(outcome.error or "") < 600
