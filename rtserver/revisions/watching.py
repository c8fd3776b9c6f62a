"""Sees what others write into the workspaces: an editor, `git pull`, an agent beside the server.

The kernel tells of changes (inotify, by the `watchfiles` library); what it does not tell, as on
network file systems, is found by a look at sizes and times every now and then. One worker of a
host looks at a time, on a lease. To see the same twice is harmless: a text that is known makes no
revision.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import NoReturn

import structlog
from watchfiles import Change, awatch

from rtserver.eventlog.api import EventLog, KeyReusedError
from rtserver.lib.backoff import Backoff
from rtserver.model import ids
from rtserver.model.errors import BusyError, ConflictError, StoreUnavailableError
from rtserver.model.events import EventDraft, EventType
from rtserver.reviews.proposals import ProposalStore
from rtserver.revisions.recording import RevisionRecorder
from rtserver.revisions.turns import Turn, Turns
from rtserver.runs.files.read import CHANGES

DEBOUNCE_MS = 200
"""An editor writes a file in several steps, and `git pull` many files."""
STEP_MS = 50
MAX_FOLDERS = 10_000
MAX_ENTRIES = 2_000
RETRY_S, MAX_RETRY_S = 1.0, 10.0
STOP_S = 2.0
LOOK_SHARE = 0.004
"""Of a processor, at most, for looks at what the kernel does not tell of, however much there is."""
ARCHIVE = "archive"

_log = structlog.get_logger()

Folder = tuple[str, str]
"""A change's folder: project and change."""


