"""A mongod that is still on the database files although its server is gone.

Right after a server was killed its guard is shutting mongod down; where the guard was killed too,
nobody is.
"""

import asyncio
import os
import re
import signal
from pathlib import Path

import structlog

from store.mongod.directory import try_flock
from store.mongod.errors import DataDirInUse

_log = structlog.get_logger()
_GRACE_S = 10.0
_POLL_S = 0.02


async def end_leftover(db: Path) -> None:
    """Shut down what mongod there is on the database files; the caller holds the data directory.

    Args:
        db: The database directory.

    Raises:
        DataDirInUse: It is not one that we started, or it can't be ended.
    """
    pid = _user(db)
    if pid is None:
        return
    _log.warning("mongod_left_over", pid=pid, db=str(db))
    for sig in (signal.SIGTERM, signal.SIGKILL):
        _signal(pid, sig, db)
        deadline = asyncio.get_running_loop().time() + _GRACE_S
        while asyncio.get_running_loop().time() < deadline:
            if _user(db) is None:
                return
            await asyncio.sleep(_POLL_S)
    raise _in_use(db, pid)


def _user(db: Path) -> int | None:
    """The process id of the mongod that has the files locked; 0 where it left none."""
    try:
        fd = os.open(db / "mongod.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if try_flock(fd, exclusive=True):
            return None
        found = re.match(rb"\d+", os.read(fd, 32))
        return int(found.group()) if found else 0
    finally:
        os.close(fd)


def _signal(pid: int, sig: signal.Signals, db: Path) -> None:
    """Signal the process if it is a mongod on these files; by pidfd, since ids are used again."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:  # it ended, or lives in another container
        return
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if argv != [b""]:  # a zombie has none
            if os.fsencode(db) not in argv:
                raise _in_use(db, pid)
            signal.pidfd_send_signal(pidfd, sig)
    except (FileNotFoundError, ProcessLookupError):
        return  # it ended while we looked
    finally:
        os.close(pidfd)


def _in_use(db: Path, pid: int) -> DataDirInUse:
    return DataDirInUse(
        f"the database files in {db} are in use by process {pid}, which this server did not start "
        "or cannot end: end that one, or set RT_DATA_DIR to a directory of its own for this one",
        pid or None,
    )
