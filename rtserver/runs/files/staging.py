"""Puts new contents beside the files that they are to replace, before any of those is touched."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from rtserver.runs.files.allowed import AllowedPaths, folded
from rtserver.runs.files.folders import (
    digest_of,
    file_digest,
    is_plain,
    new_file,
    open_file,
    open_folder,
    stat_of,
)
from rtserver.runs.files.journal import Entry, Journal
from rtserver.runs.files.paths import UnsafePathError, path_parts
from rtserver.runs.files.read import (
    MAX_CONTENTS_BYTES,
    MAX_FILE_BYTES,
    MAX_FILES,
    FolderContents,
    WorkspaceError,
)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that is to be written.

    Attributes:
        path: relative to the proposal's folder.
        old: SHA-256 of the content that it replaces; None where nothing may be there.
        content: the whole new content; None where the file is to be removed.
    """

    path: str
    old: str | None
    content: bytes | None


def conflict(path: str) -> WorkspaceError:
    """Somebody else changed a file that was to be replaced."""
    return WorkspaceError(
        "conflict",
        f"{path} was changed by somebody else meanwhile; nothing was written. Start again",
        path,
    )


def check_sizes(files: Sequence[NewFile], before: FolderContents) -> None:
    """Refuse what would not be read again: nobody would see it, and it could not be reviewed.

    Args:
        files: what is to be written.
        before: what is there.

    Raises:
        WorkspaceError: reason `too_large`.
    """
    sizes_bytes = {path: len(content) for path, content in before.files.items()}
    sizes_before = dict(sizes_bytes)
    for file in files:
        if file.content is None:
            sizes_bytes.pop(file.path, None)
            continue
        sizes_bytes[file.path] = len(file.content)
        if len(file.content) > MAX_FILE_BYTES:
            raise WorkspaceError(
                "too_large", f"{file.path} has more than {MAX_FILE_BYTES} bytes", file.path
            )
    if MAX_FILES < len(sizes_bytes) > len(sizes_before):
        raise WorkspaceError("too_large", f"The proposal would have more than {MAX_FILES} files")
    if MAX_CONTENTS_BYTES < sum(sizes_bytes.values()) > sum(sizes_before.values()):
        raise WorkspaceError(
            "too_large", f"All files together would have more than {MAX_CONTENTS_BYTES} bytes"
        )


def check_names(files: list[NewFile], allowed: AllowedPaths, folder: int) -> None:
    """Refuse paths that may not be written, and those that may be taken for another one.

    On some file systems names that differ in case, or in how a letter is composed, are the same.

    Raises:
        UnsafePathError: there is one.
    """
    seen: dict[tuple[str, ...], str] = {}
    names = _NamesThere(folder)
    for file in files:
        parts = allowed.parts(file.path)
        for depth in range(1, len(parts) + 1):
            plain = tuple(folded(part) for part in parts[:depth])
            if seen.setdefault(plain, parts[depth - 1]) != parts[depth - 1]:
                raise UnsafePathError(file.path, "is all but the same as another one")
        if names.have_twin(parts):
            raise UnsafePathError(file.path, "is all but the same as a name that is there")


class _NamesThere:
    """The names in a proposal's folder, each of its folders read once at most."""

    def __init__(self, folder: int) -> None:
        self._folder = folder
        self._folded: dict[tuple[str, ...], set[str]] = {}

    def have_twin(self, parts: tuple[str, ...]) -> bool:
        """Whether the first part of a path that is not there is there in another spelling."""
        for depth, part in enumerate(parts):
            above = parts[:depth]
            with open_folder(above, dir_fd=self._folder) as parent:
                if stat_of(part, dir_fd=parent) is not None:
                    continue
                if above not in self._folded:
                    with os.scandir(parent) as entries:
                        self._folded[above] = {folded(entry.name) for entry in entries}
                return folded(part) in self._folded[above]  # what is below is new
        return False


def check_unchanged(file: NewFile, folder: int) -> None:
    """Refuse early, before anything is staged, what can be seen to be impossible.

    Raises:
        WorkspaceError: reason `conflict`.
        UnsafePathError: there is a link, or something else that is no plain file.
    """
    *above, name = path_parts(file.path)
    try:
        with open_folder(above, dir_fd=folder) as parent:
            if stat_of(name, dir_fd=parent) is not None and not is_plain(name, dir_fd=parent):
                raise UnsafePathError(file.path, "is a link, or no plain file")
            now = file_digest(name, dir_fd=parent)
    except FileNotFoundError:
        now = None
    if now != file.old:
        raise conflict(file.path)


def stage(run_id: str, files: list[NewFile], *, area: int, folder: int) -> Journal:
    """Write the new contents into a write's empty folder; the journal of what is to be done.

    Raises:
        OSError: there is no room for them, say.
        UnsafePathError: a folder on the way has become a link.
    """
    entries: list[Entry] = []
    missing: dict[str, None] = {}
    for number, file in enumerate(files):
        *above, name = path_parts(file.path)
        slot = f"file-{number}"
        if file.content is None:
            entries.append(Entry(file.path, slot, 0, file.old, None))
            continue
        with new_file(slot, file.content, dir_fd=area) as fd:
            if file.old is not None:
                with (
                    open_folder(above, dir_fd=folder) as parent,
                    open_file(name, dir_fd=parent) as replaced,
                ):
                    _dress(fd, like=os.fstat(replaced))
            inode = os.fstat(fd).st_ino
        entries.append(Entry(file.path, slot, inode, file.old, digest_of(file.content)))
        for depth in range(1, len(above) + 1):
            try:
                with open_folder(above[:depth], dir_fd=folder):
                    pass
            except FileNotFoundError:
                missing["/".join(above[:depth])] = None
    os.fsync(area)
    return Journal(run_id, entries, list(missing))


def _dress(fd: int, *, like: os.stat_result) -> None:
    """Give a new file the permissions of the one it replaces, and its owner where that may be.

    All but the permission to be executed: what is in it now is another's.
    """
    with contextlib.suppress(PermissionError):
        os.fchown(fd, like.st_uid, like.st_gid)
    os.fchmod(fd, like.st_mode & 0o666)
