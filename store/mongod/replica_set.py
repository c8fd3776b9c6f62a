"""Make a freshly started mongod the writable primary of a one-node replica set."""

import asyncio
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import OperationFailure, PyMongoError

REPLICA_SET = "rtserver"
_ALREADY_INITIALIZED = 23
_POLL_S = 0.02
_DRIVER_TIMEOUT_MS = 5000


class NotWritableYetError(Exception):
    """What stood in the way at the last attempt; for the message when time is up."""


async def become_primary(uri: str, member_host: str, *, timeout_s: float) -> None:
    """Initiate the replica set where it never was, and wait until the node takes writes.

    Args:
        uri: A direct connection to the mongod, which listens already.
        member_host: The node's own address as mongod knows it. It is stored in the database, so it
            should stay true when the data directory is moved.
        timeout_s: How long to wait, in seconds.

    Raises:
        NotWritableYetError: Time is up.
    """
    client: Any = AsyncIOMotorClient(
        uri,
        serverSelectionTimeoutMS=_DRIVER_TIMEOUT_MS,
        connectTimeoutMS=_DRIVER_TIMEOUT_MS,
        socketTimeoutMS=_DRIVER_TIMEOUT_MS,
    )
    obstacle = "mongod did not answer"
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    if await _is_primary(client, member_host):
                        return
                    obstacle = "the election of the primary is not over"
                except PyMongoError as error:
                    obstacle = str(error)
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise NotWritableYetError(obstacle) from None
    finally:
        client.close()


async def _is_primary(client: Any, member_host: str) -> bool:
    hello = await client.admin.command("hello")
    if "setName" not in hello:
        config = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": member_host}]}
        try:
            await client.admin.command("replSetInitiate", config)
        except OperationFailure as error:
            if error.code != _ALREADY_INITIALIZED:  # it was, and is still reading its configuration
                raise
    return bool(hello.get("isWritablePrimary"))
