"""A command's run: its output is handed over line by line while it is printed.

Whatever the command does, the run ends: it may print without end, hold its pipes open through
children, ignore SIGTERM or die in any way. Memory stays bounded throughout, because a pipe is only
read as fast as its output is taken. That it does not outlive this process is `guard.py`'s work.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog

from rtserver.runs.process.limits import ToolLimits
from rtserver.runs.process.lines import LineHandOver, OutputLine
from rtserver.runs.process.pipe import Capture, OutputPipes, OutputSink, Ticker
from rtserver.runs.process.spawn import spawn_guarded
from rtserver.runs.process.supervise import ProcessWatch

__all__ = [
    "CapturedOutput",
    "ProcessResult",
    "capture_command",
    "is_command",
    "run_command",
]

NICENESS = 10
"""Many commands may start at once; what people are being shown comes before their work."""

NO_LIMITS = ToolLimits()

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """How a command ended.

    Attributes:
        exit_code: exit status, None where there is none.
        signal: number of the signal that ended it, if one did.
        timed_out: it was ended because it had not ended in time.
        not_started: why it could not be started, in plain words; None when it was.
        found: False where it could not be started because there is no such command.
        duration_ms: from just before the start until all output was delivered.
        lines: number of lines delivered.
        lines_dropped: number of lines that came after the limit and were not delivered.
        bytes: size of all output, dropped or not.
        may_have_lost: it ended by itself with a pipe full to the brim, so if it was one that does
            not wait for readers (Node.js at `process.exit`), the rest of its output is lost.
    """

    exit_code: int | None
    signal: int | None
    timed_out: bool
    not_started: str | None
    duration_ms: int
    lines: int = 0
    lines_dropped: int = 0
    bytes: int = 0
    found: bool = True
    may_have_lost: bool = False


@dataclass(frozen=True, slots=True)
class CapturedOutput:
    """What a command printed, as a whole.

    Attributes:
        result: how it ended; its `lines` are 0.
        stdout: at most the first `max_bytes` of it.
        truncated: there was more.
        stderr: at most the first `max_error_bytes` of it.
    """

    result: ProcessResult
    stdout: bytes
    truncated: bool
    stderr: bytes = b""


async def run_command(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    on_lines: Callable[[list[OutputLine]], Awaitable[None]],
    max_line_bytes: int = 16_384,
    max_lines: int = 10_000,
    term_grace_s: float = 2.0,
    limits: ToolLimits = NO_LIMITS,
) -> ProcessResult:
    """Run a command and hand its lines on as it prints them.

    What stands in a line that has not ended, such as a prompt or a progress, is handed on within a
    second, and again as it changes.

    When cancelled, and when `on_lines` raises, the command and its process group are ended
    (SIGTERM, grace, SIGKILL) before this returns; being cancelled again skips the grace.

    Args:
        argv: the command and its arguments, at least the former; no shell is involved.
        cwd: its working directory.
        env: its whole environment; `PATH` in it is where the command is looked for.
        timeout_s: how long it may run, its waiting for `on_lines` included.
        on_lines: takes the next 1 to 256 lines. One call at a time; while it is awaited nothing
            more is read, and in the end the command itself waits.
        max_line_bytes: longer lines are cut, between characters, to at most this much UTF-8.
        max_lines: later lines are read and counted, but not delivered.
        term_grace_s: time between SIGTERM and SIGKILL.
        limits: what it may take of the machine.

    Returns:
        How it ended; also where it could not be started.

    Raises:
        Exception: whatever `on_lines` raised.
    """
    lines = LineHandOver(on_lines, max_line_bytes, max_lines)
    sinks: list[OutputSink] = [lines.sink("stdout"), lines.sink("stderr")]
    ended = await _run(argv, cwd, env, timeout_s, term_grace_s, limits, sinks, ticker=lines)
    return ended.result(lines.handed_on, lines.dropped)


async def capture_command(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    max_bytes: int,
    max_error_bytes: int = 0,
    term_grace_s: float = 2.0,
    limits: ToolLimits = NO_LIMITS,
    stdin: IO[bytes] | None = None,
) -> CapturedOutput:
    """Run a command and keep the beginning of what it prints.

    Args:
        argv: the command and its arguments, at least the former; no shell is involved.
        cwd: its working directory.
        env: its whole environment; `PATH` in it is where the command is looked for.
        timeout_s: how long it may run.
        max_bytes: how much of stdout is kept.
        max_error_bytes: how much of stderr is kept; what is beyond is read and dropped.
        term_grace_s: time between SIGTERM and SIGKILL.
        limits: what it may take of the machine.
        stdin: a file that it reads; None: nothing.

    Returns:
        How it ended, and what it printed; also where it could not be started.
    """
    stdout, stderr = Capture(max_bytes), Capture(max_error_bytes)
    ended = await _run(
        argv, cwd, env, timeout_s, term_grace_s, limits, [stdout, stderr], stdin=stdin
    )
    return CapturedOutput(ended.result(), bytes(stdout.kept), stdout.truncated, bytes(stderr.kept))


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a run ended, before its lines are counted."""

    started: float
    returncode: int | None = None
    timed_out: bool = False
    not_started: str | None = None
    found: bool = True
    output_bytes: int = 0
    may_have_lost: bool = False

    def result(self, lines: int = 0, lines_dropped: int = 0) -> ProcessResult:
        code = self.returncode
        return ProcessResult(
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            timed_out=self.timed_out,
            not_started=self.not_started,
            duration_ms=round((time.monotonic() - self.started) * 1000),
            lines=lines,
            lines_dropped=lines_dropped,
            bytes=self.output_bytes,
            found=self.found,
            may_have_lost=self.may_have_lost,
        )


