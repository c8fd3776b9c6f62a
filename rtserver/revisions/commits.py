"""What is committed of a revision, and of an archived change."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from rtserver.model.texts import printable
from rtserver.revisions.model import Revision
from rtserver.runs.files.folders import open_file, open_folder, open_root, read_bytes
from rtserver.runs.files.paths import UnsafePathError, path_parts
from rtserver.runs.files.read import CHANGES, MAX_FILE_BYTES, FolderContents, read_contents

SPECS = ("openspec", "specs")
ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class PendingCommit:
    """A commit that is to be made.

    Attributes:
        project_id: in whose workspace.
        actor: whose change it is; None where nobody is known.
        at: when it was made.
        message: what the commit says.
        files: by path from the workspace the SHA-256 of the content, None where it is removed.
        folders: what is in them and not in `files` is removed too.
    """

    project_id: str
    actor: str | None
    at: datetime
    message: str
    files: Mapping[str, str | None]
    folders: Sequence[str] = ()


class ArchivedFiles(NamedTuple):
    """What archiving a change left.

    Attributes:
        name: of the change's folder now.
        contents: by path from the workspace; None for a spec that went.
        is_all: nothing of the change's folder was left out.
    """

    name: str
    contents: dict[str, bytes | None]
    is_all: bool


def revision_commit(revision: Revision) -> PendingCommit:
    """The proposal's folder as it is in a revision.

    What is in the folder and no part of the revision, such as a large file, stays as it was.
    """
    folder = "/".join((*CHANGES, revision.proposal_id))
    files: dict[str, str | None] = {f"{folder}/{file.path}": file.sha256 for file in revision.files}
    left_out = dict(revision.left_out)
    for path in revision.removed:
        if path not in left_out:
            files[f"{folder}/{path}"] = None
    trailers = {
        "Proposal": revision.proposal_id,
        "Revision": str(revision.number),
        "Digest": revision.digest,
        "Cause": revision.cause.value,
        "Actor": revision.actor,
        "Run": revision.run_id,
        "Restored": None if revision.restored_from is None else str(revision.restored_from),
    }
    return PendingCommit(
        revision.project_id,
        revision.actor,
        revision.at,
        _message(f"{revision.proposal_id}: revision {revision.number}", revision.note, trailers),
        files,
        () if left_out else (folder,),
    )


def archive_commit(
    project_id: str, proposal_id: str, actor: str, at: datetime, archived: ArchivedFiles
) -> PendingCommit:
    """The change's folder in its new place, and the specs that it changed."""
    before = "/".join((*CHANGES, proposal_id))
    after = "/".join((*CHANGES, ARCHIVE, archived.name))
    files: dict[str, str | None] = {
        path: None if content is None else hashlib.sha256(content).hexdigest()
        for path, content in archived.contents.items()
    }
    for path in archived.contents:
        if path.startswith(f"{after}/"):
            files[before + path.removeprefix(after)] = None
    message = _message(f"{proposal_id}: archived", "", {"Proposal": proposal_id, "Actor": actor})
    folders = (before, after) if archived.is_all else ()
    return PendingCommit(project_id, actor, at, message, files, folders)


def archived_files(workspace: Path, archived_as: str) -> ArchivedFiles:
    """Read what archiving a change left: its folder, and each spec that the change names.

    Blocks, and is called while nobody writes.

    Raises:
        OSError, UnsafePathError: it can't be read.
    """
    (name,) = path_parts(archived_as)[-1:]
    place = (*CHANGES, ARCHIVE, name)
    with open_root(workspace) as root:
        with open_folder(place, dir_fd=root) as folder:
            found: FolderContents = read_contents(folder)
        contents: dict[str, bytes | None] = {
            "/".join((*place, path)): content for path, content in found.files.items()
        }
        for path in found.files:
            below, *parts = path.split("/")
            if below != "specs" or len(parts) < 2:
                continue
            with contextlib.suppress(UnsafePathError, _TooLargeError):  # not ours to commit
                contents["/".join((*SPECS, *parts))] = _spec(root, parts)
    return ArchivedFiles(name, contents, not found.left_out)


class _TooLargeError(Exception):
    pass


def _spec(root: int, parts: Sequence[str]) -> bytes | None:
    """A spec's content; None where it went with its last requirement."""
    try:
        with (
            open_folder((*SPECS, *parts[:-1]), dir_fd=root) as folder,
            open_file(parts[-1], dir_fd=folder) as file,
        ):
            content = read_bytes(file, MAX_FILE_BYTES)
    except FileNotFoundError:
        return None
    if content is None:
        raise _TooLargeError
    return content


def _message(subject: str, note: str, trailers: Mapping[str, str | None]) -> str:
    """A commit's message; the trailers are its last paragraph, whatever the note says."""
    last = [f"{name}: {printable(value)}" for name, value in trailers.items() if value]
    return "\n\n".join(part for part in (subject, note.strip(), "\n".join(last)) if part) + "\n"
