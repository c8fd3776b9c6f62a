"""The private mongod's part of the data directory: its paths, its lock, and who holds it.

``DATA_DIR/mongod/`` (mode 0700) has the database files in ``db/``, the log, the Unix socket, and
``owner.lock``: locked with flock(2) for as long as its holder lives, with the holder's particulars
as JSON inside. What it says counts only while it is locked, so a crash leaves nothing stale.

A mongod may still be on the database files although its server is gone: right after a server was
killed its guard is shutting mongod down; where the guard was killed too, nobody is.
"""

import asyncio
import hashlib
import os
import re
import shutil
import signal
import stat
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from rtserver.lib.file_lock import try_flock
from store.mongod.libcurl import LINKS

_log = structlog.get_logger()

Mode = Literal["private", "shared"]

SOCKET_NAME = "mongod.sock"
_SOCKET_PATH_BYTES = 107  # sockaddr_un's 108 with the final NUL, see unix(7)
_BUSY_S = 1.0
_POLL_S = 0.05
_LEFTOVER_GRACE_S = 10.0
_LEFTOVER_POLL_S = 0.02


class MongodError(Exception):
    """The private mongod can't be had; the message is for the operator."""


class MongodNotFound(MongodError):  # noqa: N818
    """No mongod on PATH, nor in an installed wheel."""


