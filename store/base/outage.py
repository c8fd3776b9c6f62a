"""Outages: whether MongoDB can do what is asked of it, and if not, what is missing."""

from pymongo.errors import (
    AutoReconnect,
    OperationFailure,
    ServerSelectionTimeoutError,
    WriteConcernError,
)

from rtserver.model.errors import StoreUnavailableError
from store.base.client import NEWEST_MS, Database, DatabaseError, newest
from store.base.mending import persistent_problem

READ_CONCERN_NOT_YET = 134
"""ReadConcernMajorityNotAvailableYet: the node has just started."""
NEVER_CONFIRMED = frozenset({79, 100})
"""UnknownReplWriteConcern, CannotSatisfyWriteConcern: somebody has to mend the replica set."""


async def require_majority(database: Database) -> None:
    """Return when MongoDB has a primary that a majority of its members follows.

    Raises:
        DatabaseError: it has none, see `what_is_missing`.
    """
    # There need be no such document: the read waits for the majority all the same.
    await newest(database)["meta"].find_one({"_id": "majority"}, max_time_ms=NEWEST_MS)


def what_is_missing(error: Exception) -> str | None:
    """What MongoDB lacks, in words, where it may just be waited for; None for any other failure."""
    if isinstance(error, StoreUnavailableError):
        error = error.__cause__ if isinstance(error.__cause__, DatabaseError) else AutoReconnect()
    if persistent_problem(error) is not None:
        return None
    if isinstance(error, ServerSelectionTimeoutError):
        return "MongoDB has no primary that can be reached"
    if isinstance(error, AutoReconnect):
        return "MongoDB does not answer"
    # A write that a majority has not confirmed: its primary stepped down meanwhile, or ends.
    unconfirmed = isinstance(error, WriteConcernError) and error.code not in NEVER_CONFIRMED
    if unconfirmed or (
        isinstance(error, OperationFailure)
        and (error.timeout or error.code == READ_CONCERN_NOT_YET)
    ):
        return "MongoDB's primary has no majority of its replica set behind it"
    return None
