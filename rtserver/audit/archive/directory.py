"""The directory of the audit archive, and who may write in it.

One worker writes at a time: the one with the newest term (see `rtserver.audit.archive.archiver`). A
worker that was paused and wakes up as if it still had an earlier one must do no harm, and no lease
can see to that alone: between a look at the clock and a write there is always time to be paused in.
So:

- Taking a term replaces the newest file by a copy of it. Whatever an earlier holder still writes
  goes into the file that it holds open, which has no name any more.
- A file for a new hour is made only while `archive.json` still has the writer's own term. That look
  and the step after it are under a lock (flock), as is the taking of a term.
- Every file that ever had a name goes on where it should, without a hole or a double, because its
  only writer began behind what it found in it. So it does not matter who wins.

What is torn, because a writer died while it wrote, is kept beside as `NAME.torn-TERM`; the records
are read from the log once more.

    archive.json   {"archive_id", "term", "epoch"}: names the directory in leases
    lock           held during the steps above, for moments

Everything here blocks. One thread at a time may use an object.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from rtserver.audit.archive.file import (
    TornFileError,
    archive_files,
    file_name,
    hour_of,
    is_gap,
    member,
    position_of,
    read_lines,
    scan,
)
from rtserver.audit.record.chain import hash_of
from rtserver.lib.file_lock import flock_within
from rtserver.model.positions import Position

STATE_FILE = "archive.json"
LOCK_FILE = "lock"
LOCK_TIMEOUT_S = 10.0
COPY_BYTES = 1024 * 1024

_log = structlog.get_logger()


class ArchiveFencedError(Exception):
    """Another worker has taken the archive over; nothing that was not counted yet counts."""


class ForeignDirectoryError(Exception):
    """The directory can't be used as it is. The message says what to do."""


