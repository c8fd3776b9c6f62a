"""The lock of a repository's index, held as git holds it: nobody stages or commits meanwhile.

Somebody who committed between our commit and the update of the index would commit an index that
lacks it, and so undo it.

Git's lock is a file, `index.lock`, that stays when its holder is killed, and then holds up
everybody until somebody removes it by hand. So ours is a hard link to a file of our own that is
locked by flock(2) as well: that lock ends with its process, and whoever gets it next knows which
`index.lock` was ours, and finishes what the other began.
"""

import contextlib
import enum
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

LOCK, OWN_LOCK = "index.lock", "rtserver.lock"
WORK, READY = "rtserver.index", "rtserver.index.ready"
WAIT_S = 5.0
_POLL_S = 0.02


class IndexBusyError(Exception):
    """Somebody else is at work on the index."""


class LockedIndex:
    """An index that nobody else changes now. Every method blocks: call it in a thread."""

    def __init__(self, git_dir: Path) -> None:
        self._index = git_dir / "index"
        self._work = git_dir / WORK
        self._ready = git_dir / READY

    def copy(self) -> Path | None:
        """A copy to be changed; None where there is no index."""
        try:
            shutil.copyfile(self._index, self._work)
            shutil.copymode(self._index, self._work)
        except FileNotFoundError:
            return None
        return self._work

    def prepare(self) -> None:
        """The copy is as it is to be, and takes its place where the commit is made."""
        self._work.replace(self._ready)

    def finish(self) -> None:
        """The commit is made."""
        with contextlib.suppress(FileNotFoundError):
            self._ready.replace(self._index)

    def discard(self) -> None:
        """There is no commit."""
        for path in (self._work, self._ready):
            path.unlink(missing_ok=True)

    def is_prepared(self) -> bool:
        """Whether a killed worker left an index that only its commit was missing of."""
        return self._ready.exists()


@contextlib.contextmanager
def locked_index(git_dir: Path, wait_s: float = WAIT_S) -> Iterator[LockedIndex]:
    """Lock a repository's index. Blocks: enter and leave it in threads.

    Raises:
        IndexBusyError: somebody else holds it for longer than that.
        OSError: the repository can't be written to.
    """
    own, lock = git_dir / OWN_LOCK, git_dir / LOCK
    fd = os.open(own, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline_s = time.monotonic() + wait_s
        while (took := _took(fd, own, lock)) is _Took.NOTHING:
            if time.monotonic() >= deadline_s:
                raise IndexBusyError("another git process is at work on the index")
            time.sleep(_POLL_S)
        index = LockedIndex(git_dir)
        try:
            if took is not _Took.LEFT_OVER:
                index.discard()  # of whatever time: without its lock nobody can vouch for it
            yield index
            index.discard()
        finally:
            lock.unlink(missing_ok=True)
    finally:
        os.close(fd)


class _Took(enum.Enum):
    """What became of taking the lock: it is another's, was free, or was a killed worker's."""

    NOTHING = enum.auto()
    FREE = enum.auto()
    LEFT_OVER = enum.auto()


def _took(fd: int, own: Path, lock: Path) -> _Took:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.link(own, lock, follow_symlinks=False)
    except BlockingIOError:
        return _Took.NOTHING
    except FileExistsError:
        try:
            is_ours = os.path.samestat(lock.lstat(), os.fstat(fd))
        except FileNotFoundError:
            return _Took.NOTHING  # it is free by now
        return _Took.LEFT_OVER if is_ours else _Took.NOTHING
    return _Took.FREE
