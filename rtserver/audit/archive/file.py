"""The files of the audit archive: gzipped JSON Lines, one file an hour.

    audit-2026-01-31T14Z.jsonl.gz

A line is a record as it is stored, or a gap (see `gap_line`) that names records which are not
there. Lines are in the order of the log, and every file goes on where the one before it ends. The
hour is that in which MongoDB stored the record, by its own clock, so files never overlap, whatever
the workers' clocks say; `ts`, when the act happened, may be earlier.

What is written at a time is one gzip member, and members may follow each other (RFC 1952
section 2.2). So `zcat` reads the file of the present hour too. A file whose writer died may end in
the middle of a member: a reader stops there, and who archives next repairs it.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from rtserver.model.positions import BadPositionError, Position

GAP_TYPE = "archive_gap"
HOUR_S = 3600
CHUNK_BYTES = 256 * 1024
LEVEL = 6

_GAP_BEGIN = b'{"type":"archive_gap"'
_NAME = re.compile(r"audit-(\d{4}-\d\d-\d\dT\d\d)Z\.jsonl\.gz")
_NAME_FORMAT = "%Y-%m-%dT%H"


class TornFileError(Exception):
    """A file ends in the middle of a member, or holds bytes that are none of the archive's."""

    def __init__(self, path: Path, offset: int) -> None:
        super().__init__(f"{path} can't be read after byte {offset}")
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a file.

    Attributes:
        lines: whole lines, without their line ends.
        end: where in the file a complete member ends with these lines; None: it goes on.
    """

    lines: list[bytes]
    end: int | None


@dataclass(slots=True)
class Scan:
    """What a file holds.

    Attributes:
        end: where its last complete member ends: what is behind is torn.
        size_bytes: of the whole file.
        last: the newest line of the complete members; None where there is none.
        salvaged: the lines that could still be read of what is torn; nothing vouches for them.
    """

    end: int = 0
    size_bytes: int = 0
    last: bytes | None = None
    salvaged: list[bytes] = field(default_factory=list)

    @property
    def torn_bytes(self) -> int:
        """How much is not part of a complete member."""
        return self.size_bytes - self.end


def file_name(hour: int) -> str:
    """The name of an hour's file; names sort by time.

    Args:
        hour: hours since the Unix epoch.
    """
    return f"audit-{datetime.fromtimestamp(hour * HOUR_S, UTC).strftime(_NAME_FORMAT)}Z.jsonl.gz"


def hour_of(name: str) -> int | None:
    """The hour that a file name stands for; None where it is no file of the archive."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        moment = datetime.strptime(match[1], _NAME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) // HOUR_S


def archive_files(directory: Path) -> list[Path]:
    """The files of an archive, oldest first.

    Raises:
        OSError: the directory can't be read.
    """
    return sorted(path for path in directory.iterdir() if hour_of(path.name) is not None)


def member(lines: Sequence[bytes]) -> bytes:
    """Lines as a gzip member, to be appended to a file as it is."""
    return gzip.compress(b"\n".join([*lines, b""]), compresslevel=LEVEL, mtime=0)


def parts(file: BinaryIO) -> Iterator[Part]:
    """What a file holds, piece by piece; the last piece has no end where the file is torn.

    Raises:
        OSError: it can't be read.
    """
    chunk = file.read(CHUNK_BYTES)
    offset = 0
    while chunk:
        decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        text = b""
        ended = False
        while not ended:
            try:
                text += decoder.decompress(chunk)
            except zlib.error:
                yield Part([], None)
                return
            *lines, text = text.split(b"\n")
            ended = decoder.eof
            offset += len(chunk) - len(decoder.unused_data)
            if ended and not text:
                yield Part(lines, offset)
                break
            yield Part(lines, None)
            chunk = file.read(CHUNK_BYTES)
            if ended or not chunk:
                return  # within a member, or a member ended within a line
        chunk = decoder.unused_data or file.read(CHUNK_BYTES)


def scan(path: Path) -> Scan:
    """Read through a file.

    Raises:
        OSError: it can't be read.
    """
    found = Scan(size_bytes=path.stat().st_size)
    last: bytes | None = None
    with path.open("rb") as file:
        for part in parts(file):
            if part.lines:
                last = part.lines[-1]
            if part.end is None:
                found.salvaged += part.lines
            else:
                found.end = part.end
                found.last = last
                found.salvaged.clear()
    return found


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, without their line ends.

    Raises:
        OSError: it can't be read.
        TornFileError: after the last line that could be read, where the file is torn. That of the
            present hour may be: it is being written.
    """
    end = 0
    whole = True
    with path.open("rb") as file:
        for part in parts(file):
            yield from part.lines
            whole = part.end is not None
            end = part.end if part.end is not None else end
    if not whole:
        raise TornFileError(path, end)


def gap_line(fields: Mapping[str, object]) -> bytes:
    """A line that says what is missing.

    Args:
        fields: `epoch`; `reason`; `first` and `last` sequence number, both None where it can't be
            known what is missing; `after`, the id of the record before; `before`, the sequence
            number of the record that follows; `ts`; `worker`.
    """
    return json.dumps({"type": GAP_TYPE, **fields}, separators=(",", ":")).encode()


def is_gap(line: bytes) -> bool:
    """Whether a line says what is missing."""
    return line.startswith(_GAP_BEGIN)


def position_of(line: bytes) -> Position | None:
    """How far the archive goes with a line; None where it is no line of an archive."""
    try:
        found = json.loads(line)
        if found["type"] == GAP_TYPE:
            return Position(str(found["epoch"]), int(found["before"]) - 1)
        return Position.parse(found["id"])
    except (ValueError, KeyError, TypeError, BadPositionError):
        return None
