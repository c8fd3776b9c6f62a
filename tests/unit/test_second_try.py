"""What passes only at the second try fails the run, unless it is known."""

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.second_try import (
    LONGEST_QUARANTINE,
    MOST_QUARANTINED,
    QUARANTINE,
    Quarantined,
    read_quarantine,
    unknown,
)
from tests.support.processes import ROOT

FLAKY = """
from pathlib import Path
import pytest

def test_steady():
    pass

@pytest.mark.parametrize("number", [1, 2])
def test_by_chance(number):
    mark = Path(f"tried-{number}")
    tried = mark.exists()
    mark.touch()
    assert number == 1 or tried
"""
ENTRY = """
[[test]]
id = "test_some.py::test_by_chance"
since = 2026-01-31
known = "the first run in a folder fails"
suspicion = "it looks for a file"
"""


def test_the_quarantine_is_short_and_nobody_stays() -> None:
    entries = read_quarantine(ROOT / QUARANTINE)
    assert len(entries) <= MOST_QUARANTINED
    today = dt.datetime.now(dt.UTC).date()
    for entry in entries:
        age = today - entry.since
        assert dt.timedelta(days=-1) <= age <= LONGEST_QUARANTINE, entry
        assert len(entry.known.split()) >= 3, entry
        assert len(entry.suspicion.split()) >= 3, entry
        path, _, name = entry.id.partition("::")
        assert f"def {name.partition('[')[0].rpartition('::')[2]}(" in (ROOT / path).read_text()


def test_an_entry_without_its_reasons_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.toml"
    path.write_text('[[test]]\nid = "tests/test_a.py::test_b"\nsince = 2026-01-31\n')
    with pytest.raises(TypeError, match="known"):
        read_quarantine(path)


def test_a_test_is_known_with_or_without_its_parameters() -> None:
    failed = ["a.py::one[x]", "a.py::one[y]", "a.py::two[x]", "a.py::two[y]", "b.py::one"]
    quarantine = [
        Quarantined(name, dt.date(2026, 1, 31), "", "") for name in ("a.py::one", "a.py::two[x]")
    ]
    assert unknown(failed, quarantine) == ["a.py::two[y]", "b.py::one"]


@pytest.mark.parametrize(
    ("quarantine", "code"), [("", 1), (ENTRY, 0), (ENTRY.replace("by_chance", "by_chance[1]"), 1)]
)
def test_a_second_try_that_passes_is_named_and_fails_the_run(
    tmp_path: Path, quarantine: str, code: int
) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "test_some.py").write_text(FLAKY)
    (tmp_path / QUARANTINE).write_text(quarantine)
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "second_try.py", "-q"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTEST_ADDOPTS": "",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    named = "FAILED, THEN PASSED at the second try (see above for how they failed):\n"
    assert f"{named}  test_some.py::test_by_chance[2]\n" in done.stdout
    assert ("So this run failed" in done.stdout) is (code == 1)