class DataDirInUse(MongodError):  # noqa: N818
    """Another process holds the data directory.

    Attributes:
        pid: Its process id, or None where it isn't known.
    """

    def __init__(self, message: str, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


class MongodFailed(MongodError):  # noqa: N818
    """mongod ended, or did not become writable in time; the message has its last words."""


class Holder(msgspec.Struct, frozen=True):
    """Who holds a data directory.

    Attributes:
        pid: The process id.
        mode: "private" to one server, or "shared" among the workers of this host.
        uri: Where its mongod is; None while that is starting.
    """

    pid: int
    mode: Mode
    uri: str | None = None


class MongodDir:
    """The paths, and the lock.

    Attributes:
        data_dir: The server's data directory, absolute.
        root: What is mongod's in it.
        db: The database files.
        log: The log file.
        run_dir: Where the socket is: `root`, or a short directory of our own in XDG_RUNTIME_DIR or
            /tmp where a socket's path in `root` would be longer than the system allows.
        socket: The Unix socket.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.root = self.data_dir / "mongod"
        self.db = self.root / "db"
        self.log = self.root / "mongod.log"
        self.run_dir = _run_dir(self.root)
        self.socket = self.run_dir / SOCKET_NAME
        self._lock_path = self.root / "owner.lock"
        self._lock_fd: int | None = None
        self._short_dir_fd: int | None = None

    def create(self) -> None:
        """Make the directories, with mode 0700 on what is mongod's.

        Raises:
            MongodFailed: They can't be made, or the short directory is somebody else's.
        """
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in (self.root, self.db, self.run_dir):
                path.mkdir(mode=0o700, exist_ok=True)
                status = path.lstat()
                if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                    raise MongodFailed(f"{path} must be a directory of the user that runs this")
                path.chmod(0o700)
        except OSError as error:
            raise MongodFailed(f"cannot use the data directory {self.data_dir}: {error}") from error

    async def lock(self, mode: Mode) -> None:
        """Become the holder; `create` comes first. Nothing to do where this object is it already.

        Raises:
            DataDirInUse: Another process is.
        """
        if self._lock_fd is not None:
            return
        fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # `holder` takes the lock for an instant in order to look, so one refusal says nothing.
            deadline = asyncio.get_running_loop().time() + _BUSY_S
            while not try_flock(fd, exclusive=True):
                if asyncio.get_running_loop().time() >= deadline:
                    raise self._in_use(_read_holder(fd))
                await asyncio.sleep(_POLL_S)
        except BaseException:
            os.close(fd)
            raise
        self._lock_fd = fd
        self.write_holder(Holder(os.getpid(), mode))
        if self.run_dir != self.root:
            # A locked directory is left alone by systemd-tmpfiles, which clears /tmp of old files.
            self._short_dir_fd = os.open(self.run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try_flock(self._short_dir_fd, exclusive=False)

    def write_holder(self, holder: Holder) -> None:
        """Say who holds the directory; only while locked."""
        if self._lock_fd is None:
            raise RuntimeError("the data directory is not locked")
        content = msgspec.json.encode(holder)
        os.truncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, content, 0)

    def unlock(self) -> None:
        """Give the directory up, the short directory with it; harmless when not locked."""
        if self._lock_fd is None:
            return
        try:
            self.socket.unlink(missing_ok=True)
            if self._short_dir_fd is not None:
                shutil.rmtree(self.run_dir / LINKS, ignore_errors=True)
                self.run_dir.rmdir()
            os.truncate(self._lock_fd, 0)
        except OSError as error:
            # What is left behind does no harm; the lock itself must go in any case.
            _log.warning("mongod_dir_not_cleaned", path=error.filename, error=error.strerror)
        for fd in (self._short_dir_fd, self._lock_fd):
            if fd is not None:
                os.close(fd)
        self._short_dir_fd = self._lock_fd = None

    def holder(self) -> Holder | Literal["unknown"] | None:
        """Who holds the directory now: None for nobody, "unknown" while the holder is writing."""
        try:
            fd = os.open(self._lock_path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if try_flock(fd, exclusive=False):
                return None
            return _read_holder(fd) or "unknown"
        finally:
            os.close(fd)

    def _in_use(self, holder: Holder | None) -> DataDirInUse:
        if holder is None:
            return DataDirInUse(
                f"the data directory {self.data_dir} is in use by another process: end that one, "
                "or set RT_DATA_DIR to a directory of its own for this one",
                None,
            )
        message = (
            f"the data directory {self.data_dir} is in use by process {holder.pid}: end that one "
            f"(kill {holder.pid}), or set RT_DATA_DIR to a directory of its own for this one"
        )
        if holder.mode == "private":
            message += (
                "; for several workers with one MongoDB on this host, run `python -m rtserver "
                "mongod` before them, or set RT_MONGODB_URI"
            )
        return DataDirInUse(message, holder.pid)


def _run_dir(root: Path) -> Path:
    if len(os.fsencode(root / SOCKET_NAME)) <= _SOCKET_PATH_BYTES:
        return root
    # Derived from the path, so that the next holder finds what a crash left there.
    name = f"rtserver-{os.geteuid()}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}"
    for base in (os.environ.get("XDG_RUNTIME_DIR"), "/tmp"):  # noqa: S108  mode and owner are checked
        if base and Path(base).is_dir():
            short = Path(base).resolve() / name
            if len(os.fsencode(short / SOCKET_NAME)) <= _SOCKET_PATH_BYTES:
                return short
    raise MongodFailed(f"{root} is too long for a Unix socket's path, and there is no /tmp")


def _read_holder(fd: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(fd, 64 * 1024, 0), type=Holder)
    except msgspec.DecodeError:
        return None


async def end_leftover(db: Path) -> None:
    """Shut down what mongod there is on the database files; the caller holds the data directory.

    Args:
        db: The database directory.

    Raises:
        DataDirInUse: It is not one that we started, or it can't be ended.
    """
    pid = _pid_on(db)
    if pid is None:
        return
    _log.warning("mongod_left_over", pid=pid, db=str(db))
    for sig in (signal.SIGTERM, signal.SIGKILL):
        _signal(pid, sig, db)
        deadline = asyncio.get_running_loop().time() + _LEFTOVER_GRACE_S
        while asyncio.get_running_loop().time() < deadline:
            if _pid_on(db) is None:
                return
            await asyncio.sleep(_LEFTOVER_POLL_S)
    raise _database_in_use(db, pid)


def _pid_on(db: Path) -> int | None:
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
                raise _database_in_use(db, pid)
            signal.pidfd_send_signal(pidfd, sig)
    except (FileNotFoundError, ProcessLookupError):
        return  # it ended while we looked
    finally:
        os.close(pidfd)


def _database_in_use(db: Path, pid: int) -> DataDirInUse:
    return DataDirInUse(
        f"the database files in {db} are in use by process {pid}, which this server did not start "
        "or cannot end: end that one, or set RT_DATA_DIR to a directory of its own for this one",
        pid or None,
    )
