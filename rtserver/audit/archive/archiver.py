"""The audit archiver: copies the capped audit log into files, an hour each.

All workers may run this on the same directory; one holds its lease and archives, the others look
now and then whether they have to take over. How far the archive goes is read from its own last
line, so the files and what is believed of them can't disagree: after a restart, a takeover or a
torn file it goes on where it ends.

Where the directory can't be written, the log goes on being the buffer: it is tried again, a metric
and an audit record tell it, and nothing else suffers. What is overwritten meanwhile is named by a
line of its own.
"""

import asyncio
import errno
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import structlog

from rtserver.audit.archive.directory import (
    ArchiveDirectory,
    ArchiveFencedError,
    ForeignDirectoryError,
    Taken,
)
from rtserver.audit.archive.file import gap_line
from rtserver.audit.archive.margin import Margin
from rtserver.audit.archive.metrics import ArchiveMetrics
from rtserver.audit.archive.ports import ArchiveStore, LogReading
from rtserver.audit.checkpoints.checkpoint import entry_of
from rtserver.audit.checkpoints.signer import ArchiveTree
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.lib.backoff import Backoff
from rtserver.lib.waiting import is_set_within
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventPack
from rtserver.model.moments import now_rfc3339
from rtserver.model.positions import Position

POLL_S = 1.0
READ_RECORDS = 5_000
FIRST_BACKOFF_S, MAX_BACKOFF_S = 1.0, 30.0
RELEASE_S = 2.0

WENT_BACK = "log_went_back"
RESTORED = "log_restored"

T = TypeVar("T")
_log = structlog.get_logger()
_SERVER = Acting()
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class _PutBack:
    """The log was put back, and the line that says so is not written yet.

    Attributes:
        reason: `WENT_BACK` or `RESTORED`.
        archived: the newest record that the archive had then.
    """

    reason: str
    archived: Position


