"""Reading the audit log by filter: pages, the newest, and how much came since."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from rtserver.audit.live.filter import AuditFilter
from rtserver.eventlog.api import EventLog
from rtserver.model.events import AUDIT_PROJECT, EventPack, StoredEvent

READ_RECORDS = 2_000
MAX_SCANNED_RECORDS = 50_000


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

        A page ends at `limit` records, and also after so many that were looked at, so that a
        filter which little passes costs no more than one that all passes.

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
        while seq < head and len(records) < limit and seq - first < MAX_SCANNED_RECORDS:
            packs = await self._read(seq, head)
            if not packs:
                seq = head
            for record in _records(packs, seq, head):
                if len(records) >= limit:
                    break
                seq = record.seq
                if wanted.wants_record(record):
                    records.append(record)
        return AuditPage(records, seq, seq < head, lost)

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