async def _run(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    term_grace_s: float,
    limits: ToolLimits,
    sinks: list[OutputSink],
    *,
    ticker: Ticker | None = None,
    stdin: IO[bytes] | None = None,
) -> _Ended:
    started = time.monotonic()
    if refused := _refused(argv[0], cwd, env, started):
        return refused
    pipes: OutputPipes | None = None
    try:
        try:
            pipes = OutputPipes(len(sinks))
            stdout, stderr = pipes.pipes
            guarded = await spawn_guarded(
                argv,
                cwd=cwd,
                env=env,
                grace_s=term_grace_s,
                stdout=stdout.write_fd,
                stderr=stderr.write_fd,
                niceness=NICENESS,
                limits=limits,
                stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
            )
        except OSError as error:
            _log.warning("process_not_started", error=str(error))
            why = (error.strerror or "the system refused").lower()
            return _Ended(started, not_started=f"it could not be started: {why}")
        watch = ProcessWatch(guarded, pipes, term_grace_s=term_grace_s)
        timed_out = await watch.to_end(timeout_s, sinks, ticker)
        returncode = guarded.process.returncode
        exited = returncode is not None and returncode >= 0 and not timed_out
        return _Ended(
            started,
            returncode=returncode,
            timed_out=timed_out,
            output_bytes=pipes.bytes,
            may_have_lost=exited and any(pipe.may_have_lost for pipe in pipes.pipes),
        )
    finally:
        if pipes is not None:
            pipes.close()


def _refused(name: str, cwd: Path, env: Mapping[str, str], started: float) -> _Ended | None:
    """What can be known before the start: the guard starts all the same, and then says 127."""
    if not cwd.is_dir():
        return _Ended(started, not_started="its working directory is not there")
    if not is_command(name, cwd=cwd, env=env):
        return _Ended(started, not_started=f"{Path(name).name}: command not found", found=False)
    return None


def is_command(name: str, *, cwd: Path, env: Mapping[str, str]) -> bool:
    """Whether there is such a command: on the PATH of `env`, or relative to `cwd` with a slash."""
    path = str(cwd / name) if "/" in name else name
    return shutil.which(path, path=env.get("PATH", os.defpath)) is not None
