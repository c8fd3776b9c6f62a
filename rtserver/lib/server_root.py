"""The folder that the server's own files are in: pages, demo, and what npm has installed."""

from pathlib import Path

PACKED = "_files"
"""What a wheel has of that folder, within the package: a wheel has no place beside it."""


def server_root(package: Path) -> Path:
    """The folder, with `static`, `demo` and perhaps `node_modules` in it.

    Args:
        package: the folder of the package `rtserver`.
    """
    packed = package / PACKED
    return packed if packed.is_dir() else package.parent


SERVER_ROOT = server_root(Path(__file__).resolve().parents[1])
