"""Compiles the C programs: the load client and the bare sender."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / "build"
SOURCES = {
    "client": [
        "client.c",
        "client_conn.c",
        "client_frames.c",
        "client_publish.c",
        "client_report.c",
    ],
    "raw_sender": ["raw_sender.c"],
}


def program(name: str) -> Path:
    """Returns the path of a compiled program, compiling it where a source is newer.

    Raises:
        subprocess.CalledProcessError: The compiler failed; it said why on stderr.
    """
    sources = [HERE / source for source in SOURCES[name]]
    built = BUILD / name
    newest = max(path.stat().st_mtime for path in [*sources, HERE / "client.h"])
    if not built.exists() or built.stat().st_mtime < newest:
        BUILD.mkdir(exist_ok=True)
        flags = ["-O2", "-std=gnu11", "-Wall", "-Wextra"]
        subprocess.run(["cc", *flags, *map(str, sources), "-o", str(built)], check=True)
    return built
