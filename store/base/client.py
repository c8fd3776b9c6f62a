"""The MongoDB client: one place for its time-outs, write concern and error classes."""

import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar
from urllib.parse import parse_qs

from bson.errors import InvalidDocument
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure, PyMongoError
from pymongo.monitoring import TopologyListener
from pymongo.read_concern import ReadConcern

from rtserver.model.errors import StoreUnavailableError, UnstorableError

P = ParamSpec("P")
T = TypeVar("T")

Database = AsyncIOMotorDatabase[Any]
DatabaseError = PyMongoError
"""What every operation of this package may raise where its docstring names nothing narrower."""

NAMESPACE_EXISTS = 48
"""The code of MongoDB's error where a collection is there already."""
TIMEOUTS_MS = {
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 20_000,
    "wTimeoutMS": 10_000,
}
"""Where the URI names none of its own."""


NEWEST_MS = 5_000
"""How long a read of what is newest may wait for its majority."""


def connect(uri: str, listeners: Sequence[TopologyListener] = ()) -> AsyncIOMotorClient[Any]:
    """A client whose every write waits for a majority, and whose every wait ends.

    `listeners` are told on the driver's threads what its monitor sees.

    All writes are majority writes, also those that could do with less: an unconfirmed write moves
    the operation time on without flushing the journal, and the tail's barrier would wait for the
    next periodic flush.
    """
    # The driver lets arguments win over the URI; here the operator's URI wins.
    given = {name.lower() for name in parse_qs(uri.partition("?")[2])}
    times: dict[str, Any] = {
        name: ms for name, ms in TIMEOUTS_MS.items() if name.lower() not in given
    }
    return AsyncIOMotorClient(
        uri,
        w="majority",
        retryWrites=True,
        retryReads=True,
        tz_aware=True,
        appname="rtserver",
        event_listeners=list(listeners),
        **times,
    )


def confirmed(database: Database) -> Database:
    """The same database, read only as far as a majority of the replica set has it.

    A primary that has lost its majority goes on answering until it notices, and what it answers
    with read concern local may be rolled back. Whoever tells others of what was read, or decides by
    it, reads here. A majority write that was acknowledged is always seen: MongoDB answers it when
    its own committed snapshot has it.
    """
    return database.with_options(read_concern=ReadConcern("majority"))


def newest(database: Database) -> Database:
    """The same database, read as it is now: never stale, and never what may be rolled back.

    A read waits until a majority has confirmed what it found and that the primary is still that
    (MongoDB manual, read concern "linearizable"), which holds for one document named by its `_id`.
    It costs what a small majority write does; give it `max_time_ms=NEWEST_MS`, since it may wait.
    """
    return database.with_options(read_concern=ReadConcern("linearizable"))


REFUSALS = frozenset({2, 9, 14, 22, 121, 10334})
"""BadValue, FailedToParse, TypeMismatch, InvalidBSON, DocumentValidationFailure, and
BSONObjectTooLarge."""
NOT_ENCODED = (InvalidDocument, DocumentTooLarge, OverflowError, UnicodeEncodeError)
"""What the driver raises for a document that it cannot even send."""


def is_refusal(error: BaseException) -> bool:
    """Whether it is a document's own fault, so that trying again is of no use."""
    if isinstance(error, BulkWriteError):
        return first_write_error(error).get("code") in REFUSALS
    return isinstance(error, NOT_ENCODED) or (
        isinstance(error, OperationFailure) and error.code in REFUSALS
    )


def first_write_error(error: BulkWriteError) -> dict[str, Any]:
    """What MongoDB says of the first write of a batch that failed; empty where it says nothing."""
    found: dict[str, Any] = (error.details.get("writeErrors") or [{}])[0]
    return found


def core_errors(
    method: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Let a method that the core calls raise the core's error instead of the driver's."""

    @functools.wraps(method)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except (PyMongoError, *NOT_ENCODED) as error:
            if is_refusal(error):
                raise UnstorableError("The database cannot keep this: it is too large") from error
            # The driver's text may name hosts: it goes into the cause, not to people.
            raise StoreUnavailableError("The database does not answer; try again soon") from error

    return wrapped


async def is_replica_set(database: Any) -> bool:
    """Whether MongoDB runs as a replica set, without which there are no majority reads."""
    return "setName" in await database.command("hello")


async def server_version(database: Any) -> tuple[int, int]:
    """Major and minor version of the MongoDB server."""
    info = await database.client.server_info()
    major, minor, *_ = info["versionArray"]
    return major, minor
