"""`rtserver.cli.webhooks`: what is printed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rtserver.app.operator.webhooks import SentAgain
from rtserver.cli import webhooks as cli_webhooks
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError
from rtserver.model.positions import Position
from rtserver.webhooks.message import WebhookMessage
from rtserver.webhooks.ports import DeadLetter, HeldEndpoint
from rtserver.webhooks.schedule import FeedState
from tests.unit.app.parts import settings_of


class Access:
    """In the place of `WebhookAccess`, its places and its letters.

    Attributes:
        sent: what comes of sending again.
    """

    sent = SentAgain(2, None)

    def __init__(self) -> None:
        self.places = self.letters = self

    async def enable(self, endpoint_id: str) -> None:
        pass

    async def send_again(self, _endpoint_id: str) -> SentAgain:
        return self.sent

    def listed(self, *given: str) -> Any:
        return self._letters() if given else self._held()

    async def _held(self) -> dict[str, HeldEndpoint]:
        position = Position("abcd", 7)
        feeds = {"p1": FeedState(position), "p2": FeedState(position, 2, 0.0, 5.0)}
        return {"ci": HeldEndpoint(feeds, "it answered 410 Gone")}

    async def _letters(self) -> AsyncIterator[DeadLetter]:
        yield DeadLetter(WebhookMessage("msg_1", b"{}", 0.0), "ci", "p1", "status 503\x1b")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    @asynccontextmanager
    async def opened(_settings: Settings) -> AsyncIterator[Access]:
        yield Access()

    monkeypatch.setattr(cli_webhooks, "operator_webhooks", opened)
    return settings_of(tmp_path)


@pytest.mark.gen_test
async def test_what_there_is_is_shown(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await cli_webhooks.webhooks(settings, "status", None)
    assert capsys.readouterr().out.splitlines() == [
        "ci: disabled, it answered 410 Gone",
        "ci p1: told up to abcd-7",
        "ci p2: told up to abcd-7, 2 attempts failed since 1970-01-01T00:00:00.000Z, the next is "
        "at 1970-01-01T00:00:05.000Z",
    ]
    await cli_webhooks.webhooks(settings, "dead-letters", "ci")
    out = capsys.readouterr().out
    assert out.startswith("msg_1 p1 1970-01-01T00:00:00.000Z 2 bytes: status 503")
    assert "\x1b" not in out
    await cli_webhooks.webhooks(settings, "enable", "ci")
    assert capsys.readouterr().out == "ci is told again\n"


@pytest.mark.gen_test
async def test_sending_again_fails_where_one_is_not_accepted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await cli_webhooks.webhooks(settings, "send-again", "ci") == 0
    monkeypatch.setattr(Access, "sent", SentAgain(1, "status 503"))
    with pytest.raises(OperatorError, match="status 503"):
        await cli_webhooks.webhooks(settings, "send-again", "ci")
    with pytest.raises(OperatorError, match="needs the id"):
        await cli_webhooks.webhooks(settings, "send-again", None)
