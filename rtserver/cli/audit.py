"""`audit`: the command that prints and follows the audit log; that is recorded too."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Any

import msgspec

from rtserver.app.operator.logs import operator_reading
from rtserver.audit.live.filter import AuditFilter
from rtserver.audit.live.reader import AuditReader
from rtserver.audit.record.actions import Action
from rtserver.cli.signals import stop_signals
from rtserver.cli.tail import POLL_S
from rtserver.config.settings import Settings
from rtserver.eventlog.api import EventLog
from rtserver.lib.waiting import is_set_within
from rtserver.model.errors import InvalidError
from rtserver.model.events import AUDIT_PROJECT, StoredEvent
from rtserver.model.positions import Position
from rtserver.model.texts import printable, printable_json

PAGE_RECORDS = 1_000


@dataclass(frozen=True, slots=True)
class AuditListing:
    """What the command line asks for.

    Attributes:
        wanted: which records.
        history: only so many of the newest that match; None for all, or with `follow` for none.
        begin: after which record; None for the oldest, or with `follow` for the next one.
        follow: go on until SIGINT or SIGTERM.
        as_json: one JSON object a line, rather than columns for people.
        of_strangers: the log of what was refused to clients without a valid token.
    """

    wanted: AuditFilter
    history: int | None = None
    begin: Position | None = None
    follow: bool = False
    as_json: bool = False
    of_strangers: bool = False


async def audit(settings: Settings, query: AuditListing) -> int:
    """Print records.

    Raises:
        OperatorError, StoreUnavailableError: the log can't be read, or that not be recorded.
        InvalidError: the position is of another log.
    """
    with stop_signals() as stop:
        reads = operator_reading(
            settings,
            Action.AUDIT_WATCHED if query.follow else Action.AUDIT_READ,
            {
                "filter": query.wanted.to_json(),
                "history": query.history,
                "after": None if query.begin is None else str(query.begin),
                "log": "strangers" if query.of_strangers else None,
            },
            of_strangers=query.of_strangers,
        )
        async with reads as log:
            await _Printer(log, query).run(stop)
    return 0


class _Printer:
    def __init__(self, log: EventLog, query: AuditListing) -> None:
        self._log = log
        self._reader = AuditReader(log)
        self._query = query

    async def run(self, stop: asyncio.Event) -> None:
        seq = await self._begin()
        while not stop.is_set():
            page = await self._reader.page(self._query.wanted, after=seq, limit=PAGE_RECORDS)
            if page.lost and seq:
                print(f"rtserver: {page.lost} records are overwritten", file=sys.stderr)
            self._print(page.records)
            seq = page.seq
            if page.more:
                continue
            if not self._query.follow:
                return
            await is_set_within(stop, POLL_S)

    async def _begin(self) -> int | None:
        """Print what comes first; where to go on."""
        query = self._query
        if query.begin is not None:
            if query.begin.epoch != self._log.epoch:
                raise InvalidError("--from: this position is of another log")
            return query.begin.seq
        if query.history is None and not query.follow:
            return None
        head = await self._log.head(AUDIT_PROJECT)
        if query.history:
            newest = await self._reader.newest(query.wanted, upto=head, limit=query.history)
            self._print(newest)
        return head

    def _print(self, records: list[StoredEvent]) -> None:
        line = _json_line if self._query.as_json else _line
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
