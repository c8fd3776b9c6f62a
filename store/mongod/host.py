"""Requirements of the wheel's mongod on a host, and whether this one meets them.

``python -m store.mongod.host`` says so before anything is downloaded: it runs with any Python's
standard library, before there is a virtual environment, so nothing else may be imported here.
"""

import ctypes
import os
import platform
import shutil
import sys
from pathlib import Path

NEEDS = "x86-64 Linux with glibc 2.35 or newer and OpenSSL 3"
"""In words; the wheel is built on Ubuntu 22.04."""

_GLIBC = (2, 35)
# In every Debian 12 and Ubuntu 22.04 that has a Python. libcurl is missing here on purpose, see
# `store.mongod.libcurl`.
_LIBRARIES = ("libcrypto.so.3", "libssl.so.3", "liblzma.so.5", "libgcc_s.so.1")


def obstacle() -> str | None:
    """What keeps the wheel's mongod from running here, as the end of a sentence; None: nothing."""
    if not sys.platform.startswith("linux") or platform.machine() not in ("x86_64", "AMD64"):
        return f"this is {platform.machine()} {platform.system()}"
    try:
        _, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        glibc = tuple(map(int, version.split(".")[:2]))
    except (ValueError, OSError):  # another libc, such as Alpine's
        return "this system has no glibc"
    if glibc < _GLIBC:
        return f"this system has glibc {version}"
    for name in _LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            return f"this system has no {name}"
    if not _has_avx():
        return "this CPU has no AVX, which MongoDB 5.0 and newer needs"
    return None


def _has_avx() -> bool:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return True  # not known; MongoDB's start will tell
    flags = [line for line in lines if line.startswith("flags")]
    return not flags or " avx " in f"{flags[0]} "


def main(arguments: list[str]) -> int:
    """Say what keeps a server from having a MongoDB of its own, where it needs one.

    Args:
        arguments: the server's; with ``--mongodb-uri`` it needs none, as with `RT_MONGODB_URI`.

    Returns:
        The exit status: 1 where none can be had.
    """
    configured = any(argument.startswith("--mongodb-uri") for argument in arguments)
    if configured or os.environ.get("RT_MONGODB_URI") or shutil.which("mongod"):
        return 0
    problem = obstacle()
    if problem is None:
        return 0
    sys.stderr.write(
        f"There is no mongod on PATH, and the one from PyPI can't run here: it needs {NEEDS}, and "
        f"{problem}.\nInstall MongoDB 6.0 or newer, so that mongod is on PATH "
        "(https://www.mongodb.com/try/download/community). For the server it is enough to set "
        "RT_MONGODB_URI to a replica set that you have; the tests start their own.\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
