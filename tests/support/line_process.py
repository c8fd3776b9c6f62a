"""A child process that prints JSON lines: clients that nobody here wrote."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import check_frame
from tests.support.node import MODULES, find_node
from tests.support.processes import end, spawn, wait_until

NODE = Path(__file__).parent / "node"


class LineProcess:
    """A running client, and what it printed."""

    def __init__(self, argv: list[str], directory: Path) -> None:
        number = len(list(directory.glob("client-*.out")))
        self._out = directory / f"client-{number}.out"
        self._err = directory / f"client-{number}.err"
        environ = {**os.environ, "NODE_PATH": str(MODULES)}
        self._read_to = 0
        self._lines: list[dict[str, Any]] = []
        self.process = spawn(argv, environ=environ, stdout=self._out, stderr=self._err)

    def text(self) -> str:
        """All that it printed."""
        return self._out.read_text(encoding="utf-8")

    def lines(self) -> list[dict[str, Any]]:
        """The lines that are complete, as JSON."""
        with self._out.open("rb") as out:
            out.seek(self._read_to)
            whole, end_of_line, _ = out.read().rpartition(b"\n")
        self._read_to += len(whole + end_of_line)
        for line in map(json.loads, whole.splitlines()):
            if isinstance(line, dict) and isinstance(line.get("frame"), dict):
                check_frame(line["frame"])
            self._lines.append(line)
        return self._lines

    def wait(
        self, matches: Callable[[dict[str, Any]], bool], timeout_s: float = 60
    ) -> dict[str, Any]:
        """The first line that matches, once it is there."""
        looked_at = 0
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            nonlocal looked_at
            lines = self.lines()
            found.extend(filter(matches, lines[looked_at:]))
            looked_at = len(lines)
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
    node = find_node()
    package = "sockjs-client" if script.startswith("sockjs") else "eventsource"
    if node is None or not (MODULES / package).exists():
        pytest.skip(f"node and the npm package {package} are needed")
    return [node, str(NODE / script), *arguments]
