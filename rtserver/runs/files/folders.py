"""Folders and files reached step by step from an open folder, so that no link is ever followed.

Each step opens one name relative to the folder before it (openat(2) with O_NOFOLLOW). What was
checked is therefore what is used: a folder that is swapped for a link meanwhile changes nothing.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from rtserver.runs.files.paths import UnsafePathError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ_BYTES = 256 * 1024


@contextlib.contextmanager
def open_root(path: Path) -> Iterator[int]:
    """A folder that the operator chose, so links on the way to it are the operator's own.

    Raises:
        OSError: it can't be opened.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def open_folder(
    parts: Sequence[str], *, dir_fd: int, make: bool = False, mode: int = 0o777
) -> Iterator[int]:
    """A folder below another one.

    Args:
        parts: its path; empty for the folder itself.
        dir_fd: the folder to begin at.
        make: make what is missing.
        mode: of what is made; the umask takes from it.

    Raises:
        FileNotFoundError: it is not there, and `make` was not given.
        UnsafePathError: a part of the path is a link, or no folder.
        OSError: anything else.
    """
    fd = os.dup(dir_fd)
    try:
        for depth, part in enumerate(parts):
            try:
                following = os.open(part, _FOLDER, dir_fd=fd)
            except FileNotFoundError:
                if not make:
                    raise
                with contextlib.suppress(FileExistsError):  # somebody else made it: take theirs
                    os.mkdir(part, mode, dir_fd=fd)
                os.fsync(fd)
                following = _open_made(part, fd, parts[: depth + 1])
            except NotADirectoryError:
                raise _no_folder(parts[: depth + 1]) from None
            os.close(fd)
            fd = following
        yield fd
    finally:
        os.close(fd)


def _open_made(part: str, dir_fd: int, path: Sequence[str]) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=dir_fd)
    except NotADirectoryError:
        raise _no_folder(path) from None


def _no_folder(path: Sequence[str]) -> UnsafePathError:
    return UnsafePathError("/".join(path), "is a link, or no folder")


@contextlib.contextmanager
def open_file(name: str, *, dir_fd: int) -> Iterator[int]:
    """A plain file in an open folder, to be read.

    Raises:
        FileNotFoundError: it is not there.
        UnsafePathError: it is a link, or anything else than a plain file.
        OSError: anything else.
    """
    try:
        fd = os.open(name, _FILE, dir_fd=dir_fd)
    except FileNotFoundError:
        raise
    except OSError as error:
        if stat_of(name, dir_fd=dir_fd) is not None and not is_plain(name, dir_fd=dir_fd):
            raise UnsafePathError(name, "is a link, or no plain file") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UnsafePathError(name, "is a link, or no plain file")
        yield fd
    finally:
        os.close(fd)


def stat_of(name: str, *, dir_fd: int) -> os.stat_result | None:
    """What is there under a name, without following it; None where nothing is."""
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_plain(name: str, *, dir_fd: int) -> bool:
    """Whether there is a plain file under a name."""
    found = stat_of(name, dir_fd=dir_fd)
    return found is not None and stat.S_ISREG(found.st_mode)


def read_bytes(fd: int, limit_bytes: int) -> bytes | None:
    """The whole of an open file; None where it has more than `limit_bytes`."""
    content = bytearray()
    while chunk := os.read(fd, _READ_BYTES):
        content += chunk
        if len(content) > limit_bytes:
            return None
    return bytes(content)


def digest_of(content: bytes) -> str:
    """The SHA-256 of some content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def file_digest(name: str, *, dir_fd: int) -> str | None:
    """The SHA-256 of a plain file as it is now; None where there is no file.

    Raises:
        UnsafePathError: see `open_file`.
    """
    sha = hashlib.sha256()
    try:
        with open_file(name, dir_fd=dir_fd) as fd:
            while chunk := os.read(fd, _READ_BYTES):
                sha.update(chunk)
    except FileNotFoundError:
        return None
    return sha.hexdigest()


@contextlib.contextmanager
def new_file(name: str, content: bytes, *, dir_fd: int) -> Iterator[int]:
    """Make a file that was not there, with its content on disk when this is left; it is open.

    What is still to be done to the file goes through its descriptor: under its name there may be
    a link to somebody else's file a moment later.

    Raises:
        FileExistsError: there is something under this name.
        OSError: it could not be written; what was written of it is left.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o666, dir_fd=dir_fd)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        yield fd
        os.fsync(fd)
    finally:
        os.close(fd)


def write_new(name: str, content: bytes, *, dir_fd: int) -> None:
    """Make a file that was not there, with its content on disk; see `new_file`."""
    with new_file(name, content, dir_fd=dir_fd):
        pass
