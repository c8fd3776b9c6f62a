"""Messages of webhooks that were given up, in a capped collection: the oldest make room.

_id the message's, endpoint, project_id, body, made (when its event was, a Unix time), reason, at
"""

import contextlib
from collections.abc import AsyncIterator

from pymongo.errors import CollectionInvalid, DuplicateKeyError, OperationFailure

from rtserver.model.moments import present_moment
from rtserver.webhooks.message import WebhookMessage
from rtserver.webhooks.ports import DeadLetter
from store.base.client import NAMESPACE_EXISTS, Database, core_errors

DEAD_LETTERS = "webhook_dead_letters"
SIZE_BYTES = 64 * 1024 * 1024


class MongoDeadLetters:
    """`rtserver.webhooks.ports.DeadLetters` on MongoDB."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._letters = database[DEAD_LETTERS]

    @core_errors
    async def prepare(self) -> None:
        """Make the collection where there is none."""
        try:
            await self._database.create_collection(DEAD_LETTERS, capped=True, size=SIZE_BYTES)
        except CollectionInvalid:
            return  # it is there
        except OperationFailure as error:
            if error.code != NAMESPACE_EXISTS:
                raise

    @core_errors
    async def add(self, letter: DeadLetter) -> None:
        """See `DeadLetters.add`."""
        with contextlib.suppress(DuplicateKeyError):
            await self._letters.insert_one(
                {
                    "_id": letter.message.id,
                    "endpoint": letter.endpoint_id,
                    "project_id": letter.project_id,
                    "body": letter.message.body,
                    "made": letter.message.at_s,
                    "reason": letter.reason,
                    "at": present_moment(),
                }
            )

    async def listed(self, endpoint_id: str) -> AsyncIterator[DeadLetter]:
        """Those of an endpoint, the oldest first.

        Raises:
            DatabaseError: MongoDB does not answer.
        """
        async for found in self._letters.find({"endpoint": endpoint_id}).sort("$natural", 1):
            yield DeadLetter(
                WebhookMessage(found["_id"], found["body"], found["made"]),
                found["endpoint"],
                found["project_id"],
                found["reason"],
            )

    @core_errors
    async def remove(self, message_id: str) -> None:
        """Take one out: it was accepted after all."""
        await self._letters.delete_one({"_id": message_id})
