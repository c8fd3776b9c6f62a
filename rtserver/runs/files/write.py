"""Writes several files of a proposal: all of them or none, whatever happens in between.

New contents are staged beside the workspace's files and swapped in one by one under a journal (see
`journal.py`). A crash at any point leaves either the old set or the new one, once `settle`
has looked at what it left: the next write does, each worker does at its start, and whoever ends
the run of a lost worker does.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from rtserver.lib.file_lock import flock_within
from rtserver.model import ids
from rtserver.runs.files.folders import file_digest, open_folder, open_root, stat_of, write_new
from rtserver.runs.files.journal import (
    Settled,
    clear,
    commit_journal,
    settle,
    swap_in,
    write_journal,
)
from rtserver.runs.files.paths import UnsafePathError, path_parts
from rtserver.runs.files.read import (
    FolderContents,
    ProposalFiles,
    WorkspaceError,
    read_contents,
    read_proposal,
    workspace_parts,
)
from rtserver.runs.files.schema import allowed_paths
from rtserver.runs.files.staging import (
    NewFile,
    check_names,
    check_sizes,
    check_unchanged,
    conflict,
    stage,
)

AREA = ".rtserver"
"""The server's own folder in a workspace, with one folder for each proposal that was written to."""

LOCK_TIMEOUT_S = 10.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_log = structlog.get_logger()


class _Places(NamedTuple):
    """Open folders: of the workspace, of the write in it, and of the proposal."""

    workspace: int
    area: int
    folder: int


