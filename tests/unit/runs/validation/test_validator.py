"""The validator's command lines, with real processes; the real OpenSpec where it is installed."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from rtserver.app.folders import tool_limits
from rtserver.config.settings import Settings
from rtserver.model import ids
from rtserver.runs.process.limits import ToolLimits
from rtserver.runs.process.lines import OutputLine
from rtserver.runs.validation.validator import ValidationOutcome, Validator
from tests.support.node import need_openspec

SERVER_ROOT = Path(__file__).parents[4]
LONG = 40.0

Lines = list[OutputLine]

VALID = """\
## ADDED Requirements

### Requirement: Greet

The system SHALL greet whoever comes.

#### Scenario: Somebody comes

- **WHEN** somebody comes
- **THEN** the system says hello
"""
INVALID = VALID.replace("SHALL greet", "greets").replace("####", "#####")


@pytest.fixture
def openspec() -> Path:
    """Where the real validator's `node_modules` is."""
    need_openspec()
    return SERVER_ROOT


@pytest.fixture
def workspaces(tmp_path: Path) -> Path:
    root = tmp_path / "workspaces"
    for name, text in (("good", VALID), ("bad", INVALID)):
        spec = root / "p" / "openspec" / "changes" / name / "specs" / "greeting" / "spec.md"
        spec.parent.mkdir(parents=True)
        spec.write_text(text)
    return root


def tool(root: Path, name: str, body: str) -> None:
    """An executable below `node_modules/.bin` of a server's root."""
    path = root / "node_modules" / ".bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable} -IS\nimport os, sys, time, json, signal\n{body}\n")
    path.chmod(0o755)


async def validate(
    validator: Validator, proposal_id: str = "good", project_id: str = "p"
) -> tuple[ValidationOutcome, Lines]:
    lines: Lines = []

    async def on_lines(batch: Lines) -> None:
        lines.extend(batch)

    outcome = await validator.validate(project_id, proposal_id, on_lines)
    assert outcome.summary["lines"] == len(lines)
    assert isinstance(outcome.summary["duration_ms"], int)
    if outcome.status == "error":
        assert outcome.error
        assert outcome.reason
        assert ("report" in outcome.summary) is (outcome.reason == "validator_failed")
    else:
        assert outcome.error is None
        assert outcome.reason is None
    return outcome, lines


@pytest.mark.gen_test(timeout=LONG)
async def test_the_real_validator_passes_a_good_proposal(openspec: Path, workspaces: Path) -> None:
    outcome, lines = await validate(Validator(None, None, LONG, workspaces, openspec))
    assert outcome.status == "passed"
    assert outcome.summary["exit_code"] == 0
    assert [(line.stream, line.text) for line in lines] == [
        ("stdout", "Change 'good' is valid"),
    ]
    report = outcome.summary["report"]
    assert report["items"][0]["id"] == "good"
    assert report["summary"]["totals"] == {"items": 1, "passed": 1, "failed": 0}


@pytest.mark.gen_test(timeout=LONG)
async def test_the_real_validator_fails_a_bad_proposal(openspec: Path, workspaces: Path) -> None:
    outcome, lines = await validate(Validator(None, None, LONG, workspaces, openspec), "bad")
    assert outcome.status == "failed"
    assert outcome.summary["exit_code"] == 1
    said = "\n".join(line.text for line in lines if line.stream == "stderr")
    assert "Change 'bad' has issues" in said
    assert "must include at least one scenario" in said
    assert "should contain SHALL or MUST" in said  # only --strict makes a failure of a warning
    issues = outcome.summary["report"]["items"][0]["issues"]
    assert {issue["level"] for issue in issues} >= {"ERROR", "WARNING"}


@pytest.mark.gen_test
async def test_check_is_content_with_the_real_validator_within_the_usual_limits(
    openspec: Path, workspaces: Path
) -> None:
    limits = tool_limits(Settings())
    assert limits.memory_bytes
    usual = Validator(None, None, LONG, workspaces, openspec, limits=limits)
    assert await usual.check() == []


