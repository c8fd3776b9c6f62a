"""`python -m rtserver COMMAND` as an operator runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.processes import ROOT

CLI_S = 60.0


def environ_of(**settings: object) -> dict[str, str]:
    """This process's environment with these settings only."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("RT_")}
    return {**inherited, **{f"RT_{name.upper()}": str(text) for name, text in settings.items()}}


def rtserver(*arguments: str, **settings: object) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end.

    Args:
        arguments: the command and its arguments.
        settings: by attribute name: `data_dir=...`.
    """
    return subprocess.run(
        [sys.executable, "-m", "rtserver", *arguments],
        env=environ_of(**settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CLI_S,
        check=False,
    )


RUN_MANY = """
import contextlib, io, json, os, sys
from rtserver.cli import main
for arguments, environ in json.load(sys.stdin):
    os.environ.clear()
    os.environ.update(environ)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    print(json.dumps([status, out.getvalue(), err.getvalue()]))
"""


def rtserver_many(
    *cases: tuple[Sequence[str], Mapping[str, object]],
) -> "list[subprocess.CompletedProcess[str]]":
    """Like `rtserver` for several commands, in one process: most of the time goes into its start.

    Args:
        cases: arguments and settings of each.
    """
    given = [(list(arguments), environ_of(**settings)) for arguments, settings in cases]
    done = subprocess.run(
        [sys.executable, "-c", RUN_MANY],
        cwd=ROOT,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=CLI_S,
        check=True,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        subprocess.CompletedProcess(arguments, status, out, err)
        for (arguments, _), (status, out, err) in zip(cases, results, strict=True)
    ]


def start_rtserver(*arguments: str, stdout: Path, **settings: object) -> "subprocess.Popen[bytes]":
    """Start a command that runs until it is told to stop."""
    with stdout.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "rtserver", *arguments],
            env=environ_of(**settings),
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
