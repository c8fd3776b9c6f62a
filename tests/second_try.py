"""The suite, with a second try: ``python -m tests.second_try [pytest's arguments]``.

The files in which a test failed are run once more when all the rest is over, one at a time, to tell
what fails by chance from what always does. Both fail the run. A race that shows once in five runs
is a fault to be found, be it the test's or the server's; while it is looked for, it may stand in
`tests/quarantine.toml`, see `Quarantined`. What failed is named at the very end.

``--no-second-try`` is for whoever looks for such faults.
"""

import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.memory import folder_in_memory

MOST_FILES = 2
"""Where more failed, none is tried again: that is no chance."""
FAILED = Path(".pytest_cache/v/cache/lastfailed")
"""Where pytest keeps what failed: an object with a key for each test's node id."""
QUARANTINE = Path("tests/quarantine.toml")
MOST_QUARANTINED = 5
LONGEST_QUARANTINE = dt.timedelta(days=30)


@dataclass(frozen=True)
class Quarantined:
    """A test that may pass only at the second try, for a while.

    Attributes:
        id: pytest's node id; without parameters it is all of the test's.
        since: when it was put there.
        known: what was seen: how it fails, how often, where.
        suspicion: what may be behind it.
    """

    id: str
    since: dt.date
    known: str
    suspicion: str


def read_quarantine(path: Path = QUARANTINE) -> list[Quarantined]:
    """Read the list.

    Raises:
        TypeError: an entry has not just what it takes.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("test", [])
    return [Quarantined(**entry) for entry in entries]


def unknown(failed: Collection[str], quarantine: Collection[Quarantined]) -> list[str]:
    """Those of the failed tests that are not in quarantine."""
    known = {entry.id for entry in quarantine}
    return [test for test in failed if test not in known and test.partition("[")[0] not in known]


def main(arguments: list[str]) -> int:
    """Return pytest's exit code; 0 also where all that failed is in quarantine and passed then."""
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
    again = _pytest(*files)
    if again != pytest.ExitCode.OK:
        return again
    _say("FAILED, THEN PASSED at the second try (see above for how they failed):", *failed)
    by_chance = unknown(failed, read_quarantine())
    if not by_chance:
        return again
    _say(f"So this run failed: these are not in {QUARANTINE}:", *by_chance)
    return code


def _say(first: str, *lines: str) -> None:
    sys.stdout.write("\n".join(("", first, *(f"  {line}" for line in lines), "")))
    sys.stdout.flush()  # before what pytest writes, which is another process


def _pytest(*arguments: str) -> int:
    # Each of the many processes would compile all of the server, and half of them all tests too.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "pytest", *arguments]
    memory = folder_in_memory()
    if memory is None or "--basetemp" in " ".join(arguments):
        return subprocess.run(command, check=False, env=environ).returncode
    # Journals, spools and archives are flushed at each step: half of what their tests took.
    with tempfile.TemporaryDirectory(prefix="rt-", dir=memory, ignore_cleanup_errors=True) as files:
        return subprocess.run(
            [*command, f"--basetemp={files}"], check=False, env=environ
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
