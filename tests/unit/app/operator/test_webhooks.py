"""`rtserver.app.operator.webhooks`, beside a worker's logs."""

from pathlib import Path

import pytest

from rtserver.app.operator.webhooks import SentAgain, operator_webhooks
from rtserver.model.errors import OperatorError
from rtserver.model.positions import Position
from rtserver.webhooks.message import WebhookMessage
from rtserver.webhooks.ports import DeadLetter
from rtserver.webhooks.schedule import FeedState
from tests.support.mongo import MongodProcess
from tests.support.webhook_receiver import SECRET, receiver
from tests.unit.app.parts import build_kept, foundation, settings_of


@pytest.mark.gen_test
async def test_letters_are_sent_again_until_one_is_not_accepted(
    mongod: MongodProcess, database: str, tmp_path: Path
) -> None:
    async with receiver() as there:
        settings = settings_of(
            tmp_path,
            mongodb_uri=mongod.uri,
            mongodb_database=database,
            webhook_hosts="127.0.0.1",
            webhook_private="on",
            webhooks=f'[{{"id":"ci","url":"{there.url}","secret":"{SECRET}","projects":["p1"]}}]',
        )
        async with foundation(settings) as base:
            await build_kept(base)
            async with operator_webhooks(settings) as access:
                with pytest.raises(OperatorError, match="no endpoint 'cd'"):
                    await access.send_again("cd")
                with pytest.raises(OperatorError, match="yet"):
                    await access.enable("ci")
                await access.places.claim("ci", "one")
                await access.places.note("ci", "one", "p1", FeedState(Position("abcd", 1)))
                await access.enable("ci")
                for n in range(2):
                    message = WebhookMessage(f"msg_{n}", b"{}", 5.0)
                    await access.letters.add(DeadLetter(message, "ci", "p1", "why"))
                there.status = 503
                assert await access.send_again("ci") == SentAgain(0, "status 503")
                there.status = 200
                assert await access.send_again("ci") == SentAgain(2, None)
                assert await access.send_again("ci") == SentAgain(0, None)
    assert [id_ for id_, _ in there.got] == ["msg_0", "msg_0", "msg_1"]
