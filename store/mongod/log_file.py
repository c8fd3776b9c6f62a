"""The private mongod's log file: kept small, and its last words put in people's words."""

import json
import os
import shutil
from pathlib import Path
from typing import BinaryIO

_TAIL_LINES = 6
_TAIL_BYTES = 64 * 1024
_LINE_CHARACTERS = 400
# ld.so about a libcurl that was not built by Debian; it says nothing of what went wrong.
_NO_MATTER = "no version information available (required by "


def open_log(path: Path) -> BinaryIO:
    """Open the log for appending, so that mongod goes on at its end after a rotation."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return os.fdopen(fd, "ab", buffering=0)


def rotate_log(path: Path, max_bytes: int) -> bool:
    """Move the log's content to ``mongod.log.1`` where it is larger than ``max_bytes``.

    The content is copied and cut, not the file renamed: mongod holds the file open. A line that
    mongod writes just between the two is lost.

    Returns:
        Whether it was moved.

    Raises:
        OSError: The file system would not let it.
    """
    if not path.exists() or path.stat().st_size <= max_bytes:
        return False
    shutil.copy2(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    return True


def last_words(path: Path, offset: int) -> str:
    """The last lines that were written at or after ``offset`` bytes, errors before anything else.

    mongod's own lines are JSON; what the dynamic loader or the guard says is plain text.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(min(offset, size), size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return "no log was written"
    told = [_in_words(line) for line in lines if line.strip() and _NO_MATTER not in line]
    grave = [words for words, is_grave in told if is_grave]
    chosen = grave or [words for words, _ in told]
    return "\n".join(chosen[-_TAIL_LINES:]) or "its log is empty"


def _in_words(line: str) -> tuple[str, bool]:
    """One line for people, and whether it tells of an error."""
    try:
        entry = json.loads(line)
        attributes = json.dumps(entry["attr"]) if "attr" in entry else ""
        words = f"{entry['msg']} {attributes}"
        return " ".join(words.split())[:_LINE_CHARACTERS], entry["s"] in ("E", "F")
    except (ValueError, TypeError, KeyError):
        return line[:_LINE_CHARACTERS], True