@pytest.mark.gen_test
async def test_check_tells_of_limits_that_are_too_low(workspaces: Path, tmp_path: Path) -> None:
    tool(tmp_path, "openspec", "bytearray(64 * 2**20); print('1.0')")
    low = ToolLimits(memory_bytes=32 * 2**20)
    (problem,) = await Validator(None, None, LONG, workspaces, tmp_path, limits=low).check()
    assert "--version failed" in problem


ECHO = "print(json.dumps(sys.argv[1:])); print(os.getcwd()); print(json.dumps(dict(os.environ)))"


@pytest.mark.gen_test
async def test_ids_are_filled_in_as_one_word_and_no_shell_is_involved(
    workspaces: Path, tmp_path: Path
) -> None:
    tool(tmp_path, "echo-all", ECHO)
    command = (
        "echo-all {proposal_id} 'a b' \"--in={project_id}/{proposal_id}\" $HOME ; | `id` {other}"
    )
    outcome, lines = await validate(Validator(command, "", LONG, workspaces, tmp_path))
    assert outcome.status == "passed"
    assert "report" not in outcome.summary
    assert "report_error" not in outcome.summary
    assert json.loads(lines[0].text) == [
        *["good", "a b", "--in=p/good", "$HOME", ";", "|", "`id`", "{other}"]
    ]
    assert lines[1].text == str(workspaces / "p")


@pytest.mark.gen_test
async def test_the_environment_is_small(
    workspaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RT_JWT_SECRET", "do not tell")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "neither")
    tool(tmp_path, "echo-all", ECHO)
    tool(tmp_path, "report", "print(json.dumps(dict(os.environ)))")
    outcome, lines = await validate(
        Validator("echo-all", "report", LONG, workspaces, tmp_path), "any"
    )
    streamed = json.loads(lines[2].text)
    reported = outcome.summary["report"]
    assert streamed.pop("FORCE_COLOR") == "1"
    assert streamed == reported
    assert streamed.keys() == {"PATH", "HOME", "LANG", "TERM", "OPENSPEC_TELEMETRY"}
    assert streamed["PATH"].split(":")[0] == str(tmp_path / "node_modules" / ".bin")
    assert streamed["PATH"].endswith(os.environ["PATH"])
    assert (streamed["LANG"], streamed["OPENSPEC_TELEMETRY"]) == ("C.UTF-8", "0")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        ("sys.exit(2)", "exit_status", "exit status 2"),
        ("sys.exit(127)", "command_not_found", "not found"),
        ("sys.exit(126)", "not_started", "could not be executed"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "signal", "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGRTMIN + 1)", "signal", "signal 35"),
        ("print('x', flush=True); time.sleep(600)", "timeout", "had not ended after 1.5 s"),
    ],
)
async def test_ends_that_are_errors(
    workspaces: Path, tmp_path: Path, body: str, reason: str, words: str
) -> None:
    tool(tmp_path, "custom", body)
    tool(tmp_path, "report", "open('asked', 'w').close(); print('{}')")
    outcome, _ = await validate(Validator("custom", "report", 1.5, workspaces, tmp_path))
    assert (outcome.status, outcome.reason) == ("error", reason)
    assert outcome.error is not None
    assert words in outcome.error
    assert not (workspaces / "p" / "asked").exists()


@pytest.mark.gen_test
async def test_a_command_that_is_not_there(workspaces: Path, tmp_path: Path) -> None:
    outcome, _ = await validate(Validator("no-such-tool x", None, LONG, workspaces, tmp_path))
    assert outcome.reason == "command_not_found"
    assert outcome.error == "the validator was not started: no-such-tool: command not found"
    assert outcome.summary.keys() == {"exit_code", "duration_ms", "lines"}
    assert outcome.summary["exit_code"] is None


