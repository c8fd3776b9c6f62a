"""Processes of the server, forked off one that has imported it already.

Importing it is most of what a start costs, and a run of the tests starts some hundred. Apart from
that these are what `python -m rtserver` is: a process with an environment, files and a death of its
own. That `python -m rtserver` starts without any help is shown by what runs under supervisord, and
by `tests.support.cli.start_rtserver`.
"""

import ctypes
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from multiprocessing import connection
from pathlib import Path
from unittest import mock

from rtserver.cli import clean_start
from tests.support.processes import ROOT

PRELOADED = [
    "rtserver.cli.main",
    "rtserver.runs.llm.client",
]  # which the server imports only where it needs it
PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000

_context = multiprocessing.get_context("forkserver")


class ForkedServer:
    """`python -m rtserver ARGUMENTS`; used like a `subprocess.Popen`.

    It ends with the test run, however that ends: the process that it was forked off is told by the
    kernel, and it by that one's death.

    Attributes:
        returncode: as of `Popen`: None until it is known to have ended.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environ: Mapping[str, str],
        stdout: Path,
        stderr: Path,
        network: Path | None = None,
    ) -> None:
        """Start it.

        Args:
            arguments: the command and its arguments.
            environ: all of its environment.
            stdout: what it writes is added to this file.
            stderr: likewise.
            network: the namespace that it runs in; None: this process's.
        """
        for path in (stdout, stderr):
            path.touch()  # it is looked at before there is anything in it
        _context.set_forkserver_preload(PRELOADED)
        self.args = ["rtserver", *arguments]
        self.returncode: int | None = None
        self._lock = threading.Lock()
        self._process = _context.Process(
            target=_run, args=(self.args, dict(environ), stdout, stderr, network), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """The exit status, -N where signal N ended it; None while it runs."""
        with self._lock:
            if self.returncode is None:
                self.returncode = self._process.exitcode
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return the exit status.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        connection.wait([self._process.sentinel], timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _run(
    argv: list[str], environ: dict[str, str], stdout: Path, stderr: Path, network: Path | None
) -> None:
    """Be that process."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if network is not None:
        with network.open() as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns", str(network))
    for path, stream in ((stdout, sys.stdout), (stderr, sys.stderr)):
        with path.open("ab") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(ROOT)
    if environ.get("PYTHONWARNINGS") == "default":
        warnings.resetwarnings()
        warnings.simplefilter("default")
    sys.argv = argv
    # Tests look into it, also where they run as a plain user.
    mock.patch.object(clean_start, "close_to_others").start()
    runpy.run_module("rtserver", run_name="__main__", alter_sys=True)
