"""A folder that is in memory: what is flushed to a disk there costs nothing, and nobody waits."""

import os
import shutil
from pathlib import Path

ROOM_BYTES = 4 * 1024**3
"""With so much of it free, all that a run writes has room: a few hundred MiB."""


def folder_in_memory() -> str | None:
    """The folder; None where there is none with room, or none from which programs may be run."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < ROOM_BYTES:
        return None
    return None if os.statvfs(memory).f_flag & os.ST_NOEXEC else str(memory)