class Archiver:
    """One worker's part in the archive. `run` is the loop; the caller owns its task."""

    def __init__(
        self,
        store: ArchiveStore,
        directory: ArchiveDirectory,
        auditor: Auditor,
        metrics: ArchiveMetrics,
        *,
        lease_s: float,
        poll_s: float = POLL_S,
        tree: ArchiveTree | None = None,
    ) -> None:
        """Make it.

        Args:
            store: leases and records.
            directory: where the files go.
            auditor: records takeovers, failures and gaps.
            metrics: what is measured.
            lease_s: how long a holder may be silent before another takes over.
            poll_s: time between two looks for new records, and so about the length of a member.
            tree: gets the hash of each record that is archived; None: no need.
        """
        self._store = store
        self._directory = directory
        self._auditor = auditor
        self._metrics = metrics
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._tree = tree
        self._owner = auditor.chain
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit-archive")
        self._term = 0
        self._put_back: _PutBack | None = None
        self._position: Position | None = None
        self._backoff = Backoff(FIRST_BACKOFF_S, MAX_BACKOFF_S)
        self._failed = False
        self._finishing = False
        self._finished = asyncio.Event()
        self._wake = asyncio.Event()
        self._margin = Margin(metrics)

    async def run(self) -> None:
        """Archive, or wait for the turn to, until cancelled or `finish` was called and all done."""
        try:
            while True:
                # Read before trying: the holder of the archive may have let go of it since.
                finishing = self._finishing
                holds = False
                try:
                    holds = await self._take_turn()
                    self._backoff.reset()
                    wait_s = 0.0 if holds else self._lease_s / 3
                except ArchiveFencedError:
                    _log.warning("audit_archive_taken_over")
                    wait_s = self._lease_s / 3
                except StoreUnavailableError as error:
                    _log.warning("audit_archive_waits", error=str(error))
                    wait_s = self._backoff.next_s()
                except (OSError, ForeignDirectoryError) as error:
                    self._tell_failed(error)
                    wait_s = self._backoff.next_s()
                if finishing or (self._finishing and holds):
                    return
                await is_set_within(self._wake, wait_s)
        finally:
            self._finished.set()
            self._metrics.active.set(0)
            # After whatever is under way there.
            self._thread.submit(self._directory.close)

    async def finish(self, timeout_s: float) -> None:
        """Archive what is there by now if it is this worker's turn, and let the next one."""
        self._finishing = True
        self._wake.set()
        if not await is_set_within(self._finished, timeout_s):
            _log.warning("audit_archive_left_behind", position=str(self._position))

    def close(self) -> None:
        """End the thread, once `run` has ended. Blocks for as long as the disk does."""
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    # The lease

    async def _take_turn(self) -> bool:
        """Hold the lease for as long as it is this worker's; False where it is another's."""
        state = await self._in_thread(self._directory.state)
        epoch = await self._store.epoch()
        lease = await self._store.acquire(state.archive_id, self._owner, above=state.term)
        known = {"", epoch, "" if lease.position is None else lease.position.epoch}
        if state.epoch not in known:
            if lease.term is not None:
                await self._store.release(state.archive_id, self._owner, lease.term)
            raise ForeignDirectoryError(
                f"{self._directory.path} holds the archive of another log: give each server a "
                "directory of its own, or move the files away where the database was lost"
            )
        if lease.term is None:
            # Its holder sees to it that it works.
            self._tell_works()
            self._position = lease.position
            await self._margin.measure(self._store, lease.position)
            return False
        self._term = lease.term
        if self._tree is not None:
            self._tree.archive_id = state.archive_id
        keeper = asyncio.create_task(self._keep(state.archive_id), name="audit-archive-lease")
        archiving = asyncio.create_task(
            self._archive(state.archive_id, epoch), name="audit-archive-holder"
        )
        try:
            done, _ = await asyncio.wait({keeper, archiving}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _end(keeper, archiving)
            self._metrics.active.set(0)
            await self._release(state.archive_id)
        return True

    async def _keep(self, archive_id: str) -> NoReturn:
        """Renew the lease; ends with ArchiveFencedError where it is another's."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                if not await self._renew(archive_id):
                    raise ArchiveFencedError
            except StoreUnavailableError as error:
                # Nobody else can take it meanwhile either.
                _log.warning("audit_archive_lease_not_renewed", error=str(error))

    async def _renew(self, archive_id: str) -> bool:
        return await self._store.renew(archive_id, self._owner, self._term, self._position)

    async def _release(self, archive_id: str) -> None:
        try:
            async with asyncio.timeout(RELEASE_S):
                if await self._renew(archive_id):
                    await self._store.release(archive_id, self._owner, self._term)
        except (StoreUnavailableError, TimeoutError) as error:
            _log.warning("audit_archive_lease_not_released", error=str(error))

    # The files

    async def _archive(self, archive_id: str, epoch: str) -> None:
        """Take the directory, and archive until told to finish."""
        taken = await self._in_thread(self._directory.take, self._term, epoch)
        self._position = taken.position
        self._put_back = None
        self._tell_taken(taken)
        await self._compare_with_log()
        self._metrics.active.set(1)
        self._tell_works()
        has_said = False
        while True:
            # Looked at before reading: what was recorded before `finish` is to be archived.
            finishing = self._finishing
            try:
                more = await self._advance()
                await self._margin.measure(self._store, self._position)
                if not has_said and self._position is not None:
                    # Said at once, not with the next renewal: what is removed before is missed too.
                    has_said = await self._renew(archive_id)
            except OSError as error:
                if error.errno not in _DISK_FULL:
                    raise
                # The file is as it was; taking the archive anew would need still more room.
                self._tell_failed(error)
                await is_set_within(self._wake, self._backoff.next_s())
                if self._finishing:
                    return
                continue
            except StoreUnavailableError as error:
                _log.warning("audit_archive_waits", error=str(error))
                await is_set_within(self._wake, self._backoff.next_s())
                if self._finishing:
                    return
                continue
            self._backoff.reset()
            self._tell_works()
            if not more:
                if finishing:
                    return
                await is_set_within(self._wake, self._poll_s)

    async def _compare_with_log(self) -> None:
        """A log that was put back to an earlier state goes on with numbers that were used before.

        Raises:
            StoreUnavailableError: MongoDB does not answer.
        """
        position = self._position
        extent = await self._store.extent()
        if position is None or position.epoch != extent.epoch or position.seq <= extent.head:
            return
        _log.error("audit_log_went_back", archived=str(position), head=extent.head)
        # The line goes in front of the next record, when there is one.
        self._position = Position(position.epoch, extent.head)
        self._put_back = _PutBack(WENT_BACK, position)

    async def _advance(self) -> bool:
        """Archive what came; whether there may be more at once."""
        position = self._position
        reading = await self._store.read(0 if position is None else position.seq, READ_RECORDS)
        if position is not None and reading.epoch != position.epoch:
            await self._in_thread(self._directory.follow, reading.epoch)
            reading = await self._read_another(position, reading.epoch)
        if not reading.packs:
            return False
        for hour, packs in _by_hour(reading.packs):
            gap = self._gap_before(packs[0].first, reading.epoch)
            after = self._seq_in(reading.epoch)
            if gap is not None:
                after = packs[0].first - 1
            lines, last = await self._in_thread(_lines_of, packs, after, gap)
            await self._in_thread(self._directory.append, hour, lines)
            self._add_to_tree(packs, after, reading.epoch)
            if gap is not None:
                self._tell_gap(gap)
            self._metrics.records_total.inc(len(lines) - (gap is not None))
            self._position = Position(reading.epoch, last)
            self._metrics.position.set(last)
        return reading.more

    def _add_to_tree(self, packs: list[EventPack], after: int, epoch: str) -> None:
        if self._tree is not None:
            bodies = [item["b"] for pack in packs for item in pack.items]
            first = max(packs[0].first, after + 1)
            entries = [entry_of(body) for body in bodies[first - packs[0].first :]]
            self._tree.add(Position(epoch, first), entries)

    async def _read_another(self, position: Position, epoch: str) -> LogReading:
        """Read a log that is not the one whose records are in the archive.

        Its numbers may be lower, or go on where the earlier one's ended; or it is a copy of that,
        put back, and what is archived must not be so twice.
        """
        extent = await self._store.extent()
        begin = max(extent.oldest, 1) - 1
        last = await self._last_in_common(begin, min(position.seq, extent.head))
        if extent.epoch != epoch or last == begin:
            return await self._store.read(0, READ_RECORDS)
        _log.warning("audit_log_put_back", archived=str(position), last_in_common=last)
        self._position = Position(epoch, last)
        self._put_back = _PutBack(RESTORED if last == position.seq else WENT_BACK, position)
        return await self._store.read(last, READ_RECORDS)

    async def _last_in_common(self, begin: int, end: int) -> int:
        """The newest number under which log and archive have the same record, else `begin`.

        Up to there they have all in common, so it takes a look at one in each half.
        """
        seq = end
        while begin < end:
            reading = await self._store.read(seq - 1, 1)
            line = await self._in_thread(self._directory.find, seq)
            if line is not None and _is_same(reading, seq, line):
                begin = seq
            else:
                end = seq - 1
            seq = (begin + end + 1) // 2
        return begin

    def _seq_in(self, epoch: str) -> int:
        position = self._position
        return position.seq if position is not None and position.epoch == epoch else 0

    def _gap_before(self, first: int, epoch: str) -> dict[str, object] | None:
        """The fields of a gap's line, where the next record leaves one."""
        position, put_back = self._position, self._put_back
        if put_back is not None:
            reason, after = put_back.reason, put_back.archived
        elif position is not None and position.epoch != epoch:
            reason, after = "log_lost", position
        else:
            after = position or Position(epoch, 0)
            if first <= after.seq + 1:
                return None
            reason = "before_archive" if position is None else "overwritten"
        known = first > after.seq + 1
        return {
            "epoch": epoch,
            "reason": reason,
            "first": after.seq + 1 if known else None,
            "last": first - 1 if known else None,
            "after": None if after.seq == 0 else str(after),
            "before": first,
            "ts": now_rfc3339(),
            "worker": self._auditor.worker_id,
        }

    # What is told

    def _record(self, action: Action, outcome: Outcome, **details: Any) -> None:
        # A chain ends with `worker.stopped`; what comes after that is in the log of the process.
        if not self._auditor.is_finishing():
            self._auditor.record(action, outcome, by=_SERVER, **details)

    def _tell_taken(self, taken: Taken) -> None:
        position = None if taken.position is None else str(taken.position)
        _log.info(
            "audit_archive_taken",
            directory=str(self._directory.path),
            term=self._term,
            position=position,
            torn_bytes=taken.torn_bytes,
        )
        self._record(
            Action.AUDIT_ARCHIVE_TAKEN,
            Outcome.ALLOWED,
            directory=str(self._directory.path),
            term=self._term,
            position=position,
            torn_bytes=taken.torn_bytes or None,
            salvaged=taken.salvaged or None,
        )

    def _tell_failed(self, error: Exception) -> None:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        self._metrics.up.set(0)
        if self._failed:
            _log.warning("audit_archive_still_fails", reason=reason)
            return
        self._failed = True
        _log.error("audit_archive_failed", directory=str(self._directory.path), reason=reason)
        self._record(
            Action.AUDIT_ARCHIVE_FAILED,
            Outcome.FAILED,
            directory=str(self._directory.path),
            reason=reason,
            position=None if self._position is None else str(self._position),
        )

    def _tell_works(self) -> None:
        self._metrics.up.set(1)
        if self._failed:
            self._failed = False
            _log.info("audit_archive_works_again", directory=str(self._directory.path))

    def _tell_gap(self, gap: dict[str, object]) -> None:
        self._put_back = None
        first, last = gap["first"], gap["last"]
        if gap["reason"] == RESTORED:
            return  # nothing is missing
        if gap["reason"] == "before_archive":
            _log.info("audit_archive_begins_late", first=first, last=last)
            return
        count = last - first + 1 if isinstance(first, int) and isinstance(last, int) else 0
        self._metrics.missing_records_total.inc(count)
        _log.error("audit_archive_gap", first=first, last=last, reason=gap["reason"])
        self._record(
            Action.AUDIT_ARCHIVE_GAP,
            Outcome.FAILED,
            first=first,
            last=last,
            reason=gap["reason"],
        )


def _by_hour(packs: list[tuple[int, EventPack]]) -> list[tuple[int, list[EventPack]]]:
    found: list[tuple[int, list[EventPack]]] = []
    for hour, pack in packs:
        if not found or hour > found[-1][0]:
            found.append((hour, []))
        found[-1][1].append(pack)
    return found


def _is_same(reading: LogReading, seq: int, line: bytes) -> bool:
    """Whether a record of the log is the one in a line of the archive."""
    for _, pack in reading.packs:
        for record in pack.events(after=seq - 1, upto=seq):
            # The hash is over all of it but the id, which is where it is.
            return bool(json.loads(record.payload)["hash"] == json.loads(line).get("hash"))
    return False


def _lines_of(
    packs: list[EventPack], after: int, gap: dict[str, object] | None
) -> tuple[list[bytes], int]:
    lines = [] if gap is None else [gap_line(gap)]
    lines += [event.payload for pack in packs for event in pack.events(after=after)]
    return lines, packs[-1].last


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Cancel and wait. A thread that is at work for one of them is not waited for."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # retrieved: the first of them was told already
