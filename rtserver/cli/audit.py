"""`audit`: the operator reads and follows the audit log, without a token; that is recorded too."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Any

import msgspec

from rtserver.app.operator import operator_reading
from rtserver.audit.live.filter import AuditFilter
from rtserver.audit.live.reader import AuditReader
from rtserver.audit.record.actions import Action
from rtserver.cli.tail import POLL_S, told_to_end
from rtserver.config.settings import Settings
from rtserver.eventlog.api import EventLog
from rtserver.model.errors import InvalidError
from rtserver.model.events import AUDIT_PROJECT, StoredEvent
from rtserver.model.positions import Position
from rtserver.model.texts import printable, printable_json

PAGE_RECORDS = 1_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What the command line asks for.

    Attributes:
        wanted: which records.
        history: only so many of the newest that match; None for all, or with `follow` for none.
        begin: after which record; None for the oldest, or with `follow` for the next one.
        follow: go on until told to end.
        as_json: one JSON object a line, rather than columns for people.
    """

    wanted: AuditFilter
    history: int | None = None
    begin: Position | None = None
    follow: bool = False
    as_json: bool = False


async def audit(settings: Settings, reading: Reading) -> int:
    """Print records.

    Raises:
        OperatorError, StoreUnavailableError: the log can't be read, or that not be recorded.
        InvalidError: the position is of another log.
    """
    with told_to_end() as told:
        reads = operator_reading(
            settings,
            Action.AUDIT_WATCHED if reading.follow else Action.AUDIT_READ,
            {
                "filter": reading.wanted.to_json(),
                "history": reading.history,
                "after": None if reading.begin is None else str(reading.begin),
            },
        )
        async with reads as log:
            await _Printer(log, reading).run(told)
    return 0


class _Printer:
    def __init__(self, log: EventLog, reading: Reading) -> None:
        self._log = log
        self._reader = AuditReader(log)
        self._reading = reading

    async def run(self, told: asyncio.Event) -> None:
        seq = await self._begin()
        while not told.is_set():
            page = await self._reader.page(self._reading.wanted, after=seq, limit=PAGE_RECORDS)
            if page.lost and seq:
                print(f"rtserver: {page.lost} records are overwritten", file=sys.stderr)
            self._print(page.records)
            seq = page.seq
            if page.more:
                continue
            if not self._reading.follow:
                return
            try:
                async with asyncio.timeout(POLL_S):
                    await told.wait()
            except TimeoutError:
                continue

    async def _begin(self) -> int | None:
        """Print what comes first; where to go on."""
        reading = self._reading
        if reading.begin is not None:
            if reading.begin.epoch != self._log.epoch:
                raise InvalidError("--from: this position is of another log")
            return reading.begin.seq
        if reading.history is None and not reading.follow:
            return None
        head = await self._log.head(AUDIT_PROJECT)
        if reading.history:
            newest = await self._reader.newest(reading.wanted, upto=head, limit=reading.history)
            self._print(newest)
        return head

    def _print(self, records: list[StoredEvent]) -> None:
        line = _json_line if self._reading.as_json else _line
        sys.stdout.write("".join(f"{line(record)}\n" for record in records))
        sys.stdout.flush()


def _json_line(record: StoredEvent) -> str:
    return printable_json(record.payload.decode(errors="replace"))


def _line(record: StoredEvent) -> str:
    """Time, outcome and action; then who, on what, from where; then what else there is."""
    frame: dict[str, Any] = msgspec.json.decode(record.payload)
    parts = [
        f"{frame.get('ts')}  {frame.get('outcome'):<7}  {frame.get('action'):<22}",
        *(
            f"{name}={frame[key]}"
            for name, key in (
                ("actor", "actor"),
                ("project", "project_id"),
                ("target", "target"),
                ("connection", "connection_id"),
                ("ip", "ip"),
            )
            if frame.get(key) is not None
        ),
    ]
    details = frame.get("details")
    if details:
        parts.append(msgspec.json.encode(details).decode())
    return printable("  ".join(parts))
