"""Validated collections: MongoDB itself checks their documents ($jsonSchema)."""

from typing import Any

import structlog
from pymongo.errors import CollectionInvalid, OperationFailure

from store.base.client import NAMESPACE_EXISTS, Database

USER_ID = {"bsonType": "string", "minLength": 1, "maxLength": 256}
OUTBOX = {
    "bsonType": "array",
    "items": {
        "bsonType": "object",
        "required": ["key", "project_id", "type", "ts"],
        "properties": {
            "key": {"bsonType": "string"},
            "project_id": {"bsonType": "string"},
            "type": {"bsonType": "string"},
            "ts": {"bsonType": "string"},
        },
    },
}
"""Events that wait in a document, see store/base/relay.py."""

_log = structlog.get_logger()


def schema(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """A validator: these keys with these types. Further keys are allowed.

    A later version of the server may add keys while this one is still running beside it.
    """
    return {
        "$jsonSchema": {
            "bsonType": "object",
            "required": list(required),
            "properties": {**required, **(optional or {})},
        }
    }


async def prepare_validated(database: Database, name: str, validator: dict[str, Any]) -> None:
    """Make a collection with a validator, or give it to the one that is there.

    Safe to do concurrently. Documents that are there already and don't fit stay changeable.
    """
    try:
        await database.create_collection(name, validator=validator, validationLevel="moderate")
    except CollectionInvalid:
        pass  # made by an earlier start
    except OperationFailure as error:
        if error.code != NAMESPACE_EXISTS:  # made by another worker meanwhile
            raise
    else:
        return
    reply = await database.command({"listCollections": 1, "filter": {"name": name}})
    if reply["cursor"]["firstBatch"][0]["options"].get("validator") == validator:
        return
    try:
        await database.command(
            {"collMod": name, "validator": validator, "validationLevel": "moderate"}
        )
    except OperationFailure as error:
        # The role readWrite does not allow it. The server's own checks hold either way.
        _log.warning("validator_not_set", collection=name, code=error.code)
