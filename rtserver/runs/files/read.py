"""The files of a proposal as they are at one moment, for a language model to read."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rtserver.runs.files.allowed import AllowedPaths
from rtserver.runs.files.folders import digest_of, open_file, open_folder, open_root, read_bytes
from rtserver.runs.files.paths import MAX_DEPTH, UnsafePathError
from rtserver.runs.files.schema import allowed_paths

CHANGES = ("openspec", "changes")
MAX_FILES = 500
MAX_FILE_BYTES = 1024 * 1024
MAX_CONTENTS_BYTES = 16 * 1024 * 1024
MAX_LEFT_OUT = 20
MAX_ENTRIES = 5_000
"""Names that are looked at, folders included: a folder may have millions, and take minutes."""


class WorkspaceError(Exception):
    """A proposal's files can't be read or written; the message is for people.

    Attributes:
        path: the file that is in the way, where it is one.
        reason: the same for programs: `no_workspace`, `no_such_proposal`, `unsafe_path`,
            `conflict`, `too_large`, `not_shown`, `disk_full`, `not_written`, `not_read`, `busy`
            or `stopped`.
    """

    def __init__(self, reason: str, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.path = path


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as it was read: its text, and the SHA-256 of its bytes."""

    text: str
    digest: str


@dataclass(frozen=True, slots=True)
class ProposalFiles:
    """What is in a proposal's folder.

    Attributes:
        files: text files by path.
        unread: paths of what else is there, each with the reason why it was not read.
        odd: those of them that are links, or no plain files.
        allowed: which may be written.
    """

    files: dict[str, SeenFile]
    unread: dict[str, str]
    odd: frozenset[str] = frozenset()
    allowed: AllowedPaths = field(default_factory=AllowedPaths)


def workspace_parts(project_id: str, proposal_id: str) -> tuple[str, ...]:
    """The path of a proposal's folder below the workspace root. Ids are checked by the caller."""
    return (project_id, *CHANGES, proposal_id)


def read_proposal(
    workspace_root: Path, project_id: str, proposal_id: str, schema_folders: Sequence[Path] = ()
) -> ProposalFiles:
    """Read all files of a proposal. Blocks: call it in a thread.

    Args:
        workspace_root: where the projects' workspaces are.
        project_id: whose workspace.
        proposal_id: whose folder in it.
        schema_folders: see `rtserver.runs.files.schema.shared_schema_folders`.

    Raises:
        WorkspaceError: there is no such folder, it can't be read, or the way to it is a link.
    """
    files: dict[str, SeenFile] = {}
    unread: dict[str, str] = {}
    odd: set[str] = set()
    try:
        with open_root(workspace_root) as root:
            try:
                with open_folder((project_id,), dir_fd=root) as workspace:
                    parts = workspace_parts(project_id, proposal_id)[1:]
                    with open_folder(parts, dir_fd=workspace) as folder:
                        _read_all(folder, files, unread, odd)
                        allowed = allowed_paths(
                            proposal_id, workspace=workspace, folder=folder, shared=schema_folders
                        )
            except FileNotFoundError:
                raise _missing(root, project_id, proposal_id) from None
    except FileNotFoundError:
        raise WorkspaceError("no_workspace", "The server has no workspaces") from None
    except UnsafePathError as error:
        raise WorkspaceError("unsafe_path", str(error)) from error
    except OSError as error:
        why = (error.strerror or "the system refused").lower()
        raise WorkspaceError(
            "not_read", f"The proposal's files could not be read: {why}"
        ) from error
    return ProposalFiles(
        dict(sorted(files.items())), dict(sorted(unread.items())), frozenset(odd), allowed
    )


@dataclass(frozen=True, slots=True)
class FolderContents:
    """The bytes of what is in a proposal's folder.

    Attributes:
        files: by path.
        left_out: paths of what else is there, each with the reason.
    """

    files: dict[str, bytes]
    left_out: dict[str, str]


