"""Child processes that end with the test run, however it ends."""

import functools
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[2]
POLL_S = 0.02
STOP_S = 20.0


def spawn(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    cwd: Path = ROOT,
) -> "subprocess.Popen[bytes]":
    """Start a process whose output goes to files.

    Where `setpriv` is found, a test run that is killed leaves nothing behind: the kernel ends the
    process together with the thread that started it, which is one that lives as long as the run.
    """
    setpriv = shutil.which("setpriv")
    prefix = [setpriv, "--pdeathsig", "SIGKILL"] if setpriv else []
    with stdout.open("ab") as out, stderr.open("ab") as err:
        return (
            _spawner()
            .submit(
                subprocess.Popen,
                [*prefix, *argv],
                env=dict(environ),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
            .result()
        )


@functools.cache
def _spawner() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "spawner")


class Child(Protocol):
    """What is asked of a process: `subprocess.Popen`, or one that is like it."""

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def kill(self) -> None: ...


def end(process: Child, *, tell: bool = True) -> bool:
    """SIGTERM, and SIGKILL where that does not help in time; whether SIGTERM was enough.

    Args:
        process: what to end.
        tell: False where it was sent SIGTERM before; a second one ends a worker at once.
    """
    if tell and process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_S)
        return False
    return True


def wait_until(
    condition: Callable[[], bool],
    what: str,
    *,
    timeout_s: float = 30.0,
    explain: Callable[[], str] = str,
) -> None:
    """Block until something is so.

    Raises:
        TimeoutError: it did not come about; with `what`, and what `explain` says.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s\n{explain()}")
        time.sleep(POLL_S)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and not only what is left of it until it is waited for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the latter where it ends as it is looked at
        return False
    return state not in {"Z", "X"}


def resident_bytes(pid: int) -> int:
    """How much memory a process has in use."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()
