"""Change streams of other people's collections.

Driven by `aggregate` and `getMore` commands, as the log's tail is: the driver's class for it takes
a step through the executor for each change, and hides the place after a batch that brought none.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure

from rtserver.model.errors import StoreUnavailableError
from rtserver.model.moments import rfc3339
from rtserver.model.watch import ChangeKind, Watch
from rtserver.watch.change import Change, top_paths
from rtserver.watch.ports import ChangeBatch, HistoryLostError, Token
from store.base.client import DatabaseError, core_errors, server_version
from store.watch.plain_json import UNREAD, plain, read, read_or_none

BATCH_CHANGES = 500
AWAIT_MS = 1_000
OPEN_TIMEOUT_MS = 15_000
MAX_PROJECTS = 10_000
PROJECTS_TIMEOUT_MS = 15_000
TIME_LIMIT_EXCEEDED = 50
NO_WAY_ON = frozenset({260, 280, 286, 10334})
"""InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost, and BSONObjectTooLarge: a
change that is larger than what can be sent. Trying again is of no use."""
IMAGES_SINCE = (6, 0)

_OPERATIONS = {
    "insert": ChangeKind.INSERT,
    "update": ChangeKind.UPDATE,
    "replace": ChangeKind.UPDATE,
    "delete": ChangeKind.DELETE,
}
_ENDS = ("drop", "rename", "dropDatabase", "invalidate")

_log = structlog.get_logger()


class ChangeStreams:
    """`rtserver.watch.ports.ChangeSource` on MongoDB."""

    def __init__(self, client: Any) -> None:
        """Take the driver's client.

        Args:
            client: what `store.base.client.connect` returned.
        """
        self._client = client

    async def batches(self, watch: Watch, token: Token | None) -> AsyncGenerator[ChangeBatch, None]:
        """See `ChangeSource.batches`."""
        try:
            # A cursor belongs to the session that opened it, see `store.log.tail`.
            async with await self._client.start_session(causal_consistency=False) as session:
                async for batch in self._follow(session, watch, token):
                    yield batch
        except OperationFailure as error:
            if error.code in NO_WAY_ON:
                raise HistoryLostError(f"MongoDB error {error.code}") from error
            raise StoreUnavailableError("The collection cannot be followed") from error
        except DatabaseError as error:
            raise StoreUnavailableError("The collection cannot be followed") from error

    async def _follow(
        self, session: Any, watch: Watch, token: Token | None
    ) -> AsyncGenerator[ChangeBatch, None]:
        database = self._client[watch.database]
        pipeline = change_pipeline(watch, token, await server_version(database))
        reply = await database.command(
            {
                "aggregate": watch.collection,
                "pipeline": pipeline,
                "cursor": {"batchSize": BATCH_CHANGES},
                "maxTimeMS": OPEN_TIMEOUT_MS,
            },
            codec_options=UNREAD,
            session=session,
        )
        cursor_id = reply["cursor"]["id"]
        try:
            found = reply["cursor"]["firstBatch"]
            while True:
                batch = await _batch(watch, found, read(reply["cursor"]["postBatchResumeToken"]))
                yield batch
                if batch.is_end:
                    _log.warning("watched_collection_ended", watch=watch.name)
                    return
                if cursor_id == 0:
                    raise StoreUnavailableError("MongoDB ended the change stream")
                reply = await database.command(
                    {
                        "getMore": cursor_id,
                        "collection": watch.collection,
                        "batchSize": BATCH_CHANGES,
                        "maxTimeMS": AWAIT_MS,
                    },
                    codec_options=UNREAD,
                    session=session,
                )
                cursor_id = reply["cursor"]["id"]
                found = reply["cursor"]["nextBatch"]
        finally:
            if cursor_id:
                await self._kill_cursor(watch, cursor_id)

    async def _kill_cursor(self, watch: Watch, cursor_id: int) -> None:
        try:
            async with asyncio.timeout(1):
                await self._client[watch.database].command(
                    {"killCursors": watch.collection, "cursors": [cursor_id]}
                )
        except (DatabaseError, TimeoutError) as error:
            _log.debug("cursor_not_killed", error=str(error))  # the server drops it when idle

    @core_errors
    async def projects(self, watch: Watch) -> Sequence[Any]:
        """See `ChangeSource.projects`."""
        if watch.project_field is None:
            return [watch.project_id]
        collection = self._client[watch.database].get_collection(watch.collection, UNREAD)
        cursor = collection.aggregate(
            [{"$group": {"_id": f"${watch.project_field}"}}, {"$limit": MAX_PROJECTS}],
            maxTimeMS=PROJECTS_TIMEOUT_MS,
        )
        try:
            found = [read_or_none(document) async for document in cursor]
            return [plain(document["_id"]) for document in found if document is not None]
        except OperationFailure as error:
            if error.code != TIME_LIMIT_EXCEEDED:
                raise
            _log.error("watch_projects_not_found", watch=watch.name, limit_ms=PROJECTS_TIMEOUT_MS)
            return []


def change_pipeline(
    watch: Watch, token: Token | None, version: tuple[int, int]
) -> list[dict[str, Any]]:
    """What the server is asked for: no more of a document than is needed.

    Args:
        watch: what to follow.
        token: the place to begin after; None: now.
        version: of the MongoDB server.
    """
    options: dict[str, Any] = {"fullDocument": "updateLookup"}
    wants_before = wants_images(watch) and version >= IMAGES_SINCE
    if wants_before:
        options["fullDocumentBeforeChange"] = "whenAvailable"
    if token is not None:
        # Unlike `resumeAfter` it also takes the place where a dropped collection ended.
        options["startAfter"] = token
    operations = [name for name, one in _OPERATIONS.items() if one in watch.operations]
    shown: dict[str, Any] = {
        "operationType": 1,
        "documentKey": 1,
        "clusterTime": 1,
        "wallTime": 1,
        "changed": {
            "$concatArrays": [
                _names({"$objectToArray": "$updateDescription.updatedFields"}, "k"),
                {"$ifNull": ["$updateDescription.removedFields", []]},
                _names("$updateDescription.truncatedArrays", "field"),
            ]
        },
    }
    if watch.whole:
        shown["fullDocument"] = 1
    else:
        # `_id` alone tells a document that names nothing from one that is not there.
        for path in top_paths(("_id", *watch.fields, *watch.routing_fields)):
            shown[f"fullDocument.{path}"] = 1
    if wants_before:
        for path in top_paths(("_id", *watch.routing_fields)):
            shown[f"fullDocumentBeforeChange.{path}"] = 1
    return [
        {"$changeStream": options},
        {"$match": {"operationType": {"$in": [*operations, *_ENDS]}}},
        {"$project": shown},
    ]


def wants_images(watch: Watch) -> bool:
    """Whether a deletion can only be told where MongoDB keeps what the document was."""
    return ChangeKind.DELETE in watch.operations and bool(watch.routing_fields)


def _names(of: Any, key: str) -> dict[str, Any]:
    return {"$map": {"input": {"$ifNull": [of, []]}, "in": f"$$this.{key}"}}


async def _batch(watch: Watch, found: Sequence[RawBSONDocument], after: Token) -> ChangeBatch:
    """What was found, up to where the collection ends, if it does."""
    changes: list[Change] = []
    unreadable = 0
    for number, raw in enumerate(found):
        if number % 16 == 15:
            await asyncio.sleep(0)  # whole documents may be large, and connections wait
        event = read_or_none(raw)
        if event is None:
            unreadable += 1
            continue
        kind = event["operationType"]
        if kind == "invalidate":
            return ChangeBatch(changes, event["_id"], is_end=True, unreadable=unreadable)
        if kind in _OPERATIONS:
            changes.append(_change(watch, event, _OPERATIONS[kind]))
    return ChangeBatch(changes, after, unreadable=unreadable)


def _change(watch: Watch, event: Mapping[str, Any], operation: ChangeKind) -> Change:
    # The token names the change by its place in the oplog: the same for every reader.
    place = f"{watch.name}\0{event['_id']['_data']}"
    return Change(
        key=f"watch:{hashlib.sha256(place.encode()).hexdigest()}",
        operation=operation,
        document_id=plain(event["documentKey"].get("_id")),
        ts=_moment(event),
        document=_document(event.get("fullDocument")),
        before=_document(event.get("fullDocumentBeforeChange")),
        changed=event["changed"] if event["operationType"] == "update" else None,
    )


def _document(found: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    # Of a document that is gone, the projection leaves null or nothing.
    document: Mapping[str, Any] = plain(found) if found else {}
    return document or None


def _moment(event: Mapping[str, Any]) -> str:
    at = event.get("wallTime")  # since MongoDB 6.0; the other has whole seconds
    if not isinstance(at, datetime):
        at = datetime.fromtimestamp(event["clusterTime"].time, UTC)
    return rfc3339(at)
