"""Outboxes: whether every change that was made has its event in the log."""

import asyncio

from tests.support.mongo import MongodProcess

COLLECTIONS = ("proposals", "locks", "runs", "comments")
WAIT_S = 60.0


async def all_told(mongod: MongodProcess, database: str) -> None:
    """Until nothing waits in an outbox.

    A change is in its document a moment before the log says so, and longer where its worker died.
    What is published in between comes before its event, and who stops reading there misses it.

    Raises:
        TimeoutError: something waits for a minute.
    """
    with mongod.client() as client:
        outboxes = [client[database][name] for name in COLLECTIONS]
        async with asyncio.timeout(WAIT_S):
            while any(one.find_one({"outbox.key": {"$exists": True}}) for one in outboxes):  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # it is another process that tells
