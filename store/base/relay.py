"""Transactional outbox: an event waits in the changed document until it is in the log.

A capped collection takes no part in transactions. So a change and its event are one update of one
document: the event is put into the document's `outbox`, appended to the log under its key, and
then taken out. A worker that dies in between leaves it there, and a sweep appends it; the key
makes a second append harmless.

    outbox  array of {key, project_id, type, proposal_id?, audience?, fields: JSON text, ts}

An entry may bring a new document of another collection, instead of `fields`:

    record  {into: collection, document}

It is inserted before the event is appended, and the event says what the document does. So a
document that is made along with a change of another is one with it, without a transaction.

Only what a majority holds is told. A relay right after a change has MongoDB's answer to a majority
write; the sweep reads with read concern majority. Otherwise a primary that was cut off would show
the sweep a change that is rolled back later, and its event would be in the log for good.
"""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec
import structlog
from pymongo.errors import DuplicateKeyError, WriteError

from rtserver.eventlog.api import EventLog, KeyReusedError
from rtserver.model.audience import Audience
from rtserver.model.errors import BusyError, StoreUnavailableError
from rtserver.model.events import EventDraft
from rtserver.model.moments import now_rfc3339
from store.base.client import Database, DatabaseError, confirmed

SWEEP_INTERVAL_S = 2.0
SWEEP_BATCH = 500

Fields = Callable[[dict[str, Any]], dict[str, Any]]
Before = Callable[[Database, dict[str, Any], dict[str, Any]], Awaitable[None]]
"""Does what has to be done before an entry of a document's outbox is told of; takes the database,
the document and the entry. It may be called more than once for an entry, also at the same time."""
After = Callable[[dict[str, Any], dict[str, Any]], Awaitable[None]]
"""Does what follows from an entry of a document's outbox, when it was told and before it is
forgotten; takes the document and the entry. It may be called more than once, as `Before`."""

_log = structlog.get_logger()


def change_key(what: str) -> str:
    """A key for the event of one change of a document.

    By chance, and not by a version: a change that was rolled back and the one made in its place
    have the same version, and the second event must not meet the key of the first.

    Args:
        what: names the change for people who look into the log, `proposal:ID` say.
    """
    return f"{what}:{secrets.token_hex(8)}"


def waiting_event(what: str, draft: EventDraft) -> dict[str, Any]:
    """The form in which an event waits in a document.

    Args:
        what: see `change_key`.
        draft: the event.
    """
    entry: dict[str, Any] = {
        "key": change_key(what),
        "project_id": draft.project_id,
        "type": str(draft.type),
        "fields": msgspec.json.encode(draft.fields).decode(),
        "ts": draft.ts or now_rfc3339(),
    }
    if draft.proposal_id is not None:
        entry["proposal_id"] = draft.proposal_id
    audience = draft.audience.to_document()
    if audience is not None:
        entry["audience"] = audience
    return entry


def _draft(entry: dict[str, Any], fields: dict[str, Any]) -> EventDraft:
    return EventDraft(
        entry["project_id"],
        entry["type"],
        fields,
        audience=Audience.from_document(entry.get("audience")),
        proposal_id=entry.get("proposal_id"),
        ts=entry["ts"],
    )


class OutboxRelay:
    """Moves waiting events from documents into the log."""

    def __init__(
        self,
        database: Database,
        log: EventLog,
        collections: Iterable[str],
        records: Mapping[str, Fields] | None = None,
        before: Mapping[str, Before] | None = None,
        after: Mapping[str, After] | None = None,
    ) -> None:
        """Make a relay.

        Args:
            database: where the documents are.
            log: where their events go.
            collections: those whose documents have an outbox.
            records: by collection, what an event says of a document that it brings.
            before: by collection, what is done before an event of its documents is appended.
            after: by collection, what is done when one was.
        """
        self._database = database
        self._confirmed = confirmed(database)
        self._log = log
        self._collections = tuple(collections)
        self._records = records or {}
        self._before = before or {}
        self._after = after or {}

    async def prepare(self) -> None:
        """Make the indexes by which the sweep finds documents with waiting events."""
        for name in self._collections:
            await self._database[name].create_index("outbox.key", sparse=True, name="outbox")

    async def relay(self, collection: str, document: dict[str, Any]) -> None:
        """Append a document's waiting events, in order, and take them out.

        Args:
            collection: where the document is.
            document: as a majority of the replica set has it.

        Raises:
            LogBusyError, LogUnavailableError, DatabaseError: the sweep will finish it.
        """
        keys = []
        before, after = self._before.get(collection), self._after.get(collection)
        for entry in document.get("outbox", ()):
            if before is not None:
                await before(self._database, document, entry)
            await self._append(entry["key"], _draft(entry, await self._fields(entry)))
            keys.append(entry["key"])
        if after is not None:
            for entry in document.get("outbox", ()):
                await after(document, entry)
        if keys:
            await self._database[collection].update_one(
                {"_id": document["_id"]}, {"$pull": {"outbox": {"key": {"$in": keys}}}}
            )

    async def _append(self, key: str, draft: EventDraft) -> None:
        try:
            await self._log.publish([draft], key=key)
        except KeyReusedError:
            # Two changes were given one key, which is a fault. The event is true all the same, so
            # it goes in under a key of its content, which is the same however often it is tried.
            _log.exception("outbox_key_reused", key=key)
            digest = hashlib.sha256(draft.body().encode()).hexdigest()
            await self._log.publish([draft], key=f"{key}:{digest[:16]}")

    async def _fields(self, entry: dict[str, Any]) -> dict[str, Any]:
        record = entry.get("record")
        if record is None:
            fields: dict[str, Any] = msgspec.json.decode(entry["fields"])
            return fields
        with contextlib.suppress(DuplicateKeyError):  # another worker was quicker
            await self._database[record["into"]].insert_one(record["document"])
        return self._records[record["into"]](record["document"])

    async def try_relay(self, collection: str, document: dict[str, Any]) -> None:
        """Like `relay`; a failure is left to the sweep, for the change itself is made."""
        try:
            await self.relay(collection, document)
        except (BusyError, StoreUnavailableError, DatabaseError) as error:
            _log.warning("outbox_waits", collection=collection, error=str(error))

    async def sweep(self) -> int:
        """Append what dead workers left; how many documents had something."""
        count = 0
        for name in self._collections:
            waiting = self._confirmed[name].find({"outbox.key": {"$exists": True}})
            cursor = waiting.limit(SWEEP_BATCH)
            async for document in cursor:
                try:
                    await self.relay(name, document)
                except WriteError:
                    # Only a document that MongoDB refuses for what it says: not for all the others.
                    _log.exception("outbox_refused", collection=name, id=document["_id"])
                count += 1
        return count

    async def run(self) -> None:
        """Sweep at start and then on a timer, until cancelled."""
        while True:
            try:
                await self.sweep()
            except (BusyError, StoreUnavailableError, DatabaseError) as error:
                _log.warning("outbox_not_swept", error=str(error))
            await asyncio.sleep(SWEEP_INTERVAL_S)
