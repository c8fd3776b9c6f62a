"""Reading the audit log by filter: pages, the newest, and how much came since."""

from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from rtserver.audit.live.filter import AuditFilter, view_of
from rtserver.eventlog.api import EventLog
from rtserver.model.events import AUDIT_PROJECT, EventPack, StoredEvent
from rtserver.model.moments import rfc3339

READ_RECORDS = 2_000
MAX_SCANNED_RECORDS = 50_000
PAGE_BYTES = 1024 * 1024
MAX_COUNTED_RECORDS = 500_000
DISORDER = timedelta(minutes=1)
"""Workers deliver their records a little after each other, so times rise only nearly."""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A part of the log.

    Attributes:
        records: what the filter wants.
        seq: how far the page goes: the next one begins after this.
        more: whether there was more in the log when it was read.
        lost: records after the place that was asked for which are overwritten.
    """

    records: list[StoredEvent]
    seq: int
    more: bool
    lost: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records there were, by time and outcome.

    Attributes:
        slots: by the slot's number since 1970 and the outcome.
        seq: all records up to here were looked at.
        complete: whether the log was read as far back as was asked for.
    """

    slots: Counter[tuple[int, str]]
    seq: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """What came after a place.

    Attributes:
        dropped: how many wanted records are before `from_seq`.
        from_seq: what follows this is the newest part, of as many wanted records as were asked for.
        overwritten: records right after the place that are gone, wanted or not.
    """

    dropped: int
    from_seq: int
    overwritten: int


class AuditReader:
    """Reads with a filter. Each method raises StoreUnavailableError where MongoDB is away."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def page(self, wanted: AuditFilter, *, after: int | None, limit: int) -> AuditPage:
        """Read on from a place.

        A page ends at `limit` records, or with the one that makes it `PAGE_BYTES`; also after so
        many that were looked at, so that a filter which little passes costs no more than one that
        all passes.

        Args:
            wanted: which records.
            after: sequence number; None begins with the oldest.
            limit: at most so many records.
        """
        head = await self._log.head(AUDIT_PROJECT)
        oldest = await self._log.oldest(AUDIT_PROJECT)
        begin = oldest - 1 if after is None else after
        lost = max(0, min(oldest, head + 1) - 1 - begin)
        first = seq = max(begin, oldest - 1, 0)
        records: list[StoredEvent] = []
        size_bytes = 0

        def is_full() -> bool:
            return len(records) >= limit or size_bytes >= PAGE_BYTES

        while seq < head and not is_full() and seq - first < MAX_SCANNED_RECORDS:
            packs = await self._read(seq, head)
            if not packs:
                seq = head
            for record in _records(packs, seq, head):
                if is_full():
                    break
                seq = record.seq
                if wanted.wants_record(record):
                    records.append(record)
                    size_bytes += len(record.payload)
        return AuditPage(records, seq, seq < head, lost)

    async def older(self, wanted: AuditFilter, *, before: int, limit: int) -> AuditPage:
        """Read back from a place: the newest wanted records before it, the oldest of them first.

        It ends where a page does: `seq` is the place to read back from next.

        Args:
            wanted: which records.
            before: sequence number.
            limit: at most so many records.
        """
        oldest = await self._log.oldest(AUDIT_PROJECT)
        found: deque[StoredEvent] = deque()
        start = here = min(before, await self._log.head(AUDIT_PROJECT) + 1)
        size_bytes = 0

        def is_full() -> bool:
            return len(found) >= limit or size_bytes >= PAGE_BYTES

        while here > oldest and not is_full() and start - here < MAX_SCANNED_RECORDS:
            after = max(oldest - 1, here - 1 - READ_RECORDS)
            part = [record async for some in self._windows(after, here - 1) for record in some]
            here = after + 1
            for record in reversed(part):
                if is_full():
                    here = record.seq + 1
                    break
                if wanted.wants_record(record):
                    found.appendleft(record)
                    size_bytes += len(record.payload)
        return AuditPage(list(found), here, here > oldest, 0)

    async def count(self, wanted: AuditFilter, *, since: datetime, slot_s: int) -> Counts:
        """Count the wanted records since a time, by slots of so many seconds.

        Args:
            wanted: which records.
            since: the earliest time; what is wanted may begin later.
            slot_s: a slot's length in seconds; slots begin at multiples of it since 1970.
        """
        head = here = await self._log.head(AUDIT_PROJECT)
        oldest = await self._log.oldest(AUDIT_PROJECT)
        first, certainly_before = rfc3339(since), rfc3339(since - DISORDER)
        slots: Counter[tuple[int, str]] = Counter()
        while here >= oldest and head - here < MAX_COUNTED_RECORDS:
            after = max(oldest - 1, here - READ_RECORDS)
            newest_ts = ""
            async for records in self._windows(after, here):
                for record in records:
                    view = view_of(record)
                    newest_ts = max(newest_ts, view.ts)
                    if view.ts < first or not wanted.wants_action(view.action):
                        continue
                    if wanted.wants(view):
                        at = int(datetime.fromisoformat(view.ts).timestamp())
                        slots[at // slot_s, view.outcome] += 1
            here = after
            if newest_ts < certainly_before:
                return Counts(slots, head, complete=True)
        return Counts(slots, head, complete=here < oldest)

    async def newest(self, wanted: AuditFilter, *, upto: int, limit: int) -> list[StoredEvent]:
        """The newest wanted records with `seq <= upto`, oldest first."""
        found: deque[StoredEvent] = deque()
        oldest = await self._log.oldest(AUDIT_PROJECT)
        while upto >= oldest and len(found) < limit:
            after = max(oldest - 1, upto - READ_RECORDS)
            part = [
                record
                async for records in self._windows(after, upto)
                for record in records
                if wanted.wants_record(record)
            ]
            found.extendleft(reversed(part[-(limit - len(found)) :]))
            upto = after
        return list(found)

    async def backlog(self, wanted: AuditFilter, *, after: int, upto: int, newest: int) -> Backlog:
        """Where to begin so that at most `newest` wanted records follow, of those up to `upto`."""
        kept: deque[int] = deque(maxlen=newest)
        count = overwritten = 0
        async for records in self._windows(after, upto):
            if count == 0 and not overwritten and records[0].seq > after + 1:
                overwritten = records[0].seq - after - 1
            for record in records:
                if wanted.wants_record(record):
                    kept.append(record.seq)
                    count += 1
        if count <= newest:
            return Backlog(0, after, overwritten)
        return Backlog(count - newest, kept[0] - 1, overwritten)

    async def _windows(self, after: int, upto: int) -> AsyncIterator[list[StoredEvent]]:
        """The records with `after < seq <= upto`, some at a time."""
        while after < upto:
            records = list(_records(await self._read(after, upto), after, upto))
            if not records:
                return
            yield records
            after = records[-1].seq

    async def _read(self, after: int, upto: int) -> list[EventPack]:
        return await self._log.read(AUDIT_PROJECT, after=after, upto=upto, limit=READ_RECORDS)


def _records(packs: list[EventPack], after: int, upto: int) -> list[StoredEvent]:
    return [record for pack in packs for record in pack.events(after=after, upto=upto)]
