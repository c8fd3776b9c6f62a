"""A revision: what all files of a proposal's folder hold at one moment."""

import enum
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NotRequired, Protocol, TypedDict

from rtserver.model.errors import ConflictError, NotFoundError
from rtserver.model.field_types import (
    Digest,
    Moment,
    ProposalId,
    RevisionNumber,
    RunId,
    Sha256,
    UserId,
)
from rtserver.model.moments import present_moment, rfc3339
from rtserver.reviews.proposals import Proposal
from rtserver.reviews.verdicts import RevisionRef
from rtserver.runs.files.read import FolderContents

CURRENT = "current"
"""In the place of a number: the newest revision."""
NUMBER = re.compile("[1-9][0-9]{0,8}")


class Cause(enum.StrEnum):
    """How a revision came about."""

    FIRST = "first"
    ITERATION = "iteration"
    UPLOAD = "upload"
    RESTORE = "restore"
    DISK = "disk"


class FileChange(enum.StrEnum):
    """What became of a file since the revision before."""

    ADDED = "added"
    MODIFIED = "modified"
    REMOVED = "removed"
    UNCHANGED = "unchanged"


class RevisionFileJson(TypedDict):
    """A file of a revision.

    Attributes:
        path: relative to the proposal's folder, with slashes.
        sha256: of its bytes, hexadecimal.
        change: since the revision before.
    """

    path: str
    size_bytes: int
    sha256: Sha256
    change: FileChange


class RevisionJson(TypedDict):
    """A revision as clients see it.

    Attributes:
        actor: who made it; null where it was seen in the workspace.
        run_id: the iteration that made it, where one did.
        restored_from: the revision whose contents it has again, where somebody asked for that.
        removed: paths of files that the revision before had.
        left_out: what else is in the folder and not in the revision, each with the reason.
    """

    proposal_id: ProposalId
    number: RevisionNumber
    digest: Digest
    at: Moment
    actor: UserId | None
    cause: Cause
    run_id: RunId | None
    files: list[RevisionFileJson]
    removed: list[str]
    note: NotRequired[str]
    restored_from: NotRequired[RevisionNumber]
    left_out: NotRequired[dict[str, str]]


@dataclass(frozen=True, slots=True)
class RevisionFile:
    """A file of a revision; see `RevisionFileJson`."""

    path: str
    size_bytes: int
    sha256: str
    change: FileChange


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision; see `RevisionJson`."""

    proposal_id: str
    project_id: str
    number: int
    digest: str
    at: datetime
    actor: str | None
    cause: Cause
    files: tuple[RevisionFile, ...]
    removed: tuple[str, ...] = ()
    run_id: str | None = None
    note: str = ""
    restored_from: int | None = None
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def ref(self) -> RevisionRef:
        """What the proposal says of it."""
        return RevisionRef(self.number, self.digest, self.at)

    def file(self, path: str) -> RevisionFile | None:
        """The file of a path, or None."""
        return next((file for file in self.files if file.path == path), None)

    def to_json(self) -> RevisionJson:
        """As clients see it; time in RFC 3339."""
        shown: RevisionJson = {
            "proposal_id": self.proposal_id,
            "number": self.number,
            "digest": self.digest,
            "at": rfc3339(self.at),
            "actor": self.actor,
            "cause": self.cause,
            "run_id": self.run_id,
            "files": [
                {
                    "path": file.path,
                    "size_bytes": file.size_bytes,
                    "sha256": file.sha256,
                    "change": file.change,
                }
                for file in self.files
            ],
            "removed": list(self.removed),
        }
        if self.note:
            shown["note"] = self.note
        if self.restored_from is not None:
            shown["restored_from"] = self.restored_from
        if self.left_out:
            shown["left_out"] = dict(self.left_out)
        return shown


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a text comes from.

    Attributes:
        cause: how it came about.
        actor: who made it; None where it was seen in the workspace.
        run_id: the iteration.
        note: what the actor says of it.
        restored_from: the revision whose contents were put back.
    """

    cause: Cause
    actor: str | None = None
    run_id: str | None = None
    note: str = ""
    restored_from: int | None = None


class NoRevisionError(NotFoundError):
    """The proposal has no such revision, or none with such a file."""

    reason = "no_revision"


def revision_number(text: str) -> int:
    """The number by which a revision is named.

    Raises:
        NoRevisionError: it is no number.
    """
    if not NUMBER.fullmatch(text):
        raise NoRevisionError("A revision is named by its number, or `current`")
    return int(text)


