"""Node.js and what is installed for it, for the tests that need them."""

import os
import shutil
from collections.abc import Mapping

import pytest

from tests.support.processes import ROOT

MODULES = ROOT / "node_modules"
OPENSPEC = MODULES / ".bin" / "openspec"


def tool_environment() -> Mapping[str, str]:
    """The environment for Node.js and its tools.

    `make` puts a Node.js from PyPI beside them where the system has none. OpenSpec tells of its
    telemetry at the first run of each user.
    """
    path = os.pathsep.join([str(OPENSPEC.parent), os.environ.get("PATH") or os.defpath])
    return {**os.environ, "PATH": path, "OPENSPEC_TELEMETRY": "0"}


def find_node() -> str | None:
    """Where Node.js is; None where there is none."""
    return shutil.which("node", path=tool_environment()["PATH"])


def need_node() -> str:
    """Where Node.js is. Skips the test where there is none."""
    node = find_node()
    if node is None:
        pytest.skip("no Node.js is installed: `make test` gets it")
    return node


def need_openspec() -> None:
    """Skip the test where the validator is not installed."""
    if not OPENSPEC.exists() and shutil.which("openspec") is None:
        pytest.skip("openspec is not installed: run `npm ci`")
