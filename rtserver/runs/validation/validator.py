"""The validator of proposals: which commands it is, where they run, and what their end means."""

import asyncio
import shlex
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rtserver.model import ids
from rtserver.runs.files.read import WorkspaceError, read_proposal
from rtserver.runs.process.environment import tool_environment
from rtserver.runs.process.limits import ToolLimits
from rtserver.runs.process.lines import OutputLine
from rtserver.runs.process.run import (
    NO_LIMITS,
    CapturedOutput,
    capture_command,
    is_command,
    run_command,
)
from rtserver.runs.validation.findings import findings_in
from rtserver.runs.validation.outcome import (
    NoReportError,
    ValidationOutcome,
    not_run,
    outcome_of,
    report_of,
    unless_tool_failed,
)

__all__ = ["DEFAULT_COMMAND", "DEFAULT_REPORT_COMMAND", "ValidationOutcome", "Validator"]

# The type is said, since OpenSpec refuses a name that a capability's spec has too.
DEFAULT_COMMAND = "openspec validate {proposal_id} --type change --strict --no-interactive"
DEFAULT_REPORT_COMMAND = f"{DEFAULT_COMMAND} --json"

OnLines = Callable[[list[OutputLine]], Awaitable[None]]

_MAX_CAPTURE_BYTES = 4 * 1024 * 1024
_MAX_REPORT_BYTES = 512 * 1024
_VERSION_TIMEOUT_S = 30.0
_KEPT_LINES = 50
_INSTALL_OPENSPEC = "run `npm ci` in the server's folder"


