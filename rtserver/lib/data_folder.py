"""Folders for what a server keeps, closed to others whatever the umask is."""

import contextlib
import os
from pathlib import Path


def make_folder(path: Path, mode: int) -> None:
    """Make a folder, and those missing on the way to it, each with the mode; others are left.

    Raises:
        OSError: it can't be made.
    """
    if path.is_dir():
        return
    make_folder(path.parent, mode)
    with contextlib.suppress(FileExistsError):  # another worker was first
        path.mkdir(mode=0o700)
        # By its descriptor: if it was moved away meanwhile, this is no other one.
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(fd, mode)
        finally:
            os.close(fd)