class WorkspaceWatch:
    """`run` is the loop; the caller owns its task."""

    def __init__(
        self,
        root: Path,
        recorder: RevisionRecorder,
        proposals: ProposalStore,
        log: EventLog,
        turns: Turns,
        *,
        holder: str,
        lease_s: float,
        look_interval_s: float,
    ) -> None:
        """Make it.

        Args:
            root: the folder with the projects' workspaces.
            recorder: makes what is seen a revision.
            proposals: which folders are proposals.
            log: where projects are told of folders that are none yet.
            turns: whose turn it is.
            holder: names this process.
            lease_s: how long another waits for a sign of life before it takes over.
            look_interval_s: how often to look for what the kernel did not tell; 0: never.
        """
        self._root = root
        self._recorder = recorder
        self._proposals = proposals
        self._log = log
        # Hosts may have separate workspaces, or the same over a network, of which the kernel
        # tells each only its own changes.
        name = f"$workspaces:{os.uname().nodename}:{root.resolve()}"
        self._turn = Turn(turns, name, holder=holder, lease_s=lease_s)
        self._look_interval_s = look_interval_s
        self._signatures: dict[Folder, int] = {}

    async def run(self) -> NoReturn:
        """Watch whenever it is this worker's turn, until cancelled. Never gives up."""
        backoff = Backoff(RETRY_S, MAX_RETRY_S)
        while True:
            wait_s = self._turn.renew_s
            try:
                await self._turn.take(self._watch)
                backoff.reset()
            except* StoreUnavailableError as group:
                _log.warning("workspaces_not_watched", error=str(group.exceptions[0]))
                wait_s = backoff.next_s()
            except* Exception:  # noqa: BLE001 - whatever it is, the next try may go well
                _log.exception("workspaces_not_watched")
                wait_s = backoff.next_s()
            await asyncio.sleep(wait_s)

    async def _watch(self) -> None:
        self._signatures.clear()  # others may have looked since this one did
        await asyncio.to_thread(self._root.mkdir, parents=True, exist_ok=True)
        stop = asyncio.Event()
        told = self._told(stop)
        # Before the first look, so that nothing between it and the watch is missed.
        following = asyncio.ensure_future(anext(told, None))
        try:
            while True:
                took_s = await self._look_at_all()
                interval_s = max(self._look_interval_s, took_s / LOOK_SHARE)
                until_s = _now_s() + interval_s if self._look_interval_s else None
                while until_s is None or _now_s() < until_s:
                    wait_s = None if until_s is None else max(0.0, until_s - _now_s())
                    await asyncio.wait({following}, timeout=wait_s)
                    if not following.done():
                        break
                    changed = following.result()
                    if changed is None:
                        return  # the root went; it is made anew
                    following = asyncio.ensure_future(anext(told, None))
                    await self._look(folders_of(changed, self._root))
        finally:
            # Not cancelled: the thread that waits for the kernel ends by its event alone.
            stop.set()
            await asyncio.wait({following}, timeout=STOP_S)
            await told.aclose()

    async def _told(self, stop: asyncio.Event) -> AsyncGenerator[set[tuple[Change, str]], None]:
        async for changed in awatch(
            self._root,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            stop_event=stop,
            ignore_permission_denied=True,
        ):
            yield changed

    async def _look_at_all(self) -> float:
        """Look at each folder whose files differ in size or time from what was seen last.

        Returns:
            How much time of a processor it took to find them.
        """
        now, took_s = await asyncio.to_thread(_timed_signatures, self._root)
        before, self._signatures = self._signatures, now
        await self._look(folder for folder in now if before.get(folder) != now[folder])
        return took_s

    async def _look(self, folders: Iterable[Folder]) -> None:
        for project_id, change in folders:
            try:
                await self._look_at(project_id, change)
            except (ConflictError, BusyError) as error:
                _log.info("text_not_seen", proposal_id=change, problem=str(error))
            await asyncio.sleep(0)

    async def _look_at(self, project_id: str, change: str) -> None:
        proposal = await self._proposals.get(change)
        if proposal is None:
            await self._tell(project_id, change)
        elif proposal.project_id == project_id:
            await self._recorder.look(proposal)

    async def _tell(self, project_id: str, change: str) -> None:
        """Offer a folder that is no proposal yet to its project; once for as long as it is kept."""
        folder = self._root.joinpath(project_id, *CHANGES, change)
        if not await asyncio.to_thread(folder.is_dir):
            return
        told = EventDraft(
            project_id, EventType.FILES_FOUND, {"paths": ["/".join((*CHANGES, change))]}
        )
        try:
            await self._log.publish([told], key=f"files_found:{project_id}:{change}")
        except KeyReusedError:
            _log.debug("files_found_told_already", project_id=project_id, change=change)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def folders_of(changed: Iterable[tuple[Change, str]], root: Path) -> list[Folder]:
    """The changes' folders that these paths are in, each once."""
    found: dict[Folder, None] = {}
    for _, path in changed:
        parts = Path(os.path.relpath(path, root)).parts
        if len(parts) >= 4 and tuple(parts[1:3]) == CHANGES:
            folder = _checked(parts[0], parts[3])
            if folder is not None:
                found[folder] = None
    return list(found)


def _checked(project_id: str, change: str) -> Folder | None:
    try:
        folder = ids.project_id(project_id), ids.proposal_id(change)
    except ids.BadIdentifier:
        return None
    return None if change == ARCHIVE else folder


def signatures(root: Path) -> Iterator[tuple[Folder, int]]:
    """Each change's folder below a root, with a number that differs when a file in it does.

    Only names, sizes and times are looked at. Blocks: call it in a thread.
    """
    count = 0
    for project in _folders(root):
        for change in _folders(project.joinpath(*CHANGES)):
            folder = _checked(project.name, change.name)
            if folder is None:
                continue
            count += 1
            if count > MAX_FOLDERS:
                _log.warning("workspaces_too_many", limit=MAX_FOLDERS)
                return
            yield folder, hash(tuple(_entries(change)))


def _timed_signatures(root: Path) -> tuple[dict[Folder, int], float]:
    began_s = time.thread_time()
    found = dict(signatures(root))
    return found, time.thread_time() - began_s


def _folders(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return sorted(
                Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return []


def _entries(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    """Of each file its path, number, size and time; of a great many the first."""
    waiting, count = [str(folder)], 0
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in sorted(entries, key=attrgetter("name")):
                    # Of a folder nothing is asked that the listing has not said.
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        found = entry.stat(follow_symlinks=False)
                        yield entry.path, found.st_ino, found.st_size, found.st_mtime_ns
                    count += 1
                    if count > MAX_ENTRIES:
                        return
        except OSError:
            continue
