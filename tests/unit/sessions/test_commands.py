import json
from typing import Any

import pytest

from rtserver.auth.tokens import TokenRefused
from rtserver.model.identity import Identity
from rtserver.model.visibility import Viewer
from rtserver.sessions.commands import ProjectCommands
from tests.support.fakes import EPOCH, MemoryLog, draft
from tests.unit.sessions.parts import Client, Stage


class FakeGateway:
    """Refreshes tokens as the test says; see `rtserver.sessions.gateway.Gateway`."""

    def __init__(self) -> None:
        self.answer: Identity | TokenRefused = TokenRefused("expired")

    async def refresh(self, _identity: Identity, _token: str) -> Identity:
        if isinstance(self.answer, TokenRefused):
            raise self.answer
        return self.answer


async def joined(gateway: FakeGateway) -> Client:
    """A client that can give the commands of a project's session, with three events behind it."""
    log = MemoryLog()
    stage = Stage(commands=ProjectCommands(gateway, log).table())  # type: ignore[arg-type]
    stage.log.append("p1", draft(), draft(), draft())
    return await stage.joined()


async def said(client: Client, **message: Any) -> dict[str, Any]:
    """The answer to a message."""
    frame: dict[str, Any] = await client.say(json.dumps({"request_id": 1, **message}))
    return frame


@pytest.mark.parametrize(
    ("position", "why"),
    [
        ("nonsense", "replay:"),
        ("ffff-1", "of an earlier log"),
        (f"{EPOCH}-4", "ahead of the log"),
    ],
)
@pytest.mark.gen_test
async def test_a_replay_begins_at_a_place_of_this_log(position: str, why: str) -> None:
    frame = await said(await joined(FakeGateway()), type="replay", **{"from": position})
    assert (frame["type"], frame["reason"]) == ("error", "invalid")
    assert why in frame["error"]


@pytest.mark.gen_test
async def test_a_view_is_answered_with_the_place_from_which_it_holds() -> None:
    client = await joined(FakeGateway())
    frame = await said(client, type="view", proposal_ids=["b", "a", "a"])
    assert (frame["type"], frame["proposal_ids"]) == ("ack", ["a", "b"])
    assert frame["position"] == f"{EPOCH}-3"
    assert client.session.viewer == Viewer("ada", frozenset({"a", "b"}))
    assert client.session.entry.looking_at == {"a", "b"}
    frame = await said(client, type="view", proposal_ids=[], focus=["c"])
    assert frame["proposal_ids"] == []
    assert client.session.viewer == Viewer("ada")
    assert client.session.entry.looking_at == {"c"}
    frame = await said(client, type="view", proposal_ids=["no id!"])
    assert (frame["type"], frame["reason"]) == ("error", "invalid")
    assert client.session.entry.looking_at == {"c"}, "as it was"


@pytest.mark.gen_test
async def test_a_token_that_proves_nothing_changes_nothing() -> None:
    client = await joined(FakeGateway())
    before = client.session.identity
    frame = await said(client, type="refresh_token", token="t")
    assert (frame["type"], frame["reason"]) == ("error", "unauthorized")
    assert client.session.identity is before
    assert not client.session.is_closing()


@pytest.mark.gen_test
async def test_a_session_goes_on_under_a_new_token_that_opens_its_project() -> None:
    gateway = FakeGateway()
    client = await joined(gateway)
    user, end_s = client.session.identity.user_id, client.session.identity.expires_at + 60
    gateway.answer = Identity(user, "Ada L.", frozenset({"p1"}), frozenset(), end_s)
    frame = await said(client, type="refresh_token", token="t")
    assert frame["type"] == "ack"
    assert client.session.identity is gateway.answer
    assert client.session.entry.name == "Ada L."


@pytest.mark.gen_test
async def test_a_session_ends_with_a_new_token_that_does_not_open_its_project() -> None:
    gateway = FakeGateway()
    client = await joined(gateway)
    before = client.session.identity
    gateway.answer = Identity(
        before.user_id, before.name, frozenset({"another"}), frozenset(), before.expires_at
    )
    client.session.on_message('{"type":"refresh_token","token":"t"}')
    await client.session.services.tasks.finish("command", "close-session")
    assert client.frames[-1]["code"] == 4003
    assert client.session.identity is before