@dataclass(frozen=True, slots=True)
class State:
    """What `archive.json` says.

    Attributes:
        archive_id: names the directory, wherever it is mounted.
        term: of the newest holder; 0 before the first.
        epoch: the life of the log that the newest holder archived; empty before the first.
    """

    archive_id: str
    term: int = 0
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a new holder found.

    Attributes:
        position: the newest record of the archive; None where there is none.
        file: the newest file's name; empty where there is none.
        torn_bytes: how much of it was torn.
        salvaged: how many records could be read of that, and were kept.
    """

    position: Position | None = None
    file: str = ""
    torn_bytes: int = 0
    salvaged: int = 0


class ArchiveDirectory:
    """A directory that one worker at a time writes in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._term = 0
        self._fd = -1
        self._path = path
        self._hour = -1
        self._offset = 0

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self.path / LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
        try:
            if not flock_within(fd, LOCK_TIMEOUT_S):
                raise TimeoutError("another process holds the lock of the archive")
            yield
        finally:
            os.close(fd)

    def _state(self) -> State | None:
        try:
            found = json.loads((self.path / STATE_FILE).read_bytes())
            return State(str(found["archive_id"]), int(found["term"]), str(found["epoch"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise ForeignDirectoryError(
                f"{self.path / STATE_FILE} is not an archive's: take another directory"
            ) from None

    def _write_state(self, state: State) -> None:
        temporary = self.path / f"{STATE_FILE}.new"
        with temporary.open("wb") as file:
            file.write(json.dumps(asdict(state)).encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path / STATE_FILE)
        _sync_directory(self.path)

    def state(self) -> State:
        """What the directory says of itself; makes what is missing of it.

        Raises:
            OSError: it can't be made, read or written.
            ForeignDirectoryError: it is something else.
        """
        if not self.path.is_dir():
            self.path.mkdir(parents=True, mode=0o750, exist_ok=True)
        found = self._state()
        if found is not None:
            return found
        with self._locked():
            found = self._state()
            if found is None:
                if archive_files(self.path):
                    raise ForeignDirectoryError(
                        f"{self.path} holds files of an archive, and no {STATE_FILE}: put it back, "
                        "or move the files away"
                    )
                found = State(secrets.token_hex(8))
                self._write_state(found)
            return found

    def take(self, term: int, epoch: str) -> Taken:
        """Become the only one who writes here, and repair what a dead one left.

        Args:
            term: higher than every earlier one.
            epoch: the life of the log that will be archived.

        Raises:
            ArchiveFencedError: somebody has as high a term.
            ForeignDirectoryError: the directory was replaced by something else.
            OSError: it can't be read or written.
        """
        self.close()
        with self._locked():
            state = self._state()
            if state is None:
                raise ForeignDirectoryError(f"{self.path / STATE_FILE} is gone")
            if state.term >= term:
                raise ArchiveFencedError
            self._write_state(State(state.archive_id, term, epoch))
            self._term = term
            for left in self.path.glob(".taking-*"):
                left.unlink()
            files = archive_files(self.path)
            if not files:
                return Taken()
            position, torn_bytes, salvaged = self._replace(files[-1])
        for path in reversed(files[:-1]):
            if position is not None:
                break
            last = scan(path).last  # the newest file was made, and nothing put into it yet
            position = None if last is None else position_of(last)
        return Taken(position, files[-1].name, torn_bytes, salvaged)

    def _replace(self, path: Path) -> tuple[Position | None, int, int]:
        """Put a copy of what is whole in the place of the newest file, to go on in that."""
        found = scan(path)
        copy = self.path / f".taking-{self._term}"
        fd = os.open(copy, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o640)
        try:
            with path.open("rb") as source:
                offset = _copy(source.fileno(), fd, 0, found.end)
            position = None if found.last is None else position_of(found.last)
            salvaged = _intact(found.salvaged, position) if found.torn_bytes else []
            if salvaged:
                offset = _write(fd, offset, member(salvaged))
                position = position_of(salvaged[-1])
            os.fsync(fd)
            if found.torn_bytes:
                self._keep_torn(path, found.end)
            copy.replace(path)
            _sync_directory(self.path)
        except BaseException:
            os.close(fd)
            copy.unlink(missing_ok=True)
            raise
        self._fd, self._offset, self._path = fd, offset, path
        self._hour = hour_of(path.name) or 0
        return position, found.torn_bytes, len(salvaged)

    def _keep_torn(self, path: Path, begin: int) -> None:
        kept = path.with_name(f"{path.name}.torn-{self._term}")
        target = os.open(kept, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o640)
        try:
            with path.open("rb") as source:
                _copy(source.fileno(), target, begin, None)
            os.fsync(target)
        finally:
            os.close(target)
        _log.warning("audit_archive_repaired", file=path.name, torn=kept.name)

    def follow(self, epoch: str) -> None:
        """Go on with another log, so that the next holder does not take the directory for foreign.

        Raises:
            ArchiveFencedError: somebody else has taken the archive over.
            OSError: it can't be written.
        """
        with self._locked():
            state = self._state()
            if state is None or state.term != self._term:
                raise ArchiveFencedError
            self._write_state(State(state.archive_id, state.term, epoch))

    def find(self, seq: int) -> bytes | None:
        """The newest record that was archived under a number; None where there is none.

        Raises:
            OSError: a file can't be read.
        """
        for path in reversed(archive_files(self.path)):
            found = _find(path, seq)
            if found is not None:
                return found
        return None

    def append(self, hour: int, lines: Sequence[bytes]) -> None:
        """Write lines; when this returns they survive a crash of the host.

        Args:
            hour: whose file they belong to; not before the newest file's, which wins.
            lines: what follows the newest line of the archive.

        Raises:
            ArchiveFencedError: somebody else has taken the archive over; nothing was written.
            OSError: nothing was written, as far as can be known. Where the disk is full it may be
                tried again; after any other error the archive has to be taken anew.
        """
        if hour > self._hour:
            self._begin_file(hour)
        data = member(lines)
        try:
            _write(self._fd, self._offset, data)
        except OSError:
            # So that no reader sees half a member for longer than need be.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._offset)
            raise
        os.fsync(self._fd)
        self._check_own()
        self._offset += len(data)

    def _begin_file(self, hour: int) -> None:
        path = self.path / file_name(hour)
        with self._locked():
            state = self._state()
            if state is None or state.term != self._term:
                raise ArchiveFencedError
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
            fd = os.open(path, flags, 0o640)
        self.close()
        self._fd, self._offset, self._path, self._hour = fd, 0, path, hour
        _sync_directory(self.path)

    def _check_own(self) -> None:
        """Whether the file still has its name: what is written into a nameless one is lost."""
        mine = os.fstat(self._fd)
        try:
            named = self._path.stat()
        except FileNotFoundError:
            raise ArchiveFencedError from None
        if (mine.st_dev, mine.st_ino) != (named.st_dev, named.st_ino):
            raise ArchiveFencedError

    def close(self) -> None:
        """Let go of the file, if one is open."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._hour = -1, -1


def _find(path: Path, seq: int) -> bytes | None:
    found: bytes | None = None
    is_first = True
    with contextlib.suppress(TornFileError):
        for line in read_lines(path):
            position = position_of(line)
            if position is None or is_gap(line):
                continue
            if is_first and position.seq > seq:
                break  # all of the file comes after it
            is_first = False
            if position.seq == seq:
                found = line
    return found


def try_out(path: Path) -> str | None:
    """Whether an archive could be kept in a directory: None, or what is in the way, in words."""
    directory = ArchiveDirectory(path)
    trial = path / f".trial-{os.getpid()}"
    try:
        directory.state()
        with trial.open("wb") as file:
            file.write(bytes(COPY_BYTES))
            os.fsync(file.fileno())
        trial.unlink()
        for newest in archive_files(path)[-1:]:
            newest.open("r+b").close()
    except ForeignDirectoryError as error:
        return str(error)
    except OSError as error:
        with contextlib.suppress(OSError):
            trial.unlink(missing_ok=True)
        return f"{path} can't be written to ({error.strerror or type(error).__name__})"
    return None


def _intact(lines: Sequence[bytes], position: Position | None) -> list[bytes]:
    """Of lines that nothing vouches for, those from the first on that are records in order."""
    kept: list[bytes] = []
    for line in lines:
        following = position_of(line)
        try:
            record = json.loads(line)
            whole = record["hash"] == hash_of(record)
        except (ValueError, KeyError, TypeError):
            break
        if not whole or following is None:
            break
        if position is not None and following != Position(position.epoch, position.seq + 1):
            break
        kept.append(line)
        position = following
    return kept


def _write(fd: int, offset: int, data: bytes) -> int:
    rest = memoryview(data)
    while rest:
        count = os.pwrite(fd, rest, offset)
        rest = rest[count:]
        offset += count
    return offset


def _copy(source: int, target: int, begin: int, end: int | None) -> int:
    """Copy a part of a file to the beginning of another; how much it was."""
    written = 0
    while end is None or begin + written < end:
        wanted = COPY_BYTES if end is None else min(COPY_BYTES, end - begin - written)
        data = os.pread(source, wanted, begin + written)
        if not data:
            break
        _write(target, written, data)
        written += len(data)
    return written


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
