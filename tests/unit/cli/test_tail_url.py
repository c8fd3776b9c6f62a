"""`tail --url` against a server: `rtserver.cli.tail_url`."""

import asyncio
import json
import sys

import pytest

from rtserver.app.server import Server
from rtserver.cli.tail_url import RemoteProject, tail_url
from rtserver.eventlog.history import EVERYTHING, EventFilter
from rtserver.model.errors import OperatorError
from tests.support.api import api
from tests.support.tokens import token
from tests.support.waiting import until


def remote(server: Server, signed: str = "", project: str = "p1") -> RemoteProject:
    return RemoteProject(f"http://127.0.0.1:{server.port}", signed or token("ada"), project)


@pytest.mark.gen_test
async def test_it_prints_what_is_stored_and_what_follows(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    async with api(f"127.0.0.1:{server.port}") as service:
        first = await service.publish("p1", 1, type="build.step")
        second = await service.publish("p1", "\u202e2", type="other.kind")
        assert (
            await tail_url(remote(server), None, EventFilter(frozenset({"build.*"})), follow=False)
            == 0
        )
        assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [first]
        following = asyncio.create_task(tail_url(remote(server), first, EVERYTHING, follow=True))
        printed = ""

        def has_come() -> bool:
            nonlocal printed
            printed += capsys.readouterr().out
            return printed.endswith("\n")

        await until(has_come, "the second event")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    # A terminal would turn the line round.
    assert "\u202e" not in printed
    assert (json.loads(printed)["id"], json.loads(printed)["data"]) == (second, "\u202e2")


@pytest.mark.gen_test
async def test_what_is_in_the_way_is_said(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OperatorError, match="RTSERVER_TOKEN"):
        await tail_url(RemoteProject("http://x", "", "p1"), None, EVERYTHING, follow=True)
    with pytest.raises(OperatorError, match="http://"):
        await tail_url(RemoteProject("x", "t", "p1"), None, EVERYTHING, follow=True)
    elsewhere = remote(server, token("eve", "elsewhere"))
    with pytest.raises(OperatorError, match="does not open the project"):
        await tail_url(elsewhere, None, EVERYTHING, follow=True)
    monkeypatch.setitem(sys.modules, "rtserver_client", None)
    with pytest.raises(OperatorError, match="pip install rtserver-client"):
        await tail_url(remote(server), None, EVERYTHING, follow=True)
