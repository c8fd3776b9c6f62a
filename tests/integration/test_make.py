"""What `make` says of a machine that lacks something, before it downloads anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import ROOT

PYTHONS = ("python3", "python3.11", "python3.12", "python3.13", "python3.14")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As a fresh clone: nothing is installed in it."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "store", clone / "store")
    for name in ("Makefile", "package.json", "package-lock.json"):
        shutil.copy(ROOT / name, clone)
    for path in ROOT.glob("requirements*.txt"):
        shutil.copy(path, clone)
    return clone


def stub(clone: Path, name: str, body: str) -> None:
    path = clone.parent / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def make(clone: Path, target: str, *before: str) -> "subprocess.CompletedProcess[str]":
    """Call make as from a shell, though it may be make that runs this test."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("MAKE", "RT_"))}
    path = os.pathsep.join([str(clone.parent / "bin"), os.environ["PATH"]])
    return subprocess.run(
        [*before, "make", target],
        cwd=clone,
        env={**kept, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("target", ["run", "test", "lint"])
def test_no_python_that_can_make_an_environment(clone: Path, target: str) -> None:
    for name in PYTHONS:
        stub(clone, name, "exit 1")
    done = make(clone, target)
    assert done.returncode != 0
    assert "install python3-venv" in done.stderr
    assert done.stdout == ""
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("target", ["run", "test"])
def test_no_mongod_for_this_machine(clone: Path, target: str) -> None:
    if shutil.which("setarch") is None or shutil.which("mongod") is not None:
        pytest.skip("setarch is needed, and no mongod on PATH")
    done = make(clone, target, "setarch", "i686")
    assert done.returncode != 0
    assert "this is i686 Linux" in done.stderr
    assert "set RT_MONGODB_URI" in done.stderr
    assert not (clone / ".venv").exists()


def test_no_node_for_this_machine(clone: Path) -> None:
    """The server runs without it, so nothing stops."""
    if shutil.which("mongod") is None and os.uname().machine != "x86_64":
        pytest.skip("there is no mongod for this machine")
    stub(clone, "node", "exit 1")
    stub(clone, "uname", "echo Linux riscv64")
    done = make(clone, "can-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Node.js 20.19 or newer with npm was not found" in done.stdout


def test_a_node_that_is_too_old_is_no_matter_where_one_can_be_had(clone: Path) -> None:
    if shutil.which("mongod") is None and os.uname().machine != "x86_64":
        pytest.skip("there is no mongod for this machine")
    stub(clone, "node", "exit 1")
    stub(clone, "uname", "echo Linux x86_64")
    done = make(clone, "can-run")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
