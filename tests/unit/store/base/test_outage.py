"""`store.base.outage`."""

import pytest
from pymongo.errors import (
    ConfigurationError,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from rtserver.model.errors import StoreUnavailableError
from store.base.client import Database
from store.base.outage import require_majority, what_is_missing


@pytest.mark.gen_test
async def test_a_majority_is_seen_where_nothing_was_stored_yet(db: Database) -> None:
    await require_majority(db)
    assert await db.list_collection_names() == []


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (ServerSelectionTimeoutError("none"), "no primary"),
        (NetworkTimeout("late"), "answer"),
        (NotPrimaryError("not me"), "answer"),
        (ExecutionTimeout("late", 50), "majority"),
        (WTimeoutError("late", 64), "majority"),
        (WriteConcernError("stepped down", 189), "majority"),
        (OperationFailure("not yet", 134), "majority"),
        (StoreUnavailableError("no tail"), "answer"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_what_passes_by_itself_is_named(error: Exception, word: str) -> None:
    missing = what_is_missing(error)
    assert missing is not None
    assert word in missing


@pytest.mark.parametrize(
    "error",
    [
        OperationFailure("no such user", 18),
        WriteConcernError("no such mode", 79),
        ConfigurationError("bad"),
        ValueError("bad"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_somebody_has_to_mend_is_no_outage(error: Exception) -> None:
    assert what_is_missing(error) is None


def test_an_error_of_the_core_is_as_good_as_its_cause() -> None:
    refused = StoreUnavailableError("not now")
    refused.__cause__ = OperationFailure("no such user", 18)
    assert what_is_missing(refused) is None
