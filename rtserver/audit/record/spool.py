"""The spool: audit records on disk, on their way to MongoDB.

A first-in-first-out queue of batches. A batch is in the file before it is delivered, and
the file shrinks as batches are delivered: while MongoDB keeps up it holds what a few milliseconds
brought, and hardly ever reaches the platter. While MongoDB is away it grows, up to its bound.

    DIRECTORY/CHAIN/lock           held with flock(2) by the living owner
    DIRECTORY/CHAIN/00000001.jsonl one batch a line: {"key": K, "records": [RECORD, ...]}

A directory whose lock is free was left by a dead worker: see `abandoned`.

What touches the disk blocks, so `rtserver.audit.record.spool_thread` calls it on a thread of its
own; `first_held` and `take` do not, and are called on the event loop. A lock keeps the two apart
for a few microseconds.
"""

import contextlib
import errno
import os
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from rtserver.lib.file_lock import try_flock

SPOOL_FOLDER = "audit-spool"
"""In the data directory."""

SEGMENT_BYTES = 1024 * 1024
RESET_BYTES = 64 * 1024
MEMORY_BYTES = 1024 * 1024

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one chain, delivered together, under a key that makes that once.

    Attributes:
        key: names the batch for good.
        records: the records' JSON texts, each with its hash.
    """

    key: str
    records: list[str]

    @property
    def size_bytes(self) -> int:
        """How much it is."""
        return sum(map(len, self.records))


class _Line(msgspec.Struct):
    key: str
    records: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class _Place:
    segment: int
    offset: int
    size_bytes: int


_encode_text = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode


class Spool:
    """The queue of a living worker: one appends, one takes.

    Attributes:
        written_bytes: all that was ever put in.
        taken_bytes: all that was ever taken out.
    """

    def __init__(self, directory: Path, chain: str) -> None:
        """Make the worker's own directory and take its lock.

        Raises:
            OSError: it can't be made.
        """
        self._directory = directory / chain
        self._directory.mkdir(parents=True, mode=0o700)
        # Held before it has its name: who looks for what dead workers left must not be quicker.
        unnamed = self._directory / "lock.new"
        self._lock_fd = os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        if not try_flock(self._lock_fd):
            raise BlockingIOError(errno.EWOULDBLOCK, "another process has this spool")
        unnamed.rename(self._directory / "lock")
        self._lock = threading.Lock()
        self._segment = 0
        self._offset = 0
        self._fd = -1
        self._kept_from = 1
        self._unsynced: set[int] = set()
        self._waiting: deque[_Place] = deque()
        # What waits, while it is little; None once something was left out and has to be read.
        self._memory: deque[Batch] | None = deque()
        self._memory_bytes = 0
        self.written_bytes = 0
        self.taken_bytes = 0
        self._next_segment()

    @property
    def pending(self) -> int:
        """How many batches are not delivered yet."""
        return len(self._waiting)

    @property
    def pending_bytes(self) -> int:
        """What is on disk and not delivered."""
        return self.written_bytes - self.taken_bytes

    def _path(self, segment: int) -> Path:
        return self._directory / f"{segment:08}.jsonl"

    def _next_segment(self) -> None:
        self._close_segment()
        self._segment += 1
        self._offset = 0
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
        self._fd = os.open(self._path(self._segment), flags, 0o600)

    def _close_segment(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def append(self, batch: Batch) -> None:
        """Put a batch at the end of the queue.

        Raises:
            OSError: the disk did not take it; the queue is as it was.
        """
        self._reuse()
        if self._fd < 0 or self._offset >= SEGMENT_BYTES:
            self._next_segment()
        line = _line_of(batch)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            self._close_segment()  # what was half written stays behind, and is never read
            raise
        with self._lock:
            self._unsynced.add(self._segment)
            self._waiting.append(_Place(self._segment, self._offset, len(line)))
            self.written_bytes += len(line)
            if self._memory is not None:
                self._memory.append(batch)
                self._memory_bytes += batch.size_bytes
                if self._memory_bytes > MEMORY_BYTES:
                    self._memory = None
        self._offset += len(line)

    def _reuse(self) -> None:
        """Begin the file anew where all that is in it was delivered.

        Nothing is taken back that way: who appends is on the only thread that does.
        """
        if self._offset >= RESET_BYTES and not self._waiting and self._fd >= 0:
            os.ftruncate(self._fd, 0)
            self._offset = 0

    def first_held(self) -> Batch | None:
        """The oldest batch where it is in memory; None also where there is none at all."""
        with self._lock:
            return self._memory[0] if self._memory else None

    def first(self) -> Batch | None:
        """The oldest batch that is not delivered, or None. It stays until `take`.

        Raises:
            OSError: it can't be read.
        """
        while True:
            held = self.first_held()
            if held is not None or not self._waiting:
                return held
            place = self._waiting[0]
            with self._path(place.segment).open("rb") as file:
                file.seek(place.offset)
                batch = parse_line(file.read(place.size_bytes))
            if batch is not None:
                return batch
            _log.error("audit_spool_batch_unreadable", segment=place.segment, offset=place.offset)
            self.take()

    def take(self) -> bool:
        """Take the oldest batch out of the queue; whether there is something to `trim` now."""
        with self._lock:
            place = self._waiting.popleft()
            self.taken_bytes += place.size_bytes
            if self._memory:
                self._memory_bytes -= self._memory.popleft().size_bytes
            if self._waiting:
                return self._waiting[0].segment > place.segment
            self._memory = deque()
            self._memory_bytes = 0
            return self._segment > self._kept_from

    def trim(self) -> None:
        """Remove the files in which all was delivered.

        Raises:
            OSError: one could not be removed.
        """
        with self._lock:
            following = self._waiting[0].segment if self._waiting else self._segment
            self._unsynced -= set(range(self._kept_from, following))
        while self._kept_from < following:
            self._path(self._kept_from).unlink(missing_ok=True)
            self._kept_from += 1

    def sync(self) -> None:
        """See to it that what is pending survives a crash of the host.

        Raises:
            OSError: the disk reported a failure.
        """
        with self._lock:
            segments, self._unsynced = self._unsynced, set()
        for segment in sorted(segments):
            try:
                fd = os.open(self._path(segment), os.O_RDONLY)
            except FileNotFoundError:
                continue  # delivered meanwhile
            try:
                os.fsync(fd)
            except OSError:
                with self._lock:
                    self._unsynced |= segments
                raise
            finally:
                os.close(fd)

    def close(self) -> None:
        """Let go of the directory; it goes altogether where everything was delivered.

        Raises:
            OSError: what is pending could not be synced.
        """
        try:
            self.sync()
        finally:
            self._close_segment()
            if not self._waiting:
                _remove(self._directory)
            os.close(self._lock_fd)


class Abandoned:
    """The queue that a dead worker left. This worker holds its lock.

    Attributes:
        chain: whose it was.
    """

    def __init__(self, directory: Path, lock_fd: int) -> None:
        self._directory = directory
        self._lock_fd: int | None = lock_fd
        self.chain = directory.name

    def batches(self) -> Iterator[Batch]:
        """What may not have been delivered, in order. Delivering it twice does no harm.

        Raises:
            OSError: a file can't be read.
        """
        for path in sorted(self._directory.glob("*.jsonl")):
            with path.open("rb") as file:
                for line in file:
                    batch = parse_line(line)
                    if batch is None:
                        # The last line of a worker that was killed while it wrote.
                        _log.warning("audit_spool_line_torn", file=str(path))
                    else:
                        yield batch

    def remove(self) -> None:
        """Everything is delivered: it may go."""
        _remove(self._directory)
        self.release()

    def release(self) -> None:
        """Leave it to the next worker; nothing to do where that was done, or it was removed."""
        lock_fd, self._lock_fd = self._lock_fd, None
        if lock_fd is not None:  # a number that was closed may be another file's by now
            os.close(lock_fd)


def _line_of(batch: Batch) -> bytes:
    # Records are JSON on one line: they stand there as they were sealed.
    return b'{"key":%b,"records":[%b]}\n' % (
        _encode_text(batch.key),
        ",".join(batch.records).encode(),
    )


def parse_line(line: bytes) -> Batch | None:
    """The batch of a line; None where the line is torn or not one."""
    if not line.endswith(b"\n"):
        return None
    try:
        found = _decode(line)
    except msgspec.DecodeError:
        return None
    return Batch(found.key, [_text_of(bytes(record)) for record in found.records])


def _text_of(record: bytes) -> str:
    # Earlier versions wrote each record as a JSON string.
    text: str = msgspec.json.decode(record) if record.startswith(b'"') else record.decode()
    return text


def abandoned(directory: Path) -> Iterator[Abandoned]:
    """The queues under a directory whose owners are dead, each locked; the caller lets go of them.

    Raises:
        OSError: the directory can't be read.
    """
    if not directory.is_dir():
        return
    for path in sorted(directory.iterdir()):
        try:
            lock_fd = os.open(path / "lock", os.O_RDWR)
        except OSError:
            continue  # made this moment, or just taken away
        if not try_flock(lock_fd):
            os.close(lock_fd)  # its owner lives
            continue
        if not (path / "lock").exists():
            os.close(lock_fd)  # somebody else dealt with it while we waited
            continue
        yield Abandoned(path, lock_fd)


def _remove(directory: Path) -> None:
    for path in sorted(directory.glob("*.jsonl")):
        path.unlink()
    (directory / "lock").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something strange lies there: leave it
        directory.rmdir()
