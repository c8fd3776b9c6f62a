"""SIGTERM ends a worker within its grace period, whatever its threads do."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import environ_of
from tests.support.lateness import lateness
from tests.support.mongo import MongodProcess
from tests.support.processes import spawn, wait_until
from tests.support.workers import QUICK_SETTINGS, LogLine, log_lines

GRACE_S = 2.0
LONG_GRACE_S = 60.0
MOST_S = 10.0
"""Beyond the grace period; its threads never end."""


class StuckWorker:
    """A worker that has threads which never end."""

    def __init__(self, directory: Path, *kinds: str, **settings: object) -> None:
        self._log = directory / "stuck.log"
        given = {
            **QUICK_SETTINGS,
            "shutdown_grace_s": GRACE_S,
            "data_dir": directory / "var",
            "workspace_root": directory / "workspaces",
            **settings,
        }
        self.process: subprocess.Popen[bytes] = spawn(
            [sys.executable, "-m", "tests.support.stuck_worker", *kinds],
            environ=environ_of(**given),
            stdout=self._log,
            stderr=self._log,
        )
        wait_until(lambda: bool(self.logged("serving")), "it serves", explain=self._log.read_text)

    def logged(self, event: str) -> list[LogLine]:
        return [line for line in log_lines(self._log.read_text()) if line.event == event]

    def ends_within(self, most_s: float) -> None:
        """Send SIGTERM, and hold that it is gone by then, as this machine has time for it."""
        with lateness() as late_s:
            begun_s = time.monotonic()
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            took_s = time.monotonic() - begun_s
        assert took_s < most_s + 10 * late_s(), self._log.read_text()


@pytest.fixture
def grace_s() -> float:
    return GRACE_S


@pytest.fixture
def stuck(
    tmp_path: Path, mongod: MongodProcess, database: str, grace_s: float
) -> Iterator[StuckWorker]:
    """With a thread that is busy in Python, and one that waits in C."""
    worker = StuckWorker(
        tmp_path,
        "python",
        "c",
        mongodb_uri=mongod.uri,
        mongodb_database=database,
        shutdown_grace_s=grace_s,
    )
    yield worker
    worker.process.kill()
    worker.process.wait(20)


def test_threads_that_do_not_end_are_named_and_left(stuck: StuckWorker) -> None:
    stuck.ends_within(GRACE_S + MOST_S)
    assert stuck.process.returncode == 1
    (line,) = stuck.logged("process_did_not_end")
    threads = "\n".join(line.fields["threads"])
    assert "stuck_worker.py" in threads
    assert " busy" in threads
    assert not stuck.logged("shutdown_step_cut_off")
    assert not stuck.logged("shutdown_step_failed")


@pytest.mark.parametrize("grace_s", [LONG_GRACE_S])
def test_a_second_signal_ends_it_at_once(stuck: StuckWorker) -> None:
    stuck.process.send_signal(signal.SIGTERM)
    wait_until(lambda: bool(stuck.logged("stopping")), "it stops")
    stuck.ends_within(LONG_GRACE_S / 3)
    assert stuck.process.returncode == -signal.SIGTERM


def test_its_mongodb_ends_with_a_worker_whose_event_loop_is_stuck(tmp_path: Path) -> None:
    worker = StuckWorker(tmp_path, "loop")
    try:
        (started,) = worker.logged("mongod_started")
        worker.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: bool(worker.logged("stuck")), "its event loop is stuck")
        worker.ends_within(GRACE_S + MOST_S)
        assert worker.process.returncode == 1
        assert worker.logged("process_did_not_end")
        wait_until(lambda: not _is_there(started.fields["group_id"]), "its mongod ends")
    finally:
        worker.process.kill()
        worker.process.wait(20)


def _is_there(group_id: int) -> bool:
    try:
        os.killpg(group_id, 0)
    except ProcessLookupError:
        return False
    return True
