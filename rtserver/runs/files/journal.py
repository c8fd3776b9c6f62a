"""What a write of several files is about to do, on disk before it is done, so it can be undone.

Each write has a folder in the workspace, `.rtserver/PROPOSAL_ID/`:

    file-N          the new content of entry N; after its swap, the old content
    file-N.old      the old content, for a moment, where the file system can't swap
    journal.json    there from before the first swap: whoever finds it undoes the swaps
    committed.json  the journal under another name: all swaps are done and they stay

The rename from the one name to the other is the moment in which all files count as written.
"""

import contextlib
import errno
import os
import stat
from dataclasses import dataclass
from typing import Literal

import msgspec
import structlog

from rtserver.runs.files.folders import (
    file_digest,
    open_file,
    open_folder,
    read_bytes,
    stat_of,
    write_new,
)
from rtserver.runs.files.paths import UnsafePathError, path_parts
from rtserver.runs.files.rename_exchange import exchange

JOURNAL = "journal.json"
COMMITTED = "committed.json"
_MAX_JOURNAL_BYTES = 1024 * 1024
_OLD = ".old"
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)

_log = structlog.get_logger()


class Entry(msgspec.Struct):
    """One file of a write.

    Attributes:
        path: relative to the proposal's folder.
        slot: name of its file in the write's folder.
        inode: number of the new file, by which it is told apart from what somebody else puts there;
            0 where the file is removed.
        old, new: SHA-256 of the content before and after; `old` is None where there was no file,
            and `new` where there is none any more.
    """

    path: str
    slot: str
    inode: int
    old: str | None
    new: str | None


class Journal(msgspec.Struct):
    """A write.

    Attributes:
        run_id: for whom.
        entries: its files.
        made_folders: folders that are missing and made on the way, outermost first.
    """

    run_id: str
    entries: list[Entry]
    made_folders: list[str]


@dataclass(frozen=True, slots=True)
class Settled:
    """What was found of an earlier write.

    Attributes:
        outcome: `nothing`: there was none, or it had not touched a file yet; `undone`: its files
            are as they were before; `committed`: all of them are written.
        run_id: whose it was; None for `nothing`.
        paths: its files; empty for `nothing`.
    """

    outcome: Literal["nothing", "undone", "committed"]
    run_id: str | None = None
    paths: tuple[str, ...] = ()


def write_journal(journal: Journal, *, area: int) -> None:
    """Put a journal where it is found after a crash. From here on the write can be undone."""
    write_new(JOURNAL + ".new", msgspec.json.encode(journal), dir_fd=area)
    os.rename(JOURNAL + ".new", JOURNAL, src_dir_fd=area, dst_dir_fd=area)
    os.fsync(area)


def commit_journal(*, area: int) -> None:
    """The moment in which the write counts as done."""
    os.rename(JOURNAL, COMMITTED, src_dir_fd=area, dst_dir_fd=area)
    os.fsync(area)


def settle(*, area: int, folder: int) -> Settled:
    """Bring an earlier write to one of its two ends, whatever it died of.

    Args:
        area: the write's open folder; the caller holds the lock.
        folder: the proposal's open folder.

    Raises:
        OSError: the files could not be put back; the journal is still there.
    """
    journal = _read(JOURNAL, area)
    if journal is not None:
        undo(journal, area=area, folder=folder)
        clear(area)
        return Settled("undone", journal.run_id, tuple(entry.path for entry in journal.entries))
    journal = _read(COMMITTED, area)
    clear(area, keep=(COMMITTED,))
    if journal is None:
        return Settled("nothing")
    return Settled("committed", journal.run_id, tuple(entry.path for entry in journal.entries))


def clear(area: int, *, keep: tuple[str, ...] = ()) -> None:
    """Empty a write's folder."""
    with os.scandir(area) as entries:
        names = [entry.name for entry in entries if entry.name not in keep]
    # The journals last: as long as one is there, what belongs to it is.
    for name in sorted(names, key=lambda name: name.endswith(".json")):
        os.unlink(name, dir_fd=area)


def _read(name: str, area: int) -> Journal | None:
    try:
        with open_file(name, dir_fd=area) as fd:
            content = read_bytes(fd, _MAX_JOURNAL_BYTES)
        journal = msgspec.json.decode(content or b"", type=Journal)
        for entry in journal.entries:
            path_parts(entry.path)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnsafePathError) as error:
        # It is renamed into place when it is whole, so this is not of the server's making.
        raise OSError(0, f"the journal of a write is damaged ({error})") from error
    return journal


