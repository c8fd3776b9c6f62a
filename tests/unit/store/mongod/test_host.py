"""What is said of a host before anything is downloaded."""

import ctypes
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from store.mongod import host
from store.mongod.command import mongod_of_wheel
from tests.support.processes import ROOT


@pytest.fixture
def good_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has all; each test takes something away."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(os, "confstr", lambda _name: "glibc 2.36")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: None)
    monkeypatch.setattr(host, "_has_avx", lambda: True)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.delenv("RT_MONGODB_URI", raising=False)


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.usefixtures("good_host")
def test_a_host_that_has_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert host.obstacle() is None
    assert host.main([]) == 0
    assert capsys.readouterr().err == ""


def test_this_host_has_what_the_wheel_needs_where_it_runs_here() -> None:
    if mongod_of_wheel() is None:
        pytest.skip("the wheel is not installed on this platform")
    assert host.obstacle() is None


@pytest.mark.usefixtures("good_host")
@pytest.mark.parametrize(
    ("module", "name", "value", "said"),
    [
        (platform, "machine", lambda: "aarch64", "aarch64 Linux"),
        (os, "confstr", lambda _name: "glibc 2.31", "glibc 2.31"),
        (os, "confstr", lambda name: _raise(ValueError(name)), "no glibc"),
        (ctypes, "CDLL", lambda name: _raise(OSError(name)), "no libcrypto.so.3"),
        (host, "_has_avx", lambda: False, "AVX"),
    ],
)
def test_what_a_host_lacks_is_said_with_the_way_out(
    module: object,
    name: str,
    value: object,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, name, value)
    assert said in str(host.obstacle())
    assert host.main(["--demo"]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert "set RT_MONGODB_URI to" in told
    assert host.main(["--demo", "--mongodb-uri=mongodb://db"]) == 0
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/mongod")
    assert host.main([]) == 0
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setenv("RT_MONGODB_URI", "mongodb://db")
    assert host.main([]) == 0


def test_it_runs_before_anything_is_installed(tmp_path: Path) -> None:
    """Without this environment's packages, as from a fresh clone."""
    python = Path(sys.base_prefix) / "bin" / "python3"
    if not python.exists():
        pytest.skip("the Python that this environment was made from is not at its usual place")
    done = subprocess.run(
        [python, "-I", "-S", "-c", "import sys; sys.path.insert(0, sys.argv.pop(1));"
         "import runpy; runpy.run_module('store.mongod.host', run_name='__main__')", ROOT],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Error" not in done.stderr
    assert done.returncode in (0, 1)
