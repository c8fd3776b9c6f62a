"""A child process that prints JSON lines: clients that nobody here wrote."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import check_frame
from tests.support.processes import ROOT, end, spawn, wait_until

NODE = Path(__file__).parent / "node"


class LineProcess:
    """A running client, and what it printed."""

    def __init__(self, argv: list[str], directory: Path) -> None:
        number = len(list(directory.glob("client-*.out")))
        self._out = directory / f"client-{number}.out"
        self._err = directory / f"client-{number}.err"
        environ = {**os.environ, "NODE_PATH": str(ROOT / "node_modules")}
        self._checked = 0
        self.process = spawn(argv, environ=environ, stdout=self._out, stderr=self._err)

    def text(self) -> str:
        """All that it printed."""
        return self._out.read_text(encoding="utf-8")

    def lines(self) -> list[dict[str, Any]]:
        """The lines that are complete, as JSON."""
        whole = self.text().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines()]
        for line in lines[self._checked :]:
            if isinstance(line, dict) and isinstance(line.get("frame"), dict):
                check_frame(line["frame"])
        self._checked = len(lines)
        return lines

    def wait(
        self, matches: Callable[[dict[str, Any]], bool], timeout_s: float = 60
    ) -> dict[str, Any]:
        """The first line that matches, once it is there."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = filter(matches, self.lines())
            return bool(found)

        wait_until(is_there, "the client's line", timeout_s=timeout_s, explain=self._explain)
        return found[0]

    def _explain(self) -> str:
        return f"{self.text()[-4000:]}\n{self._err.read_text(encoding='utf-8')[-4000:]}"


@contextmanager
def line_process(argv: list[str], directory: Path) -> Iterator[LineProcess]:
    """Run a client."""
    client = LineProcess(argv, directory)
    try:
        yield client
    finally:
        end(client.process)


def node_client(script: str, *arguments: str) -> list[str]:
    """The command line of a script in `tests/support/node`. Skips where it can't run."""
    node = shutil.which("node")
    package = "sockjs-client" if script.startswith("sockjs") else "eventsource"
    if node is None or not (ROOT / "node_modules" / package).exists():
        pytest.skip(f"node and the npm package {package} are needed")
    return [node, str(NODE / script), *arguments]