class ProposalWriter:
    """Writes to the proposals below one workspace root. Every method blocks: call it in a thread.

    Workers on several hosts have to share the root by a file system on which flock(2) works.
    """

    def __init__(self, workspace_root: Path, schema_folders: Sequence[Path] = ()) -> None:
        """Make a writer.

        Args:
            workspace_root: where the projects' workspaces are.
            schema_folders: see `rtserver.runs.files.schema.shared_schema_folders`.
        """
        self._root = workspace_root
        self._schema_folders = tuple(schema_folders)

    def read(self, project_id: str, proposal_id: str) -> ProposalFiles:
        """What is there to be changed, and which files may be written; see `read_proposal`."""
        return read_proposal(self._root, project_id, proposal_id, self._schema_folders)

    def write(
        self,
        project_id: str,
        proposal_id: str,
        run_id: str,
        files: list[NewFile],
        may_commit: Callable[[], bool],
        written: Callable[[FolderContents], None] = lambda _contents: None,
    ) -> None:
        """Write all files or none. `forget` has to follow when the caller has noted the success.

        What may be written is looked up here for every caller: see `rtserver.runs.files.allowed`.

        Args:
            project_id: whose workspace.
            proposal_id: whose folder in it.
            run_id: for whom; `settle` tells it after a crash.
            files: with paths that differ.
            may_commit: asked last, when all is in place and can still be undone.
            written: called with what is there then, still under the lock.

        Raises:
            WorkspaceError: nothing was changed; see its reasons.
        """
        with _errors(), self._open(project_id, proposal_id, make=True) as places:
            workspace, area, folder = places
            allowed = allowed_paths(
                proposal_id, workspace=workspace, folder=folder, shared=self._schema_folders
            )
            check_names(files, allowed, folder)
            if settle(area=area, folder=folder).outcome == "undone":
                _log.warning("write_undone", project_id=project_id, proposal_id=proposal_id)
            clear(area)
            check_sizes(files, read_contents(folder))
            try:
                _write(area, folder, run_id, files, may_commit)
            except BaseException:
                settle(area=area, folder=folder)
                raise
            written(read_contents(folder))

    def contents(
        self, project_id: str, proposal_id: str, seen: Callable[[FolderContents], None]
    ) -> None:
        """Read all of a proposal's folder while nobody writes through a writer.

        Args:
            project_id: whose workspace.
            proposal_id: whose folder in it.
            seen: called with what is there, still under the lock.

        Raises:
            WorkspaceError: it can't be read now, or there is none.
        """
        with _errors():
            try:
                with self._open(project_id, proposal_id) as (_, area, folder):
                    settle(area=area, folder=folder)
                    seen(read_contents(folder))
                    return
            except FileNotFoundError:
                pass  # nothing was ever written through a writer, if it is there at all
            with (
                open_root(self._root) as root,
                open_folder(workspace_parts(project_id, proposal_id), dir_fd=root) as folder,
            ):
                seen(read_contents(folder))

    def change(
        self,
        project_id: str,
        proposal_id: str,
        run_id: str,
        plan: Callable[[FolderContents], Sequence[NewFile]],
        written: Callable[[FolderContents], None],
        *,
        check: Callable[[], None],
        make_folder: bool = False,
    ) -> None:
        """Change files according to what is there; all of it or nothing.

        Args:
            project_id: whose workspace.
            proposal_id: whose folder in it.
            run_id: names the change; `settle` tells it after a crash.
            plan: says what is to be written, given what is there. What it raises is raised.
            written: called with what is there then, still under the lock.
            check: called first under the lock; what it raises is raised, and nothing was made.
            make_folder: make the proposal's folder where there is none.

        Raises:
            WorkspaceError: nothing was changed; see its reasons.
        """
        opened = self._open(
            project_id, proposal_id, make=True, make_folder=make_folder, check=check
        )
        with _errors(), opened as places:
            workspace, area, folder = places
            settle(area=area, folder=folder)
            clear(area)
            before = read_contents(folder)
            files = list(plan(before))
            allowed = allowed_paths(
                proposal_id, workspace=workspace, folder=folder, shared=self._schema_folders
            )
            check_names(files, allowed, folder)
            check_sizes(files, before)
            try:
                _write(area, folder, run_id, files, lambda: True)
            except BaseException:
                settle(area=area, folder=folder)
                raise
            written(_after(files, before, folder))
            clear(area)

    def locked(
        self, project_id: str, proposal_id: str, work: Callable[[FolderContents], None]
    ) -> None:
        """Do something to a project's specs and to a proposal while nobody writes to either.

        Args:
            project_id: whose workspace.
            proposal_id: whose folder in it.
            work: what to do, given what is in the proposal's folder. What it raises is raised.

        Raises:
            WorkspaceError: the files can't be reached now, or others are at work on them.
        """
        with (
            _errors(),
            self._open(project_id, proposal_id, make=True) as places,
            _own_folder(AREA, dir_fd=places.workspace, make=True) as areas,
        ):
            _lock(areas, LOCK_TIMEOUT_S)
            settle(area=places.area, folder=places.folder)
            work(read_contents(places.folder))

    def forget(self, project_id: str, proposal_id: str, run_id: str) -> None:
        """Drop what was kept of a run's write that succeeded.

        Raises:
            WorkspaceError: it could not be dropped now; the next write does.
        """
        with _errors(), self._open(project_id, proposal_id) as (_, area, folder):
            if settle(area=area, folder=folder).run_id == run_id:
                clear(area)

    def settle(
        self, project_id: str, proposal_id: str, *, lock_timeout_s: float = LOCK_TIMEOUT_S
    ) -> Settled:
        """See how the last write to a proposal ended, undoing it if it had not been committed.

        Raises:
            WorkspaceError: its files can't be reached now, or another process is at work on them.
        """
        try:
            with _errors(), self._open(project_id, proposal_id, lock_timeout_s) as places:
                return settle(area=places.area, folder=places.folder)
        except WorkspaceError as error:
            if error.reason == "no_such_proposal":
                return Settled("nothing")
            raise

    def settle_all(self) -> None:
        """Undo what crashed workers left anywhere below the root; what can't be done is logged."""
        for project_id, proposal_id in list(self._areas()):
            try:
                found = self.settle(project_id, proposal_id, lock_timeout_s=0)
            except WorkspaceError as error:
                _log.warning("write_not_settled", project_id=project_id, problem=str(error))
                continue
            if found.outcome == "undone":
                _log.warning("write_undone", project_id=project_id, run_id=found.run_id)

    def _areas(self) -> Iterator[tuple[str, str]]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root) as projects:
            for project in projects:
                with (
                    contextlib.suppress(OSError, ids.BadIdentifier),
                    os.scandir(Path(project.path) / AREA) as proposals,
                ):
                    for proposal in proposals:
                        if proposal.is_dir(follow_symlinks=False):
                            yield ids.project_id(project.name), ids.proposal_id(proposal.name)

    @contextlib.contextmanager
    def _open(
        self,
        project_id: str,
        proposal_id: str,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        *,
        make: bool = False,
        make_folder: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[_Places]:
        """The folders of a write, its own one locked; `check` is called when it is."""
        with contextlib.ExitStack() as stack:
            root = stack.enter_context(open_root(self._root))
            workspace = stack.enter_context(
                open_folder((project_id,), dir_fd=root, make=make_folder)
            )
            parts = workspace_parts(project_id, proposal_id)[1:]
            if not make_folder:
                with open_folder(parts, dir_fd=workspace):
                    pass  # before anything is made for it
            areas = stack.enter_context(_own_folder(AREA, dir_fd=workspace, make=make))
            if make and stat_of(".gitignore", dir_fd=areas) is None:
                with contextlib.suppress(FileExistsError):
                    write_new(".gitignore", b"*\n", dir_fd=areas)
            area = stack.enter_context(_own_folder(proposal_id, dir_fd=areas, make=make))
            _lock(area, lock_timeout_s)  # until the descriptor is closed, so also until a crash
            check()
            # Only now: while we waited for the lock it may have been moved to the archive.
            folder = stack.enter_context(open_folder(parts, dir_fd=workspace, make=make_folder))
            yield _Places(workspace, area, folder)


@contextlib.contextmanager
def _own_folder(name: str, *, dir_fd: int, make: bool) -> Iterator[int]:
    """A folder that nobody but this account can have put anything into.

    Raises:
        WorkspaceError: reason `not_written`: it is another account's, or open to others.
        FileNotFoundError, UnsafePathError, OSError: see `open_folder`.
    """
    with open_folder((name,), dir_fd=dir_fd, make=make, mode=0o700) as fd:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise WorkspaceError(
                "not_written",
                f"The folder {AREA} in the workspace, or one in it, belongs to another account "
                "than the server's, or others may write to it. Its operator has to remove it",
            )
        if found.st_mode & 0o077:
            os.fchmod(fd, 0o700)  # earlier versions let others look into it
        yield fd


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except UnsafePathError as error:
        raise WorkspaceError("unsafe_path", str(error)) from error
    except FileNotFoundError as error:
        raise WorkspaceError(
            "no_such_proposal", "The proposal's folder is not there any more"
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise WorkspaceError(
                "disk_full", "There is no room left for the files; nothing was changed"
            ) from error
        why = (error.strerror or "the system refused").lower()
        raise WorkspaceError("not_written", f"The files could not be written: {why}") from error


def _after(files: Sequence[NewFile], before: FolderContents, folder: int) -> FolderContents:
    """What is there after a write, without what others have done to other files meanwhile."""
    if before.left_out:
        return read_contents(folder)  # for what had no room there may be some now
    contents = dict(before.files)
    for file in files:
        if file.content is None:
            contents.pop(file.path, None)
        else:
            contents[file.path] = file.content
    return FolderContents(contents, {})


def _write(
    area: int,
    folder: int,
    run_id: str,
    files: list[NewFile],
    may_commit: Callable[[], bool],
) -> None:
    for file in files:
        check_unchanged(file, folder)
    journal = stage(run_id, files, area=area, folder=folder)
    write_journal(journal, area=area)
    for entry in journal.entries:
        *above, name = path_parts(entry.path)
        with open_folder(above, dir_fd=folder, make=True) as parent:
            if not swap_in(entry, name, area=area, parent=parent):
                raise conflict(entry.path)
            os.fsync(parent)
    for entry in journal.entries:
        # Somebody may have gone on writing to a file that was already swapped out.
        if entry.old is not None and file_digest(entry.slot, dir_fd=area) != entry.old:
            raise conflict(entry.path)
    if not may_commit():
        raise WorkspaceError("stopped", "The run was ended before its files were written")
    commit_journal(area=area)


def _lock(area: int, timeout_s: float) -> None:
    if not flock_within(area, timeout_s):
        raise WorkspaceError("busy", "Another process is writing to this proposal")
