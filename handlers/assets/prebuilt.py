"""A bundle that was made when a package was built, for machines without the tool that makes one."""

from collections.abc import Collection
from pathlib import Path

from handlers.assets.bundle import Bundle
from handlers.assets.content import TYPES, Content

PREBUILT = Path("built")
"""The folder that it is in, within that of the sources."""


def write_bundle(bundle: Bundle, folder: Path) -> None:
    """Keep a bundle in a folder, which is made.

    Raises:
        OSError: it could not be written.
    """
    folder.mkdir(parents=True)
    for name, content in (*bundle.pages.items(), *bundle.files.items()):
        (folder / name).write_bytes(content.plain)


def read_bundle(folder: Path, pages: Collection[str]) -> Bundle | None:
    """What `write_bundle` kept; None where there is nothing.

    Args:
        folder: that it is in.
        pages: the names of the pages' files.

    Raises:
        OSError: it is there and cannot be read.
    """
    if not folder.is_dir():
        return None
    contents = {
        path.name: Content.of(path.read_bytes(), path.suffix)
        for path in sorted(folder.iterdir())
        if path.suffix in TYPES
    }
    return Bundle(
        pages={name: one for name, one in contents.items() if name in pages},
        files={name: one for name, one in contents.items() if name not in pages},
    )
