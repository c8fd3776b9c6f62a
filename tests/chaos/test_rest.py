"""The moment that is called rest is one at which registry and connections were compared."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.chaos.clients import Client, Persona, Stage
from tests.chaos.cluster import Cluster
from tests.chaos.history import HistoryFile, read_history, story_of
from tests.chaos.rest import settle
from tests.chaos.state_checks import places

HEAD = "e0-1"


class Host:
    """A server with one client, to which a second one comes.

    Attributes:
        looks: how often the registry was read.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.looks = 0
        self.clients = [
            Client(Persona(name, name, "websocket", "p", restless=True), stage, random.Random(1))
            for name in ("one", "late")
        ]
        self._welcome(self.clients[0])

    def _welcome(self, client: Client) -> None:
        name = client.who.name
        client.connection_id, client.position = name, HEAD
        people = [{"user_id": one.who.name} for one in self.clients if one.connection_id]
        for one in self.clients:
            one.people.take({"type": "presence", "count": len(people), "present": people})
        self.stage.history.add("open", conn=name, client=name, project_id="p", user=name)
        welcome = {"type": "welcome", "connection_id": name}
        self.stage.history.add("frame", conn=name, frame=welcome)

    async def publish_end(self) -> str:
        return HEAD

    async def snapshot(self, _address: str) -> dict[str, Any]:
        return {"active_runs": [], "lock": None}

    def unfinished(self, _snapshot: dict[str, Any], _head: str) -> list[str]:
        return []

    async def connections(self, _address: str) -> list[dict[str, Any]]:
        """The late one is let in at the first look, and welcomed after the second."""
        self.looks += 1
        if self.looks == 3:
            self._welcome(self.clients[1])
        return [{"id": one.who.name} for one in self.clients]


@pytest.mark.gen_test
async def test_who_comes_between_two_looks_is_listed_and_there(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with HistoryFile(path) as history:
        stage = Stage(cast("Cluster", SimpleNamespace(addresses=["here"])), history)
        host = Host(stage)
        assert await settle(stage, host.clients, host, "p", look_s=0) == HEAD
    story = story_of(read_history(path))
    assert list(places(story)) == []
    assert [one.lasts_at_rest for one in story.connections.values()] == [True, True]
    assert story.rest is not None
    assert story.rest["unrest"] == ""
