"""`publish`: the operator appends events to the log, one or as many as stand in a stream."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from rtserver.app.operator.logs import operator_publishing
from rtserver.app.operator.records import OperatorRecords
from rtserver.audit.record.actions import Action, Outcome
from rtserver.config.settings import Settings
from rtserver.eventlog.api import EventLog
from rtserver.eventlog.publishing import (
    MAX_BATCH,
    MAX_BATCH_BYTES,
    PublishedEvent,
    attempt_details,
    draft_of,
    parse_events,
    stored_details,
)
from rtserver.model.errors import InvalidError, RefusedError
from rtserver.model.events import EventDraft

ACTOR = "operator"
STDIN = "-"
"""Instead of a type: events are read from standard input."""
READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """What the command line asks for.

    Attributes:
        project_id: where to.
        event: the event; None reads events from standard input, one JSON object a line.
        key: idempotency key; None for none.
    """

    project_id: str
    event: PublishedEvent | None
    key: str | None


async def publish(settings: Settings, wanted: PublishRequest) -> int:
    """Append events and print their ids, one a line.

    Raises:
        OperatorError, StoreUnavailableError, RefusedError: it was not stored.
    """
    async with operator_publishing(settings) as (log, records):
        publisher = _Publisher(log, records, wanted, settings.max_message_bytes)
        if wanted.event is not None:
            await publisher.append([publisher.draft(wanted.event)])
        else:
            await publisher.append_stream(sys.stdin.buffer)
    return 0


class _Publisher:
    def __init__(
        self, log: EventLog, records: OperatorRecords, wanted: PublishRequest, max_data_bytes: int
    ) -> None:
        self._log = log
        self._records = records
        self._wanted = wanted
        self._max_data_bytes = max_data_bytes
        self._publications = 0

    def draft(self, event: PublishedEvent) -> EventDraft:
        return draft_of(event, self._wanted.project_id, ACTOR, max_data_bytes=self._max_data_bytes)

    async def append(self, drafts: list[EventDraft]) -> None:
        """Store a batch, all or none, and print its ids."""
        self._publications += 1
        key = self._wanted.key
        if key is not None:
            key = f"{ACTOR}:{self._wanted.project_id}:{key}"
            if self._wanted.event is None:
                key += f":{self._publications}"
        details = attempt_details(drafts)
        try:
            published = await self._log.publish(drafts, key=key)
        except RefusedError as error:
            self._record({**details, "reason": error.reason}, Outcome.FAILED)
            raise
        self._record({**details, **stored_details(published)})
        sys.stdout.write("".join(f"{event_id}\n" for event_id in published.ids))
        sys.stdout.flush()

    def _record(self, details: dict[str, Any], outcome: Outcome = Outcome.ALLOWED) -> None:
        self._records.record(Action.EVENT_PUBLISHED, details, outcome, self._wanted.project_id)

    async def append_stream(self, source: BinaryIO) -> None:
        """Store what a stream says, in batches as it comes; a batch on a line stays one.

        With a key the batches are full ones, whenever their lines come: only so are they the same
        when the same stream is sent again.
        """
        waiting: list[EventDraft] = []
        number = 0
        async for lines in _lines(source):
            for line in lines:
                number += 1
                if not line.strip():
                    continue
                try:
                    drafts = [self.draft(event) for event in parse_events(line)]
                except RefusedError as error:
                    await self._append_if_any(waiting)
                    raise InvalidError(f"line {number}: {error}") from None
                if len(waiting) + len(drafts) > MAX_BATCH:
                    await self._append_if_any(waiting)
                waiting += drafts
            if self._wanted.key is None:
                await self._append_if_any(waiting)
        await self._append_if_any(waiting)

    async def _append_if_any(self, waiting: list[EventDraft]) -> None:
        if waiting:
            await self.append(waiting)
            waiting.clear()


async def _lines(source: BinaryIO) -> AsyncIterator[list[bytes]]:
    """The lines of a stream, as many at a time as have come.

    Raises:
        InvalidError: a line is longer than a batch may be.
    """
    rest = b""
    async for chunk in _chunks(source):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_BATCH_BYTES:
            raise InvalidError(f"A line may have {MAX_BATCH_BYTES} bytes at most")
        yield lines
    if rest:
        yield [rest]


async def _chunks(source: BinaryIO) -> AsyncIterator[bytes]:
    if not _may_keep_waiting(source.fileno()):
        while chunk := source.read(READ_BYTES):
            yield chunk
        return
    # Read by the loop: a thread that waits for input could not be interrupted.
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), source
    )
    try:
        while chunk := await reader.read(READ_BYTES):
            yield chunk
    finally:
        transport.close()


def _may_keep_waiting(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)