@pytest.mark.gen_test
async def test_openspec_that_is_not_there_comes_with_the_way_to_get_it(
    workspaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome, _ = await validate(Validator(None, None, LONG, workspaces, tmp_path))
    assert outcome.reason == "command_not_found"
    assert outcome.error is not None
    assert "npm ci" in outcome.error


@pytest.mark.gen_test
async def test_a_system_that_refuses_to_start_it(
    workspaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "x" * 200_000)  # Linux takes 128 KiB a word
    outcome, _ = await validate(Validator("true", None, LONG, workspaces, tmp_path))
    assert outcome.reason == "not_started"
    assert outcome.error == (
        "the validator was not started: it could not be started: argument list too long"
    )


@pytest.mark.gen_test
async def test_no_workspace(workspaces: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(workspaces / "p", outside)
    (workspaces / "out").symlink_to(outside)
    (workspaces / "other").symlink_to("p")
    (workspaces / "file").write_text("")
    for project in ("gone", "out", "other", "file"):
        for command in (None, "true"):
            outcome, _ = await validate(
                Validator(command, "", LONG, workspaces, tmp_path), project_id=project
            )
            assert (outcome.status, outcome.reason) == ("error", "no_workspace")
            assert outcome.error == f"project {project} has no workspace"


@pytest.mark.gen_test
async def test_no_such_proposal(workspaces: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    changes = workspaces / "p" / "openspec" / "changes"
    (changes / "linked").symlink_to(tmp_path / "elsewhere")
    for proposal in ("gone", "linked"):
        default = Validator(None, "", LONG, workspaces, tmp_path)
        outcome, _ = await validate(default, proposal)
        assert (outcome.status, outcome.reason) == ("error", "no_such_proposal")
        # What another validator needs is its own matter.
        custom = Validator("true", "", LONG, workspaces, tmp_path)
        assert (await validate(custom, proposal))[0].status == "passed"


@pytest.mark.gen_test
@pytest.mark.parametrize(("project", "proposal"), [("..", "good"), ("p", "../p"), ("p", "--all")])
async def test_ids_that_lead_elsewhere(workspaces: Path, project: str, proposal: str) -> None:
    with pytest.raises(ids.BadIdentifier):
        await validate(Validator("true", "", LONG, workspaces, workspaces), proposal, project)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("body", "report"),
    [
        ('print(\'{"a": [1, "ä"]}\')', {"a": [1, "ä"]}),
        ("print('[]'); sys.exit(1)", []),
        ("print('noise', file=sys.stderr); print('1.5')", 1.5),
    ],
)
async def test_reports(workspaces: Path, tmp_path: Path, body: str, report: Any) -> None:
    tool(tmp_path, "report", body)
    outcome, lines = await validate(Validator("true", "report", LONG, workspaces, tmp_path))
    assert outcome.summary["report"] == report
    assert "report_error" not in outcome.summary
    assert lines == []


@pytest.mark.gen_test(timeout=LONG)
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("print('all is well')", "not JSON"),
        ("print('{} and more')", "not JSON"),
        ("print('NaN')", "not JSON"),
        ("os.write(1, b'\"\\xff\"')", "not JSON"),
        ("print('[' * 200_000)", "nested more than 100"),
        ("print('[' * 180 + ']' * 180)", "nested more than 100"),
        ("sys.exit(3)", "printed nothing (exit status 3)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL"),
        ("time.sleep(600)", "had not ended after 1.5 s"),
        ("print(json.dumps('x' * 2000))", "the report has 2002 bytes; no more than 1000 go"),
        ("print(json.dumps('x' * 5_000_000))", "larger than 4194304 bytes"),
    ],
)
async def test_a_report_that_is_none(
    workspaces: Path, tmp_path: Path, body: str, words: str
) -> None:
    tool(tmp_path, "report", body)
    validator = Validator("true", "report", 1.5, workspaces, tmp_path, max_report_bytes=1000)
    outcome, _ = await validate(validator)
    assert outcome.status == "passed"
    assert "report" not in outcome.summary
    assert words in outcome.summary["report_error"]


@pytest.mark.gen_test
async def test_a_change_may_be_named_like_a_capability(workspaces: Path, openspec: Path) -> None:
    spec = workspaces / "p" / "openspec" / "specs" / "good" / "spec.md"
    spec.parent.mkdir(parents=True)
    spec.write_text(VALID.replace("## ADDED", "## Purpose\n\nGreeting.\n\n##"))
    outcome, _ = await validate(Validator(None, None, LONG, workspaces, openspec))
    assert (outcome.status, outcome.summary["report"]["items"][0]["valid"]) == ("passed", True)


