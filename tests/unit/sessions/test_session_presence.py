"""What a session tells of itself: it is there from the welcome on, once, until it ends."""

from typing import Any

import pytest

from rtserver.delivery.feed import Subscriber
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import InvalidError
from rtserver.model.identity import Identity
from rtserver.model.visibility import MAX_FOCUSED, MAX_VIEWED, focus_of
from rtserver.sessions.client_messages import View
from rtserver.sessions.server_frames import Ack
from rtserver.sessions.session import Session
from tests.unit.sessions.parts import Stage


class Told:
    """See `rtserver.sessions.ports.PresenceKeeper`."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def arrive(self, entry: ConnectionRecord) -> None:
        self.told.append(("arrive", entry.user_id))

    def greet(self, project_id: str, viewer: Subscriber) -> None:
        assert viewer is not None
        self.told.append(("greet", project_id))

    def move(self, entry: ConnectionRecord) -> None:
        self.told.append(("move", sorted(entry.looking_at), entry.name))

    def depart(self, entry: ConnectionRecord) -> None:
        self.told.append(("depart", entry.user_id))


async def _look(session: Session, command: View) -> Ack:
    session.look_at(focus_of(command.focus, frozenset(command.proposal_ids) or None))
    return Ack()


@pytest.mark.gen_test
async def test_from_the_welcome_to_the_end() -> None:
    presence = Told()
    stage = Stage(presence=presence, commands={View: _look})
    client = await stage.joined()
    assert presence.told == [("arrive", "ada"), ("greet", "p1")]
    # A replay leaves the live ones for a while; what was told meanwhile did not come.
    client.session.replay(0)
    await stage.idle()
    assert presence.told[2:] == [("greet", "p1")]
    await client.say('{"type": "view", "proposal_ids": ["x"]}')
    await client.say('{"type": "view", "proposal_ids": ["x"]}')
    await client.say('{"type": "view", "proposal_ids": [], "focus": ["y"]}')
    assert presence.told[3:] == [("move", ["x"], ""), ("move", ["y"], "")]
    client.session.on_disconnect(None)
    client.session.on_disconnect(None)
    client.session.look_at(frozenset(["z"]))
    assert presence.told[5:] == [("depart", "ada")]


@pytest.mark.gen_test
async def test_who_never_was_welcomed_never_was_there() -> None:
    presence = Told()
    stage = Stage(presence=presence)
    stage.log.failures = 1
    client = stage.client()
    client.session.start(None)
    await stage.idle()
    other = stage.client()
    other.session.start(None)
    other.session.on_disconnect(None)
    await stage.idle()
    assert len(stage.ended) == 2
    assert presence.told == []


@pytest.mark.gen_test
async def test_another_token_may_have_another_name() -> None:
    presence = Told()
    stage = Stage(presence=presence)
    client = await stage.joined()
    old = client.session.identity
    new = Identity(old.user_id, "Ada L.", old.projects, old.roles, old.expires_at + 60)
    client.session.renew_identity(new)
    client.session.renew_identity(new)
    assert presence.told[2:] == [("move", [], "Ada L.")]
    client.session.on_disconnect(None)


def test_what_is_looked_at_is_the_focus_or_what_is_viewed() -> None:
    viewed = frozenset(["a", "b"])
    assert focus_of(None, viewed) is viewed
    assert focus_of(None, None) == frozenset()
    assert focus_of([], viewed) == frozenset()
    assert focus_of(["c"], viewed) == {"c"}
    many = [f"p{n:03}" for n in range(MAX_VIEWED)]
    assert focus_of(many, None) == set(many[:MAX_FOCUSED])
    with pytest.raises(InvalidError):
        focus_of([*many, "one-more"], None)
    with pytest.raises(InvalidError):
        focus_of(["no such id!"], None)
