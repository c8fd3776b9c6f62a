"""Capped collections that hold a log: creation, size, epoch. See docs/architecture.md, "The log".

There are two, `events` and `audit`, of one form. A document holds a pack of consecutive events of
one project:

    _id        ObjectId, or the key of a publication that has one
    project_id str
    first      int64, the first event's sequence number
    last       int64, the last one's
    stamp      Timestamp, set by the server: when and in which order it was inserted
    events     array of {t: type, b: JSON text, p: proposal id?, a: audience?}
    digest     str, only with a key: what was published under it
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from bson import Int64, Timestamp
from pymongo import ASCENDING
from pymongo.errors import CollectionInvalid, DuplicateKeyError, OperationFailure

from rtserver.model.errors import OperatorError
from rtserver.model.events import EventPack
from store.base.client import NAMESPACE_EXISTS, Database
from store.base.mending import what_to_mend
from store.base.rights import UNAUTHORIZED

EVENTS = "events"
AUDIT = "audit"
STRANGERS = "audit_strangers"
META = "meta"
HEADS = "heads"
STRANGERS_HEADS = "audit_strangers_heads"
"""Both audit logs number their records under one name."""
MAX_FORMER = 100
MAX_EVENTS_PER_PACK = 500
MAX_PACK_BYTES = 256 * 1024
NOT_A_PACK = {
    "$or": [{key: {"$exists": False}} for key in ("project_id", "first", "last", "stamp", "events")]
}

_log = structlog.get_logger()


class CollectionProblemError(OperatorError):
    """A collection is there in a form that cannot be used. The message says what to do."""


async def prepare_capped(database: Database, name: str, size_bytes: int) -> None:
    """Make a capped collection where there is none. Safe to do concurrently.

    One that is there keeps its size: to make it smaller deletes what is in it, and workers that
    were started with different settings would undo each other's change.

    Args:
        database: where.
        name: the collection.
        size_bytes: its size.

    Raises:
        CollectionProblemError: it is not capped, and is no log.
    """
    try:
        await database.create_collection(name, capped=True, size=size_bytes)
    except CollectionInvalid:
        pass  # made by an earlier start
    except OperationFailure as error:
        if error.code != NAMESPACE_EXISTS:  # made by another worker meanwhile
            raise
    options = (await _description(database, name))["options"]
    if not options.get("capped"):
        if await database[name].find_one(NOT_A_PACK, {"_id": 1}) is not None:
            raise CollectionProblemError(not_a_log(name))
        # The log was dropped, and before anybody noticed a writer's insert made it anew.
        await database.command({"convertToCapped": name, "size": rounded_size(size_bytes)})
        _log.warning("collection_made_capped", name=name)


def rounded_size(size_bytes: int) -> int:
    """MongoDB rounds the size of a capped collection up to a multiple of 256 bytes."""
    return -(-size_bytes // 256) * 256


async def log_problem(database: Database, name: str, wanted_bytes: int) -> str | None:
    """What is wrong with a log that is there, in words; None where nothing is."""
    found = await _find_description(database, name)
    if found is None:
        return None
    options = found["options"]
    if not options.get("capped"):
        if await database[name].find_one(NOT_A_PACK, {"_id": 1}) is None:
            return None  # the next start makes it capped again
        return not_a_log(name)
    return size_difference(name, options["size"], wanted_bytes)


def not_a_log(name: str) -> str:
    """Say that a collection has the name of a log and is none."""
    return (
        f"The collection {name!r} is not capped and holds something else. Rename or drop it, or "
        "set RT_MONGODB_DATABASE to a database of the server's own."
    )


async def log_size_bytes(database: Database, name: str) -> int | None:
    """How much a log holds at most; None where there is none, or it is not capped."""
    found = await _find_description(database, name)
    return None if found is None else found["options"].get("size")


async def log_used_bytes(database: Database, name: str) -> int:
    """How much is in a log."""
    cursor = database[name].aggregate([{"$collStats": {"storageStats": {}}}])
    (found,) = await cursor.to_list(1)
    return int(found["storageStats"]["size"])


def size_difference(name: str, has_bytes: int, wanted_bytes: int) -> str | None:
    """Say where a log has another size than its setting, and what to do."""
    if has_bytes in (wanted_bytes, rounded_size(wanted_bytes)):
        return None
    return (
        f"The collection {name!r} holds {has_bytes} bytes, the setting says {wanted_bytes}. It "
        "keeps its size until `python -m rtserver log resize` changes it."
    )


async def resize_log(database: Database, name: str, size_bytes: int) -> None:
    """Give a log another size; a smaller one loses its oldest.

    Raises:
        CollectionProblemError: this MongoDB can't do that.
    """
    try:
        await database.command({"collMod": name, "cappedSize": rounded_size(size_bytes)})
    except OperationFailure as error:
        if error.code == UNAUTHORIZED:
            raise CollectionProblemError(what_to_mend(error)) from error
        raise CollectionProblemError(
            f"this MongoDB cannot resize {name!r} ({error.code}); 6.0 and newer can"
        ) from error


async def prepare_log(database: Database, name: str, size_bytes: int) -> str:
    """Make what the log of that name needs, idempotently, and say its epoch.

    Args:
        database: where.
        name: the collection.
        size_bytes: its size; one that is there keeps its own.

    Raises:
        CollectionProblemError: the collection is there and cannot be used.
    """
    await prepare_capped(database, name, size_bytes)
    try:
        await _index(database, name)
    except DuplicateKeyError:
        # Inserted by several writers while there was no index, see `prepare_capped`.
        aside = f"{name}_set_aside_{secrets.token_hex(4)}"
        await database[name].rename(aside)
        _log.error("log_set_aside", name=name, renamed_to=aside)
        await prepare_capped(database, name, size_bytes)
        await _index(database, name)
    return await read_epoch(database, name)


async def _index(database: Database, name: str) -> None:
    await database[name].create_index(
        [("project_id", ASCENDING), ("first", ASCENDING)], unique=True, name="sequence"
    )


async def read_epoch(database: Database, name: str) -> str:
    """The epoch of the collection as it is now; a new one where the collection is another.

    The epoch is tied to the collection's UUID, which MongoDB gives at creation and keeps over
    resizing, restarts and failover. A collection that was dropped and made again has another, and
    so has one that went back, see `store.log.marks`.
    """
    while True:
        known = await database[META].find_one({"_id": name})
        uuid = (await _description(database, name))["info"]["uuid"]
        if known is not None and known["uuid"] == uuid:
            return str(known["epoch"])
        fresh = {"uuid": uuid, "epoch": secrets.token_hex(4)}
        try:
            if known is None:
                await database[META].insert_one({"_id": name, **fresh})
            else:
                await database[META].update_one(
                    {"_id": name, "uuid": known["uuid"]}, {"$set": fresh}
                )
        except DuplicateKeyError:
            continue  # another worker was quicker: take its epoch


@dataclass(frozen=True, slots=True)
class Life:
    """The life of a log.

    Attributes:
        uuid: of the collection, in hex.
        epoch: names it.
        former: the epochs that the same log had before, oldest first.
    """

    uuid: str
    epoch: str
    former: tuple[str, ...]


async def read_life(database: Database, name: str) -> Life:
    """The life of a log that is there.

    Raises:
        CollectionProblemError: it is not.
    """
    epoch = await read_epoch(database, name)
    known = await database[META].find_one({"_id": name, "epoch": epoch}) or {}
    former = tuple(known.get("former", ()))
    return Life(bytes(known.get("uuid", b"")).hex(), epoch, former)


async def begin_epoch(database: Database, name: str, life: Life) -> Life:
    """Give a log another epoch: what its ids stood for elsewhere is not what they stand for here.

    Args:
        database: where it is.
        name: the collection.
        life: what is to end. Where it has ended already, nothing is changed.

    Returns:
        The life that it has then.
    """
    former = {"$each": [life.epoch], "$slice": -MAX_FORMER}
    await database[META].update_one(
        {"_id": name, "epoch": life.epoch},
        {"$set": {"epoch": secrets.token_hex(4)}, "$push": {"former": former}},
    )
    return await read_life(database, name)


async def log_exists(database: Database, name: str) -> bool:
    """Whether a server has made the log of that name."""
    return await _find_description(database, name) is not None


async def _find_description(database: Database, name: str) -> dict[str, Any] | None:
    reply = await database.command({"listCollections": 1, "filter": {"name": name}})
    batch: list[dict[str, Any]] = reply["cursor"]["firstBatch"]
    return batch[0] if batch else None


async def _description(database: Database, name: str) -> dict[str, Any]:
    found = await _find_description(database, name)
    if found is None:
        raise CollectionProblemError(
            f"The collection {name!r} vanished while it was being prepared."
        )
    return found


def pack_document(
    identity: Any, project_id: str, first: int, items: list[dict[str, Any]], digest: str | None
) -> dict[str, Any]:
    """The document of a pack. `Timestamp(0, 0)` at the top level is filled in by the server."""
    document: dict[str, Any] = {
        "_id": identity,
        "project_id": project_id,
        "first": Int64(first),
        "last": Int64(first + len(items) - 1),
        "stamp": Timestamp(0, 0),
        "events": items,
    }
    if digest is not None:
        document["digest"] = digest
    return document


def read_pack(document: Mapping[str, Any], epoch: str) -> EventPack:
    """The pack of a document."""
    return EventPack(
        document["project_id"], epoch, document["first"], document["last"], document["events"]
    )