@pytest.mark.gen_test
async def test_what_openspec_itself_could_not_do_is_no_verdict(
    workspaces: Path, openspec: Path
) -> None:
    """Asked for a report of a change that is not there, as if it had gone in between."""
    report = "openspec validate {proposal_id}-2 --json"
    outcome, _ = await validate(Validator("false", report, LONG, workspaces, openspec))
    assert (outcome.status, outcome.reason) == ("error", "validator_failed")
    assert outcome.error is not None
    assert "the validator could not do its work: Unknown item 'good-2'" in outcome.error
    assert outcome.summary["report"]["status"][0]["code"] == "unknown_item"


@pytest.mark.gen_test
async def test_another_validator_does_without_the_report_of_openspec(
    workspaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    validator = Validator("true", None, LONG, workspaces, tmp_path)
    outcome, _ = await validate(validator)
    assert outcome.summary.keys() == {"exit_code", "duration_ms", "lines"}

    tool(tmp_path, "openspec", "print(json.dumps(sys.argv[1:]))")
    outcome, _ = await validate(validator)
    assert outcome.summary["report"] == [
        *["validate", "good", "--type", "change", "--strict", "--no-interactive", "--json"]
    ]
    outcome, _ = await validate(validator, "no-change-of-this-name")
    assert "report" not in outcome.summary

    asked_for = Validator("true", "no-such-tool", LONG, workspaces, tmp_path)
    outcome, _ = await validate(asked_for)
    assert "no-such-tool: command not found" in outcome.summary["report_error"]


@pytest.mark.gen_test
async def test_dropped_lines_are_in_the_summary(workspaces: Path, tmp_path: Path) -> None:
    tool(tmp_path, "custom", "print('\\n'.join(map(str, range(10_500)))); sys.exit(1)")
    outcome, _ = await validate(Validator("custom", "", LONG, workspaces, tmp_path))
    assert (outcome.summary["lines"], outcome.summary["lines_dropped"]) == (10_000, 500)
    assert outcome.status == "failed"


@pytest.mark.gen_test
@pytest.mark.parametrize("stage", ["streamed", "report"])
async def test_cancelling_ends_what_runs(workspaces: Path, tmp_path: Path, stage: str) -> None:
    wait = "open('pid.new', 'w').write(str(os.getpid())); os.rename('pid.new', 'pid')"
    tool(tmp_path, "hang", f"{wait}; time.sleep(600)")
    command, report = ("hang", "") if stage == "streamed" else ("true", "hang")
    task = asyncio.create_task(validate(Validator(command, report, LONG, workspaces, tmp_path)))
    pid_file = workspaces / "p" / "pid"
    while not pid_file.exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)
    pid = int(pid_file.read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_command_line_can_be_shown(workspaces: Path) -> None:
    shown = Validator("check --name='{project_id} {proposal_id}' x", "", 1, workspaces, workspaces)
    assert shown.command_line("p", "good") == "check '--name=p good' x"
    assert Validator(None, None, 1, workspaces, workspaces).command_line("p", "good") == (
        "openspec validate good --type change --strict --no-interactive"
    )


@pytest.mark.parametrize("command", ["", "   ", "check 'x", "check x\\"])
def test_command_lines_that_are_none(workspaces: Path, command: str) -> None:
    with pytest.raises(ValueError, match="command"):
        Validator(command, None, 1, workspaces, workspaces)


@pytest.mark.gen_test
async def test_check_names_what_is_wrong_and_how_to_mend_it(
    workspaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing, no_openspec = await Validator(None, None, 1, tmp_path / "gone", tmp_path).check()
    assert "RT_WORKSPACE_ROOT" in missing
    assert "npm ci" in no_openspec
    assert "RT_VALIDATION_COMMAND" in no_openspec

    command, report = await Validator("no-tool", "no-report", 1, workspaces, tmp_path).check()
    assert "no-tool was not found" in command
    assert "RT_VALIDATION_REPORT_COMMAND" in report
    relative = Validator(f"{sys.executable} x", "./relative", 1, workspaces, tmp_path)
    assert await relative.check() == []

    tool(tmp_path, "openspec", "sys.exit('this Node.js is too old')")
    (broken,) = await Validator(None, None, 1, workspaces, tmp_path).check()
    assert "this Node.js is too old" in broken
    assert "20.19" in broken
