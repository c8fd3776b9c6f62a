"""What others can see of how a server was started, with real processes."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from rtserver.cli.clean_start import SECRET_FLAGS, without_secrets
from rtserver.config.settings import SETTING_SPECS
from tests.support.processes import ROOT

SCRIPT = """\
import ctypes, json, os, sys
from pathlib import Path
from rtserver.cli.clean_start import PR_SET_DUMPABLE, start_clean
PR_GET_DUMPABLE = 3
before = len(os.listdir("/proc/self/fd"))
arguments, environ = start_clean(sys.argv[1:])
prctl = ctypes.CDLL(None).prctl
dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)
prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # or a plain user could not even look at itself
names = ("environ", "cmdline")
shown = {name: os.fsdecode(Path("/proc/self", name).read_bytes()) for name in names}
print(json.dumps({"arguments": arguments, "settings": dict(environ), "dumpable": dumpable,
  "fds": len(os.listdir("/proc/self/fd")) - before, "own": dict(os.environ), **shown}))
"""


def started(*arguments: str, **environ: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env={"PATH": os.environ["PATH"], "OTHER": "kept", **environ},
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=30,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_settings_are_where_only_the_server_can_see_them() -> None:
    arguments = ["serve", "--port", "0", "--llm-api-key=hidden-1", "--jwt-secret", "hidden-2"]
    found = started(*arguments, RT_JWT_SECRET="hidden-3", RT_LLM_MODEL="m\udce9")
    assert found["arguments"] == arguments
    assert found["settings"]["RT_JWT_SECRET"] == "hidden-3"
    assert found["settings"]["RT_LLM_MODEL"] == "m\udce9"
    assert found["settings"]["OTHER"] == "kept"
    assert "OTHER=kept" in found["environ"]
    assert "--port\0" in found["cmdline"]
    assert "hidden" not in found["environ"] + found["cmdline"]
    # Programs that it starts inherit none either, and what was handed over is closed.
    assert not [name for name in found["own"] if "RT" in name]
    assert found["fds"] < 0
    assert found["dumpable"] == 0


def test_a_secret_in_the_environment_alone_is_enough() -> None:
    found = started("mongod", RT_MONGODB_URI="mongodb://u:hidden@db")
    assert found["settings"]["RT_MONGODB_URI"] == "mongodb://u:hidden@db"
    assert "hidden" not in found["environ"]


@pytest.mark.parametrize("command", ["serve", "token"])
def test_nothing_is_executed_anew_without_need(command: str) -> None:
    found = started(command, "--port", "1")
    assert found["arguments"] == [command, "--port", "1"]
    assert found["dumpable"] == 0
    assert found["fds"] == 0


def test_the_flags_that_hold_secrets_are_known() -> None:
    secret = {spec.flag for spec in SETTING_SPECS if spec.secret}
    in_queries = {"--llm-base-url", "--audit-witness-url"}
    assert set(SECRET_FLAGS) == secret | in_queries


def test_a_command_line_shows_all_but_secrets() -> None:
    given = ["-m", "rtserver", "serve", "--demo", "--jwt-sec", "s", "--port=1", "--mongodb-uri=u"]
    shown = ["-m", "rtserver", "serve", "--demo", "--jwt-sec", "...", "--port=1"]
    assert without_secrets(given) == [*shown, "--mongodb-uri=..."]
    assert without_secrets(["--jwt-secret", "--llm-api-key", "s", "-x"]) == [
        *["--jwt-secret", "--llm-api-key", "...", "-x"]
    ]