def read_contents(folder: int) -> FolderContents:
    """Read every plain file below a proposal's open folder, up to the bounds.

    Raises:
        OSError: it can't be read.
    """
    files: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    for found in _found_in(folder):
        if found.content is None:
            left_out[found.path] = found.why
        else:
            files[found.path] = found.content
    return FolderContents(files, dict(islice(left_out.items(), MAX_LEFT_OUT)))


def _missing(root: int, project_id: str, proposal_id: str) -> WorkspaceError:
    try:
        with open_folder((project_id,), dir_fd=root):
            return WorkspaceError(
                "no_such_proposal",
                f"The workspace of project {project_id} has no openspec/changes/{proposal_id}",
            )
    except FileNotFoundError:
        return WorkspaceError("no_workspace", f"Project {project_id} has no workspace")


def _read_all(
    folder: int, files: dict[str, SeenFile], unread: dict[str, str], odd: set[str]
) -> None:
    for found in _found_in(folder):
        if found.content is None:
            unread[found.path] = found.why
            if found.is_odd:
                odd.add(found.path)
            continue
        try:
            files[found.path] = SeenFile(found.content.decode("utf-8"), digest_of(found.content))
        except UnicodeDecodeError:
            unread[found.path] = "it is not UTF-8 text"


class _Found(NamedTuple):
    """What there is under a path; where it was not read, why."""

    path: str
    content: bytes | None
    why: str = ""
    is_odd: bool = False


def _found_in(folder: int) -> Iterator[_Found]:
    """All that is in a folder, up to the bounds; those that are met stand under `...`."""
    count = 0
    room_bytes = MAX_CONTENTS_BYTES
    entries = _Entries()
    for path, dir_fd, name in entries.walk(folder, "", 1):
        if count == MAX_FILES:
            yield _Found("...", None, f"the folder has more than {MAX_FILES} files")
            return
        try:
            found = _found_at(path, dir_fd, name, room_bytes)
        except FileNotFoundError:
            continue  # it went while we were reading
        count += 1
        room_bytes -= len(found.content or b"")
        yield found
    if not entries.left:
        yield _Found("...", None, f"the folder has {MAX_ENTRIES} names or more in it")


def _found_at(path: str, dir_fd: int, name: str, room_bytes: int) -> _Found:
    if not path.isprintable():
        return _Found(ascii(path), None, "its name has characters that can't be shown")
    try:
        with open_file(name, dir_fd=dir_fd) as fd:
            content = read_bytes(fd, min(MAX_FILE_BYTES, room_bytes))
    except UnsafePathError:
        return _Found(path, None, "it is a link, or no plain file", is_odd=True)
    if content is not None:
        return _Found(path, content)
    if room_bytes < MAX_FILE_BYTES:
        return _Found(path, None, f"all files together have more than {MAX_CONTENTS_BYTES} bytes")
    return _Found(path, None, f"it has more than {MAX_FILE_BYTES} bytes")


class _Entries:
    """The names in a folder and below it.

    Attributes:
        left: how many more are looked at.
    """

    def __init__(self) -> None:
        self.left = MAX_ENTRIES

    def walk(self, folder: int, prefix: str, depth: int) -> Iterator[tuple[str, int, str]]:
        """Every name that is no folder: its path, the open folder it is in, and the name.

        Folders that are too deep are among them.
        """
        with os.scandir(folder) as entries:
            taken = list(islice(entries, self.left))
        self.left -= len(taken)
        found = [(stat.S_ISDIR(_mode(entry)), entry.name) for entry in taken]
        for is_folder, name in sorted(found):  # what is in folders comes last, and may be too much
            if not is_folder or depth == MAX_DEPTH:
                yield prefix + name, folder, name
            else:
                try:
                    with open_folder((name,), dir_fd=folder) as below:
                        yield from self.walk(below, f"{prefix}{name}/", depth + 1)
                except (FileNotFoundError, UnsafePathError):
                    continue  # it is another thing by now


def _mode(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0