def swap_in(entry: Entry, name: str, *, area: int, parent: int) -> bool:
    """Put an entry's new file in place.

    Returns:
        False where something else was there than what is to be replaced, or to replace it. What
        was there may have been swapped out all the same: `undo` puts it back.
    """
    if entry.new is None:
        return _take_out(entry, name, area=area, parent=parent)
    staged = stat_of(entry.slot, dir_fd=area)
    if staged is None or staged.st_ino != entry.inode or not stat.S_ISREG(staged.st_mode):
        return False
    if entry.old is None:
        return _put_new(entry.slot, name, area=area, parent=parent)
    try:
        if not exchange(entry.slot, name, first_dir_fd=area, second_dir_fd=parent):
            _replace(entry.slot, name, area=area, parent=parent)
    except FileNotFoundError:
        return False
    # What was there is in hand only now, so only now can nobody change it unseen.
    return _holds_old(entry, area)


def _take_out(entry: Entry, name: str, *, area: int, parent: int) -> bool:
    """Move a file that is to be removed into the write's folder."""
    try:
        os.rename(name, entry.slot, src_dir_fd=parent, dst_dir_fd=area)
    except FileNotFoundError:
        return False
    return _holds_old(entry, area)


def _holds_old(entry: Entry, area: int) -> bool:
    """Whether the entry's slot has the file that the write is to replace."""
    try:
        return file_digest(entry.slot, dir_fd=area) == entry.old
    except UnsafePathError:
        return False


def _put_new(slot: str, name: str, *, area: int, parent: int) -> bool:
    try:
        os.link(slot, name, src_dir_fd=area, dst_dir_fd=parent, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if stat_of(name, dir_fd=parent) is not None:
            return False
        os.rename(slot, name, src_dir_fd=area, dst_dir_fd=parent)
    return True


def _replace(slot: str, name: str, *, area: int, parent: int) -> None:
    kept = slot + _OLD
    os.link(name, kept, src_dir_fd=parent, dst_dir_fd=area, follow_symlinks=False)
    os.rename(slot, name, src_dir_fd=area, dst_dir_fd=parent)
    os.rename(kept, slot, src_dir_fd=area, dst_dir_fd=area)


def undo(journal: Journal, *, area: int, folder: int) -> None:
    """Put back what a write has replaced so far. What others changed since is left to them."""
    for entry in reversed(journal.entries):
        *above, name = path_parts(entry.path)
        try:
            with open_folder(above, dir_fd=folder) as parent:
                _undo_one(entry, name, area=area, parent=parent)
                os.fsync(parent)
        except FileNotFoundError:
            continue  # its folder was not made yet
        except UnsafePathError as error:
            _log.warning("write_not_undone", path=entry.path, problem=str(error))
    for path in reversed(journal.made_folders):
        *above, name = path_parts(path)
        with (
            contextlib.suppress(OSError, UnsafePathError),  # not there, or in use by now
            open_folder(above, dir_fd=folder) as parent,
        ):
            os.rmdir(name, dir_fd=parent)


def _undo_one(entry: Entry, name: str, *, area: int, parent: int) -> None:
    if entry.new is None:
        if stat_of(entry.slot, dir_fd=area) is not None and not _put_new(
            entry.slot, name, area=area, parent=parent
        ):
            _log.warning("write_not_undone", path=entry.path, problem="it was made anew since")
        return
    found = stat_of(name, dir_fd=parent)
    if found is None or found.st_ino != entry.inode:
        slot = stat_of(entry.slot, dir_fd=area)
        if entry.old is not None and (slot is None or slot.st_ino != entry.inode):
            _log.warning("write_not_undone", path=entry.path, problem="it was replaced since")
        return  # else it had not been put in place
    if file_digest(name, dir_fd=parent) != entry.new:
        _log.warning("write_not_undone", path=entry.path, problem="it was changed since")
    elif entry.old is None:
        os.unlink(name, dir_fd=parent)
    else:
        slot_name = _old_slot(entry, area)
        if not exchange(slot_name, name, first_dir_fd=area, second_dir_fd=parent):
            os.rename(slot_name, name, src_dir_fd=area, dst_dir_fd=parent)


def _old_slot(entry: Entry, area: int) -> str:
    kept = entry.slot + _OLD
    return kept if stat_of(kept, dir_fd=area) is not None else entry.slot
