"""Guarded processes from asyncio: they end when the server ends.

Each runs under ``guard.py``: see there for what is guaranteed and how.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from rtserver.runs.process.limits import ToolLimits

_GUARD = Path(__file__).with_name("guard.py")
_NO_LIMITS = "-"
_STREAM_LIMIT_BYTES = 64 * 1024


class GuardedProcess:
    """A running command, its guard, and the process group that both are in.

    Signals go to the group (`kill_group`): the guard lets all but SIGKILL and SIGSTOP pass it by,
    so ``process.terminate()`` would reach nobody. The exit status of ``process`` is the command's.
    ``process.wait()`` waits for its pipes to be closed too, so bound it: a process that left the
    group may hold them open.

    Attributes:
        process: The guard, with the command's stdout and stderr.
    """

    def __init__(self, process: asyncio.subprocess.Process, pipe_fd: int) -> None:
        self.process = process
        self._pipe_fd: int | None = pipe_fd

    @property
    def pid(self) -> int:
        """The guard's process id, which is the process group's id too."""
        return self.process.pid

    def kill_group(self, sig: signal.Signals) -> bool:
        """Signal the command and everything that it started in its group.

        Returns:
            False where there is nobody left, or after `release`.
        """
        if self._pipe_fd is None:
            return False
        try:
            os.killpg(self.pid, sig)
        except ProcessLookupError:
            return False
        return True

    def release(self) -> None:
        """Close the pipe; harmless when repeated.

        To be called once the process has ended (its group's id may then be used by another). While
        it runs, this is what the guard would see if the server died: SIGTERM, grace, SIGKILL.
        """
        if self._pipe_fd is not None:
            os.close(self._pipe_fd)
            self._pipe_fd = None


async def spawn_guarded(
    argv: Sequence[str],
    *,
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    grace_s: float,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    niceness: int = 0,
    limits: ToolLimits | None = None,
    limit_bytes: int = _STREAM_LIMIT_BYTES,
    stdin: int | IO[bytes] = asyncio.subprocess.DEVNULL,
) -> GuardedProcess:
    """Start a command that does not outlive this process, in a new process group.

    The guarantee rests on the pipe's write end staying in this process:
    it is closed on exec, so only a bare fork (multiprocessing's "fork") would carry it on.

    Args:
        argv: The command; a name without a slash is looked up on the PATH of ``env``.
        cwd: The working directory.
        env: The whole environment of the command.
        grace_s: Seconds between SIGTERM and SIGKILL when this process is gone, and for what the
            command leaves behind in its group.
        stdout: A file, ``asyncio.subprocess.PIPE`` or ``DEVNULL``.
        stderr: Likewise, or ``asyncio.subprocess.STDOUT``.
        niceness: How far it stands below this process where both want the processor, 0 to 19.
        limits: What it may take of the machine; it may not look into other processes then either.
            None where it is as trusted as this process.
        limit_bytes: What a pipe's StreamReader buffers before it stops reading.
        stdin: A file that it reads; nothing writes to it, so no pipe of ours.

    Returns:
        The process. A command that can't be found or executed shows as exit status 127 or 126 with
        a line on stderr.

    Raises:
        OSError: ``cwd`` is not there, or the system is out of processes or file descriptors.
        ValueError: ``argv`` is empty, or ``grace_s`` is negative.
    """
    if not argv or grace_s < 0:
        raise ValueError("a command and a grace of at least 0 s are needed")
    read_fd, write_fd = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            _GUARD,
            str(read_fd),
            str(grace_s),
            _NO_LIMITS if limits is None else limits.to_argument(),
            *argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env=env,
            pass_fds=(read_fd,),
            start_new_session=True,
            limit=limit_bytes,
        )
    except BaseException:
        os.close(write_fd)  # where the guard did start, this ends it
        raise
    finally:
        os.close(read_fd)
    if niceness:
        own = os.getpriority(os.PRIO_PROCESS, 0)
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.setpriority(os.PRIO_PGRP, process.pid, min(own + niceness, 19))
    return GuardedProcess(process, write_fd)
