"""Who sees what: views of proposals, named users, and the position of those who are passed over."""

import asyncio

import pytest

from tests.integration.conftest import Pair
from tests.support.api import Api, api
from tests.support.sockets import SocketClient, session


async def publish_some(service: Api, project: str) -> list[str]:
    return [
        await service.publish(project, "all"),
        await service.publish(project, "a", proposal_id="a"),
        await service.publish(project, "b", proposal_id="b"),
        await service.publish(project, "b, for all", proposal_id="b", audience="project"),
        await service.publish(project, "ben", audience={"users": ["ben", "zoe"]}),
        await service.publish(project, "end"),
    ]


async def seen(client: SocketClient) -> list[object]:
    frames = await client.recv_until(lambda frame: frame.get("data") == "end")
    return [frame["data"] for frame in frames if "data" in frame]


@pytest.mark.gen_test
async def test_each_sees_what_is_for_them(pair: Pair, project: str) -> None:
    everyone = ["all", "a", "b", "b, for all", "end"]
    async with (
        session(pair.one.address, project, user="ada") as whole,
        session(pair.other.address, project, user="ben") as named,
        session(pair.one.address, project, user="ada", proposal_ids=["a"]) as only_a,
        session(pair.other.address, project, user="ada", proposal_ids=["a", "b"]) as both,
        api(pair.one.address) as service,
    ):
        await publish_some(service, project)
        assert await seen(whole) == everyone
        assert await seen(named) == ["all", "a", "b", "b, for all", "ben", "end"]
        assert await seen(only_a) == ["all", "a", "b, for all", "end"]
        assert await seen(both) == everyone


@pytest.mark.gen_test
async def test_view_command_narrows_and_widens(pair: Pair, project: str) -> None:
    async with session(pair.one.address, project) as client, api(pair.other.address) as service:
        answer = await client.ask("view", proposal_ids=["b", "c"])
        assert answer["type"] == "ack"
        assert answer["proposal_ids"] == ["b", "c"]
        await publish_some(service, project)
        assert await seen(client) == ["all", "b", "b, for all", "end"]
        assert (await client.ask("view", proposal_ids=[]))["proposal_ids"] == []
        await publish_some(service, project)
        assert await seen(client) == ["all", "a", "b", "b, for all", "end"]


@pytest.mark.gen_test
@pytest.mark.parametrize("proposal_ids", [["../x"], [""], [f"p{n}" for n in range(101)], "a", [1]])
async def test_view_that_cannot_be_is_refused_and_changes_nothing(
    pair: Pair, project: str, proposal_ids: object
) -> None:
    async with (
        session(pair.one.address, project, proposal_ids=["a"]) as client,
        api(pair.one.address) as service,
    ):
        answer = await client.ask("view", proposal_ids=proposal_ids)
        assert (answer["type"], answer["reason"]) == ("error", "invalid")
        await publish_some(service, project)
        assert await seen(client) == ["all", "a", "b, for all", "end"]


@pytest.mark.gen_test
async def test_passed_over_client_learns_the_position(pair: Pair, project: str) -> None:
    async with (
        session(pair.one.address, project, proposal_ids=["a"]) as client,
        session(pair.one.address, project) as whole,
        api(pair.other.address) as service,
    ):
        last = [await service.publish(project, n, proposal_id="b") for n in range(20)][-1]
        while client.last_event_id != last:
            assert (await client.recv())["type"] == "position"
        await whole.recv_events(20)
        await client.quiet(1.5)
        await whole.quiet(0.1)
        assert len(client.frames) <= 4  # the welcome, and one a second: not one an event
    async with session(
        pair.other.address, project, last_event_id=last, proposal_ids=["a"]
    ) as client:
        assert client.frames[0]["resume"]["outcome"] == "nothing_missed"


@pytest.mark.gen_test
async def test_view_is_held_while_resuming(pair: Pair, project: str) -> None:
    async with api(pair.one.address) as service:
        first = await service.publish(project, "first")
        await service.publish_many(project, 400, proposal_id="b")
        last = await service.publish(project, "last", proposal_id="a")
        await service.publish_many(project, 10, proposal_id="b")
        async with session(
            pair.other.address, project, last_event_id=first, proposal_ids=["a"]
        ) as client:
            assert client.frames[0]["resume"]["replayed"] == 1
            assert (await client.recv())["id"] == last
            async with asyncio.timeout(20):
                # What came after the last that it may see moves its position too.
                assert (await client.recv())["id"] == client.frames[0]["position"]
