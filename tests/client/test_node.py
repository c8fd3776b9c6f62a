"""Runs the browser client's own tests, which are for Node's test runner."""

import subprocess
from pathlib import Path

import pytest

from tests.support.node import need_node

_HERE = Path(__file__).parent
_TIMEOUT_S = 120
_OLDEST_NODE = 20


def _node() -> str:
    node = need_node()
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").split(".")[0]) < _OLDEST_NODE:
        pytest.skip(f"the browser client's unit tests need Node {_OLDEST_NODE}; here is {version}")
    return node


def test_browser_client() -> None:
    tests = sorted(map(str, _HERE.glob("*.test.mjs")))
    assert tests
    done = subprocess.run(
        [_node(), "--test", *tests],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
