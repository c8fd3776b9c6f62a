"""What is asked of OpenSpec's command, with a stand-in that answers at once."""

import sys
from pathlib import Path

import pytest

from rtserver.revisions import openspec as module
from rtserver.revisions.openspec import OpenSpec, OpenSpecError
from rtserver.runs.process.run import NO_LIMITS

ANSWERS = """
import json, sys, time
asked = sys.argv[1:]
if asked[0] == "status":
    print(json.dumps({"artifactPaths": {"specs": {}, "tasks": {}, "empty": {}, "--odd": {}}}))
elif asked[1] == "empty":
    print("{}")
else:
    print(json.dumps({"instruction": " ".join(asked)}))
"""


def _openspec(folder: Path, body: str) -> OpenSpec:
    path = folder / "openspec"
    path.write_text(f"#!{sys.executable} -IS\n{body}")
    path.chmod(0o755)
    return OpenSpec({"PATH": str(folder)}, NO_LIMITS)


@pytest.mark.gen_test
async def test_the_schema_says_what_each_artifact_is(tmp_path: Path) -> None:
    found = await _openspec(tmp_path, ANSWERS).instructions(tmp_path, "c1")
    assert found == {name: f"instructions {name} --change c1 --json" for name in ("specs", "tasks")}


@pytest.mark.gen_test
async def test_one_that_is_older_or_slow_or_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = _openspec(tmp_path, "print('unknown command')")
    with pytest.raises(OpenSpecError, match="What OpenSpec said"):
        await older.instructions(tmp_path, "c1")
    monkeypatch.setattr(module, "INSTRUCTIONS_TIMEOUT_S", 0.05)
    slow = _openspec(tmp_path, "import time; time.sleep(60)")
    with pytest.raises(OpenSpecError, match="in time"):
        await slow.instructions(tmp_path, "c1")
    (tmp_path / "openspec").unlink()
    with pytest.raises(OpenSpecError, match="not installed"):
        await slow.instructions(tmp_path, "c1")
