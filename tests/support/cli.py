"""`python -m rtserver COMMAND` as an operator runs it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.forked import ForkedServer
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
    (done,) = rtserver_many((arguments, settings))
    return done


def rtserver_many(
    *cases: tuple[Sequence[str], Mapping[str, object]],
) -> "list[subprocess.CompletedProcess[str]]":
    """Like `rtserver` for several commands, side by side.

    Args:
        cases: arguments and settings of each.
    """
    with tempfile.TemporaryDirectory(prefix="rtserver-cli-") as folder:
        begun = []
        for number, (arguments, settings) in enumerate(cases):
            out, err = (Path(folder, f"{number}.{name}") for name in ("out", "err"))
            process = ForkedServer(
                arguments, environ=environ_of(**settings), stdout=out, stderr=err
            )
            begun.append((process, out, err))
        try:
            return [
                subprocess.CompletedProcess(
                    process.args, process.wait(CLI_S), out.read_text(), err.read_text()
                )
                for process, out, err in begun
            ]
        finally:
            for process, _, _ in begun:
                process.kill()


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
