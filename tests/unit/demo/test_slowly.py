"""`rtserver.demo.slowly`, as a process of its own."""

import subprocess
import sys
import time

import pytest

from rtserver.demo.project import SLOWLY
from rtserver.demo.slowly import NOTE

SAYS = "import sys; print('one'); print('two', file=sys.stderr); print('three', end='');"


def run(lines_a_second: int, *command: str) -> subprocess.CompletedProcess[str]:
    words = [*SLOWLY[:-1], str(lines_a_second), *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_all_that_a_command_prints_is_passed_on_after_a_note() -> None:
    done = run(1000, sys.executable, "-u", "-c", f"{SAYS} sys.exit(1)")
    assert done.stdout.splitlines() == [NOTE.format(1000), "one", "two", "three"]
    assert done.returncode == 1


def test_it_takes_its_time_over_each_line() -> None:
    began_s = time.monotonic()
    run(10, sys.executable, "-c", SAYS)
    assert time.monotonic() - began_s >= 0.3


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["/no/such/openspec"], 127),
        ([sys.executable, "-c", "import os; os.kill(os.getpid(), 15)"], 128 + 15),
    ],
)
def test_a_command_that_cannot_do_its_work_is_told_as_a_shell_does(
    command: list[str], code: int
) -> None:
    assert run(1000, *command).returncode == code
