"""The suite, with a second try: ``python -m tests.second_try [pytest's arguments]``.

Some 3,000 tests start hundreds of servers and browsers on few processors, so that now and then one
fails for want of them alone. As CPython's own test runner does with ``--rerun``, the files in which
a test failed are run once more when all the rest is over, one at a time. What fails twice has
failed, and so has a run in which more than `MOST_FILES` failed. What passed at the second try is
named at the very end: it is a fault to be found, be it the test's or the server's.

``--no-second-try`` is for whoever looks for such faults.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MOST_FILES = 2
FAILED = Path(".pytest_cache/v/cache/lastfailed")
"""Where pytest keeps what failed: an object with a key for each test's node id."""


def main(arguments: list[str]) -> int:
    """Return pytest's exit code; 0 also where all that failed passed at the second try."""
    once = "--no-second-try" in arguments
    given = [argument for argument in arguments if argument != "--no-second-try"]
    code = _pytest("--cache-clear", *given)
    if code != pytest.ExitCode.TESTS_FAILED or once:
        return code
    failed = sorted(json.loads(FAILED.read_text()))
    files = sorted({test.partition("::")[0] for test in failed})
    if len(files) > MOST_FILES:
        return code
    _say(f"Second try, on their own: {', '.join(files)}")
    code = _pytest(*files)
    if code == pytest.ExitCode.OK:
        _say("FAILED, THEN PASSED at the second try (see above for how they failed):", *failed)
    return code


def _say(first: str, *lines: str) -> None:
    sys.stdout.write("\n".join(("", first, *(f"  {line}" for line in lines), "")))
    sys.stdout.flush()  # before what pytest writes, which is another process


def _pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
