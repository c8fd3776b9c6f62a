"""The files of a proposal as they are at one moment, for a language model to read."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rtserver.runs.files.allowed import AllowedPaths
from rtserver.runs.files.folders import digest_of, open_file, open_folder, open_root, read_bytes
from rtserver.runs.files.paths import UnsafePathError
from rtserver.runs.files.schema import allowed_paths

CHANGES = ("openspec", "changes")
MAX_FILES = 500
MAX_DEPTH = 12
MAX_FILE_BYTES = 1024 * 1024
MAX_CONTENTS_BYTES = 16 * 1024 * 1024
MAX_LEFT_OUT = 20


class WorkspaceError(Exception):
    """A proposal's files can't be read or written; the message is for people.

    Attributes:
        reason: the same for programs: `no_workspace`, `no_such_proposal`, `unsafe_path`,
            `conflict`, `not_shown`, `disk_full`, `not_written`, `not_read`, `busy` or `stopped`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


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
    size_bytes = 0
    for path, dir_fd, name in _walk(folder, "", 1):
        if len(files) >= MAX_FILES or size_bytes > MAX_CONTENTS_BYTES:
            left_out["..."] = f"more than {MAX_FILES} files, or {MAX_CONTENTS_BYTES} bytes"
            break
        if not path.isprintable():
            left_out[ascii(path)] = "its name has characters that can't be shown"
            continue
        try:
            with open_file(name, dir_fd=dir_fd) as fd:
                content = read_bytes(fd, MAX_FILE_BYTES)
        except FileNotFoundError:
            continue  # it went while we were reading
        except UnsafePathError:
            left_out[path] = "it is a link, or no plain file"
            continue
        if content is None:
            left_out[path] = f"it has more than {MAX_FILE_BYTES} bytes"
            continue
        files[path] = content
        size_bytes += len(content)
    return FolderContents(files, dict(list(left_out.items())[:MAX_LEFT_OUT]))


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
    for path, dir_fd, name in _walk(folder, "", 1):
        if len(files) + len(unread) >= MAX_FILES:
            unread["..."] = f"the folder has more than {MAX_FILES} files"
            return
        if not path.isprintable():
            unread[ascii(path)] = "its name has characters that can't be shown"
            continue
        try:
            with open_file(name, dir_fd=dir_fd) as fd:
                content = read_bytes(fd, MAX_FILE_BYTES)
        except FileNotFoundError:
            continue  # it went while we were reading
        except UnsafePathError:
            unread[path] = "it is a link, or no plain file"
            odd.add(path)
            continue
        if content is None:
            unread[path] = f"it has more than {MAX_FILE_BYTES} bytes"
            continue
        try:
            files[path] = SeenFile(content.decode("utf-8"), digest_of(content))
        except UnicodeDecodeError:
            unread[path] = "it is not UTF-8 text"


def _walk(folder: int, prefix: str, depth: int) -> Iterator[tuple[str, int, str]]:
    """Every name that is no folder: its path, the open folder it is in, and the name."""
    with os.scandir(folder) as entries:
        found = sorted((entry.name, stat.S_IFMT(_mode(entry))) for entry in entries)
    for name, kind in found:
        if kind != stat.S_IFDIR:
            yield prefix + name, folder, name
        elif depth < MAX_DEPTH:
            try:
                with open_folder((name,), dir_fd=folder) as below:
                    yield from _walk(below, f"{prefix}{name}/", depth + 1)
            except (FileNotFoundError, UnsafePathError):
                continue  # it is another thing by now


def _mode(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0