class Validator:
    """Runs the validator on a proposal in its project's workspace.

    Args:
        command: the command line, as `RT_VALIDATION_COMMAND`; None for OpenSpec's own.
        report_command: the one that prints JSON, as `RT_VALIDATION_REPORT_COMMAND`; None for
            OpenSpec's own, which is left out where it can't be had; empty for none.
        timeout_s: how long either may run.
        workspace_root: folder with one folder for each project.
        server_root: folder that may have `node_modules/.bin`, which comes first on the PATH.
        limits: what either may take of the machine.
        max_report_bytes: a report that is larger (as compact JSON) is left out, since every
            viewer's outbox has to hold it.
        run_by: for (project, proposal) the words of a command that runs OpenSpec's own streamed
            command in turn, which follows as its arguments; it says so itself in what it prints.
            A command of one's own is run as it is.

    Raises:
        ValueError: a command line can't be split into words, or the first has none.
    """

    def __init__(
        self,
        command: str | None,
        report_command: str | None,
        timeout_s: float,
        workspace_root: Path,
        server_root: Path,
        *,
        limits: ToolLimits = NO_LIMITS,
        max_report_bytes: int = _MAX_REPORT_BYTES,
        run_by: Mapping[tuple[str, str], Sequence[str]] | None = None,
    ) -> None:
        self._is_default = command is None
        self._is_default_report = report_command is None
        self._words = _split(DEFAULT_COMMAND if command is None else command)
        self._report_words = _split(
            DEFAULT_REPORT_COMMAND if report_command is None else report_command
        )
        if not self._words:
            raise ValueError("the validation command is empty")
        self._timeout_s = timeout_s
        self._workspace_root = workspace_root
        self._max_report_bytes = max_report_bytes
        self._env = tool_environment(server_root)
        self._limits = limits
        self._run_by = dict(run_by or {}) if self._is_default else {}

    def command_line(self, project_id: str, proposal_id: str) -> str:
        """The streamed command as it is run for a proposal, quoted as for a shell, to be shown."""
        return shlex.join(_filled(self._words, project_id, proposal_id))

    def _streamed(self, project_id: str, proposal_id: str) -> list[str]:
        words = _filled(self._words, project_id, proposal_id)
        return [*self._run_by.get((project_id, proposal_id), ()), *words]

    def openspec(self) -> Path | None:
        """Where OpenSpec is, whether it is the validator or not; None where it is not installed."""
        found = shutil.which("openspec", path=self._env["PATH"])
        return None if found is None else Path(found)

    async def validate(
        self, project_id: str, proposal_id: str, on_lines: OnLines
    ) -> ValidationOutcome:
        """Validate a proposal.

        When cancelled, whatever runs is ended before this returns.

        Args:
            project_id: whose workspace.
            proposal_id: the OpenSpec change in it.
            on_lines: takes the lines as they are printed; see
            `rtserver.runs.process.run.run_command`.

        Raises:
            ids.BadIdentifier: an id is not acceptable.
            Exception: whatever `on_lines` raised.
        """
        ids.project_id(project_id)
        ids.proposal_id(proposal_id)
        workspace = self._workspace(project_id)
        if workspace is None:
            return not_run("no_workspace", f"project {project_id} has no workspace")
        has_change = _has_change(workspace, proposal_id)
        if self._is_default and not has_change:
            return not_run(
                "no_such_proposal",
                f"the workspace of project {project_id} has no openspec/changes/{proposal_id}",
            )
        result = await run_command(
            self._streamed(project_id, proposal_id),
            cwd=workspace,
            env=self._env | {"FORCE_COLOR": "1"},  # its words are for people
            timeout_s=self._timeout_s,
            on_lines=on_lines,
            limits=self._limits,
        )
        outcome = outcome_of(
            result,
            timeout_s=self._timeout_s,
            how_to_install=f"{_INSTALL_OPENSPEC} or set RT_VALIDATION_COMMAND"
            if self._is_default
            else "",
        )
        if outcome.status != "error" and self._wants_report(workspace, has_change=has_change):
            captured = await capture_command(
                _filled(self._report_words, project_id, proposal_id),
                cwd=workspace,
                env=self._env,
                timeout_s=self._timeout_s,
                max_bytes=_MAX_CAPTURE_BYTES,
                limits=self._limits,
            )
            try:
                # In a thread: a few MiB take a second or two, and connections wait meanwhile.
                said = await asyncio.to_thread(
                    self._report, captured, project_id, proposal_id, workspace
                )
                outcome.summary.update(said)
            except NoReportError as error:
                outcome.summary["report_error"] = str(error)
        return unless_tool_failed(outcome)

    def _report(
        self, captured: CapturedOutput, project_id: str, proposal_id: str, workspace: Path
    ) -> dict[str, Any]:
        """What the summary says of a report: itself, and its findings with their places."""
        report = report_of(
            captured,
            workspace=workspace,
            timeout_s=self._timeout_s,
            max_report_bytes=self._max_report_bytes,
        )
        try:
            found = read_proposal(self._workspace_root, project_id, proposal_id).files
        except WorkspaceError:
            found = {}  # it went meanwhile, or another validator judges something else
        texts = {path: file.text for path, file in found.items()}
        findings, left_out = findings_in(report, texts, self._max_report_bytes // 4)
        said: dict[str, Any] = {"report": report, "findings": findings}
        if left_out:
            said["findings_left_out"] = left_out
        return said

    async def check(self) -> list[str]:
        """What would keep validations from working, each with the way to mend it.

        Starts `openspec --version` where that is the validator, so it may take seconds.
        """
        problems = []
        if not self._workspace_root.is_dir():
            problems.append(
                f"The workspace root {self._workspace_root} is not there: create it, or set "
                "RT_WORKSPACE_ROOT to the folder that has the projects' workspaces."
            )
        if not self._is_there(self._words[0]):
            mend = f"{_INSTALL_OPENSPEC}, or set" if self._is_default else "install it, or change"
            problems.append(
                f"The validator's command {self._words[0]} was not found: {mend} "
                "RT_VALIDATION_COMMAND."
            )
        elif self._is_default:
            problems += await self._try_openspec()
        if (
            self._report_words
            and not self._is_default_report
            and not self._is_there(self._report_words[0])
        ):
            problems.append(
                f"The report's command {self._report_words[0]} was not found: install it, or "
                "change RT_VALIDATION_REPORT_COMMAND (empty for no report)."
            )
        return problems

    def _is_there(self, command: str) -> bool:
        if "{" in command or ("/" in command and not command.startswith("/")):
            return True  # different for each project, so nothing can be said here
        return is_command(command, cwd=Path("/"), env=self._env)

    async def _try_openspec(self) -> list[str]:
        said: list[OutputLine] = []

        async def keep(lines: list[OutputLine]) -> None:
            said.extend(lines[: _KEPT_LINES - len(said)])

        tried = await run_command(
            [self._words[0], "--version"],
            cwd=Path("/"),
            env=self._env,
            timeout_s=_VERSION_TIMEOUT_S,
            on_lines=keep,
            limits=self._limits,
        )
        if tried.exit_code == 0:
            return []
        mend = f"{_INSTALL_OPENSPEC} with Node.js 20.19 or newer, or set RT_VALIDATION_COMMAND."
        if tried.timed_out:
            return [f"openspec --version took more than {_VERSION_TIMEOUT_S:g} s: {mend}"]
        words = [line.text.strip() for line in said if line.stream == "stderr"]
        first = next(filter(None, words), tried.not_started or f"exit status {tried.exit_code}")
        if tried.signal is not None:
            first = f"signal {tried.signal}; {first}"
            mend += " Or the limits are too low: RT_VALIDATION_MEMORY_BYTES and its like."
        return [f"openspec --version failed ({first[:200]}): {mend}"]

    def _workspace(self, project_id: str) -> Path | None:
        """The project's folder, unless it is not there or is a link to somewhere else.

        A link would let one project's people work in what may be another's folder.
        """
        workspace = self._workspace_root.resolve() / project_id
        return workspace if workspace.is_dir() and not workspace.is_symlink() else None

    def _wants_report(self, workspace: Path, *, has_change: bool) -> bool:
        """Whether to ask for a report.

        Another validator than OpenSpec's may be used where there is no OpenSpec at all, so its
        report is not missed there unless it was asked for.
        """
        if not self._report_words:
            return False
        if self._is_default or not self._is_default_report:
            return True
        return has_change and is_command(self._report_words[0], cwd=workspace, env=self._env)


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ValueError(f"the command {command!r} can't be split into words: {error}") from None


def _filled(words: list[str], project_id: str, proposal_id: str) -> list[str]:
    """The words with the ids in them; an id has no braces, so the order makes no difference."""
    return [
        word.replace("{project_id}", project_id).replace("{proposal_id}", proposal_id)
        for word in words
    ]


def _has_change(workspace: Path, proposal_id: str) -> bool:
    change = (workspace / "openspec" / "changes" / proposal_id).resolve()
    return change.is_dir() and change.is_relative_to(workspace)