class StaleRevisionError(ConflictError):
    """The revision that was meant is not the newest."""

    reason = "stale_revision"

    def __init__(self, meant: int, newest: RevisionRef | None) -> None:
        there = "it has none" if newest is None else f"the newest is {newest.number}"
        super().__init__(
            f"Revision {meant} is not the proposal's newest; {there}. Look at what has changed, "
            "and decide on that",
            newest=None if newest is None else newest.to_json(),
        )


class RevisionConflictError(ConflictError):
    """A file that was to be written has changed since the revision that it was written on."""

    reason = "conflict"

    def __init__(self, paths: Sequence[str], newest: Revision | None) -> None:
        shown = ", ".join(paths[:5]) + (" and others" if len(paths) > 5 else "")
        super().__init__(
            f"Changed since by somebody else: {shown}. Nothing was written; take the newest "
            "revision, make your change on it, and send it again",
            paths=list(paths),
            newest=None if newest is None else newest.ref.to_json(),
        )


def digest_of_files(contents: Mapping[str, bytes]) -> str:
    """The digest of a revision, `sha256:` and hexadecimal.

    SHA-256 over, for each file in the order of its path's bytes: the path, NUL, its size in
    decimal, NUL, its content.
    """
    digest = hashlib.sha256()
    for path in sorted(contents, key=str.encode):
        content = contents[path]
        digest.update(b"%s\0%d\0" % (path.encode(), len(content)))
        digest.update(content)
    return f"sha256:{digest.hexdigest()}"


def files_of(
    contents: Mapping[str, bytes], before: Revision | None
) -> tuple[tuple[RevisionFile, ...], tuple[str, ...]]:
    """The files of a revision in the order of their paths' bytes, and which were removed.

    Args:
        contents: by path.
        before: the revision before, if there is one.
    """
    known = {} if before is None else {file.path: file.sha256 for file in before.files}
    files = []
    for path in sorted(contents, key=str.encode):
        sha256 = hashlib.sha256(contents[path]).hexdigest()
        if path not in known:
            change = FileChange.ADDED
        elif known[path] == sha256:
            change = FileChange.UNCHANGED
        else:
            change = FileChange.MODIFIED
        files.append(RevisionFile(path, len(contents[path]), sha256, change))
    removed = sorted((path for path in known if path not in contents), key=str.encode)
    return tuple(files), tuple(removed)


def next_revision(
    proposal: Proposal,
    before: Revision | None,
    contents: FolderContents,
    digest: str,
    origin: Origin,
) -> Revision:
    """The revision that a proposal gets with a text that is another one than its newest.

    Args:
        proposal: as it is.
        before: its newest revision.
        contents: of its folder.
        digest: of these.
        origin: where they come from.
    """
    newest = proposal.revision
    files, removed = files_of(contents.files, before)
    at = present_moment()
    first = newest is None
    return Revision(
        proposal_id=proposal.proposal_id,
        project_id=proposal.project_id,
        number=1 if newest is None else newest.number + 1,
        digest=digest,
        at=at if newest is None else max(at, newest.at),
        actor=origin.actor,
        cause=Cause.FIRST if first and origin.cause is Cause.DISK else origin.cause,
        files=files,
        removed=removed,
        run_id=origin.run_id,
        note=origin.note,
        restored_from=origin.restored_from,
        left_out=tuple(contents.left_out.items()),
    )


class RevisionStore(Protocol):
    """Revisions and their contents, kept where all workers see them.

    All raise StoreUnavailableError where MongoDB does not answer.
    """

    async def keep(self, contents: Mapping[str, bytes]) -> None:
        """Keep contents, by their SHA-256; what is kept already is not written again."""

    async def content(self, sha256: str) -> bytes | None:
        """The content of a hash, or None where it was pruned."""

    async def get(self, proposal_id: str, number: int) -> Revision | None:
        """A revision, or None."""

    async def of_proposal(
        self, proposal_id: str, *, before: int | None, limit: int
    ) -> tuple[list[Revision], bool]:
        """Revisions, newest first, those before a number, and whether there are more.

        The page is bounded in bytes too, and has one at least.
        """

    async def prune(self, archived_for_s: float) -> int:
        """Let go of the contents of proposals that were archived so long ago; how many went."""


def revision_fields(revision: Revision) -> dict[str, Any]:
    """What `revision_created` says."""
    return {"revision": revision.to_json(), "actor": revision.actor}
