"""The outcome of a validator: passed, failed or an error, and its report."""

import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from rtserver.lib import foreign_json
from rtserver.runs.process.run import CapturedOutput, ProcessResult

_LIMITS: dict[int, str] = {
    signal.SIGXCPU: "RT_VALIDATION_CPU_S",
    signal.SIGXFSZ: "RT_VALIDATION_FILE_BYTES",
}
"""The limits of which a signal tells; the others show as errors of the command."""
# What a shell says too, and the guard: not found, and found but not executable.
_EXIT_NOT_FOUND = 127
_EXIT_NOT_EXECUTABLE = 126

_MAX_SAID_CHARS = 500


@dataclass(frozen=True, slots=True)
class ValidationOutcome:
    """How a validation ended.

    Attributes:
        status: `passed` (exit status 0), `failed` (1, unless the report says that the validator
            itself failed) or `error` (everything else).
        summary: `exit_code` (None where there is none), `duration_ms`, `lines`; `lines_dropped`
            where some were; `output_may_be_lost` where the command may have lost what it printed
            last; after exit status 0 and 1 `report`, the validator's own JSON, with `findings` (and
            `findings_left_out` where there are too many), or
            `report_error`, why there is none, in plain words (neither where no report is asked
            for).
        error: for `error`, what happened, in plain words; else None.
        reason: for `error`, the same for programs: `exit_status`, `signal`, `timeout`,
            `command_not_found`, `not_started`, `no_workspace`, `no_such_proposal` or
            `validator_failed`; else None.
    """

    status: Literal["passed", "failed", "error"]
    summary: dict[str, Any]
    error: str | None = None
    reason: str | None = None


class NoReportError(Exception):
    """There is no report; the message says why, in plain words for people."""


def outcome_of(
    result: ProcessResult, *, timeout_s: float, how_to_install: str
) -> ValidationOutcome:
    """What the end of the streamed command means.

    Args:
        result: how it ended.
        timeout_s: how long it was given.
        how_to_install: what to do where there is no such command; empty where that is not known.
    """
    summary: dict[str, Any] = {
        "exit_code": result.exit_code,
        "duration_ms": result.duration_ms,
        "lines": result.lines,
    }
    if result.lines_dropped:
        summary["lines_dropped"] = result.lines_dropped
    if result.may_have_lost:
        summary["output_may_be_lost"] = True
    if result.timed_out:
        reason = "timeout"
        error = f"the validator had not ended after {timeout_s:g} s"
    elif result.not_started is not None:
        reason = "not_started" if result.found else "command_not_found"
        error = f"the validator was not started: {result.not_started}"
        if how_to_install and not result.found:
            error += f"; {how_to_install}"
    elif result.signal is not None:
        reason = "signal"
        error = f"the validator was ended by {_signal_name(result.signal)}"
    elif result.exit_code == 0:
        return ValidationOutcome("passed", summary)
    elif result.exit_code == 1:
        return ValidationOutcome("failed", summary)
    elif result.exit_code == _EXIT_NOT_FOUND:
        reason = "command_not_found"
        error = "the validator, or a command that it needs, was not found (exit status 127)"
    elif result.exit_code == _EXIT_NOT_EXECUTABLE:
        reason = "not_started"
        error = "the validator could not be executed (exit status 126)"
    else:
        reason = "exit_status"
        error = (
            f"the validator ended with exit status {result.exit_code}; "
            "0 would mean passed and 1 failed"
        )
    return ValidationOutcome("error", summary, error, reason)


def unless_tool_failed(outcome: ValidationOutcome) -> ValidationOutcome:
    """The outcome, or an error where the report says that the validator could not do its work.

    OpenSpec ends with exit status 1 for both: a proposal that is not valid, and a command that it
    could not carry out. Of the second its JSON tells in `status`, by an entry whose `severity` is
    `error`; what is wrong with a proposal stands in `items`.
    """
    report = outcome.summary.get("report")
    entries = report.get("status") if isinstance(report, dict) else None
    if outcome.status != "failed" or not isinstance(entries, list):
        return outcome
    for entry in entries:
        if isinstance(entry, dict) and entry.get("severity") == "error":
            words = (entry.get(name) for name in ("message", "fix"))
            said = " ".join(" ".join(word.split()) for word in words if isinstance(word, str))
            error = "the validator could not do its work"
            if said:
                shown = said if len(said) <= _MAX_SAID_CHARS else said[:_MAX_SAID_CHARS] + "..."
                error += f": {shown}"
            return ValidationOutcome("error", outcome.summary, error, "validator_failed")
    return outcome


def not_run(reason: str, error: str) -> ValidationOutcome:
    """The outcome where nothing was run; arguments as in `ValidationOutcome`."""
    summary = {"exit_code": None, "duration_ms": 0, "lines": 0}
    return ValidationOutcome("error", summary, error, reason)


def report_of(
    captured: CapturedOutput, *, workspace: Path, timeout_s: float, max_report_bytes: int
) -> Any:
    """The JSON that the report command printed, whatever its exit status.

    Validators like to say where they are; a path below the workspace is made relative to it, since
    where the server keeps its files is nothing for viewers.

    Args:
        captured: what it printed, and how it ended.
        workspace: where it ran.
        timeout_s: how long it was given.
        max_report_bytes: how large the report may be, as compact JSON.

    Raises:
        NoReportError: there is none; the message says why.
    """
    result = captured.result
    if result.timed_out:
        raise NoReportError(f"the report command had not ended after {timeout_s:g} s")
    if result.not_started is not None:
        raise NoReportError(f"the report command was not started: {result.not_started}")
    if result.signal is not None:
        raise NoReportError(f"the report command was ended by {_signal_name(result.signal)}")
    if captured.truncated:
        raise NoReportError(f"the report is larger than {len(captured.stdout)} bytes")
    if not captured.stdout.strip():
        raise NoReportError(f"the report command printed nothing (exit status {result.exit_code})")
    try:
        # Encoded anew, so that a path is written in one way only.
        text = _relative(msgspec.json.encode(foreign_json.decode(captured.stdout)), workspace)
        report = msgspec.json.decode(text)
    except foreign_json.ForeignJsonError as error:
        if result.may_have_lost:
            raise NoReportError(
                "the report command ended before all that it printed was taken: it is cut"
            ) from None
        raise NoReportError(f"the report {error}") from None
    if len(text) > max_report_bytes:
        raise NoReportError(
            f"the report has {len(text)} bytes; no more than {max_report_bytes} go into an event"
        )
    return report


def _relative(text: bytes, workspace: Path) -> bytes:
    """JSON with `.` for the workspace's path, and nothing for it in front of a path below it."""
    path = re.escape(msgspec.json.encode(str(workspace))[1:-1])
    # What may be part of a longer name; a dot at the end of a sentence is not.
    name = rb"[^./\s\"'\\:;,()\[\]{}<>]"
    before = rb"(?:(?<![.]|" + name + rb")|(?<=\\[bfnrt]))"
    below = before + path + rb"/(?=[.]*" + name + rb")"
    itself = before + path + rb"/?(?![.]*" + name + rb")"
    return re.sub(itself, b".", re.sub(below, b"", text))


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # a real-time signal has no name of its own
    limit = _LIMITS.get(number)
    return name if limit is None else f"{name}: it took more than {limit} allows"
