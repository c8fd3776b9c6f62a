"""`store.webhooks.dead_letters`."""

import pytest

from rtserver.webhooks.message import WebhookMessage
from rtserver.webhooks.ports import DeadLetter
from store.base.client import connect
from store.webhooks.dead_letters import DEAD_LETTERS, MongoDeadLetters
from tests.support.mongo import MongodProcess


@pytest.mark.gen_test
async def test_letters_are_kept_once_and_in_order(mongod: MongodProcess, database: str) -> None:
    client = connect(mongod.uri)
    letters = MongoDeadLetters(client[database])
    await letters.prepare()
    await letters.prepare()
    assert (await client[database][DEAD_LETTERS].options())["capped"]
    given = [
        DeadLetter(WebhookMessage(f"msg_{n}", b"{}", 5.0), "ci", "p1", "status 503")
        for n in (2, 1, 3)
    ]
    for letter in (*given, given[0], DeadLetter(given[0].message, "other", "p1", "why")):
        await letters.add(letter)
    assert [one async for one in letters.listed("ci")] == given
    await letters.remove("msg_1")
    assert [one async for one in letters.listed("ci")] == [given[0], given[2]]
    client.close()
