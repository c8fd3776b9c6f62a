"""Comments reach author and reviewers: live, in a replay and in history, by the members of now."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.integration.conftest import Pair
from tests.support.api import Api, api
from tests.support.event_stream import events_path, request_stream
from tests.support.sockets import Frame, SocketClient, session
from tests.support.tokens import token


async def _say(who: Api, proposal_id: str, *texts: str) -> None:
    for text in texts:
        await who.post(f"/api/v1/proposals/{proposal_id}/comments", {"text": text})


def _said(frames: list[Frame]) -> list[str]:
    return [frame["comment"]["text"] for frame in frames if frame["type"] == "comment_created"]


async def _up_to_mark(service: Api, client: SocketClient, project: str) -> list[Frame]:
    """Everything that came for the client until now."""
    mark = await service.publish(project, "mark")
    return await client.recv_until(lambda frame: frame.get("id") == mark)


async def _heard(service: Api, client: SocketClient, project: str) -> list[str]:
    return _said(await _up_to_mark(service, client, project))


async def _in_history(pair: Pair, user: str, project: str) -> list[str]:
    async with api(pair.one.address, user, ()) as reader:
        page = await reader.get(f"/api/v1/projects/{project}/events?limit=1000")
    return _said(page["events"])


@pytest.mark.gen_test
async def test_author_and_reviewers_on_every_worker_and_nobody_else(
    pair: Pair, project: str
) -> None:
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(api(pair.one.address))
        await service.propose(project, project, author="ada", reviewers=["ben"])
        viewers = {
            (user, worker.port, tuple(view)): await stack.enter_async_context(
                session(worker.address, project, user=user, proposal_ids=view)
            )
            for user in ("ada", "ben", "eve", "svc")
            for worker in (pair.one, pair.other)
            for view in ([], ["something-else"])
        }
        eve = await stack.enter_async_context(
            api(
                pair.other.address,
                "eve",
                (),
            )
        )
        made = await eve.post(
            f"/api/v1/proposals/{project}/comments", {"text": "  Why not?\n\nI'd say so. "}
        )
        for (user, _, _), client in viewers.items():
            frames = [
                frame
                for frame in await _up_to_mark(service, client, project)
                if "id" in frame and frame["type"] not in ("position", "test.event")
            ]
            if user in ("ada", "ben"):
                [frame] = frames
                assert frame["type"] == "comment_created"
                assert frame["comment"] == made
                assert frame["proposal_id"] == project
                assert frame["actor"] == "eve"
            else:
                assert frames == []
        assert made["text"] == "Why not?\n\nI'd say so."
        assert (made["author"], made["proposal_id"]) == ("eve", project)
    assert await _in_history(pair, "ben", project) == ["Why not?\n\nI'd say so."]
    for user in ("eve", "svc"):
        assert await _in_history(pair, user, project) == []


@pytest.mark.gen_test
async def test_event_streams_too(pair: Pair, project: str) -> None:
    async with api(pair.one.address) as service:
        await service.propose(project, project, author="ada")
        streams = {
            user: await request_stream(pair.other.address, events_path(project), token=token(user))
            for user in ("ada", "eve")
        }
        try:
            for stream in streams.values():
                await stream.recv("welcome")
            await _say(service, project, "hello")
            await service.put(f"/api/v1/projects/{project}/lock")
            for stream in streams.values():
                await stream.recv("lock_changed")
            assert _said(streams["ada"].events) == ["hello"]
            assert _said(streams["eve"].events) == []
        finally:
            for stream in streams.values():
                await stream.close()


@pytest.mark.gen_test
async def test_a_reviewer_removed_while_away_gets_no_backlog(pair: Pair, project: str) -> None:
    path = f"/api/v1/proposals/{project}"
    async with api(pair.one.address) as service:
        await service.propose(project, project, author="ada", reviewers=["ben"])
        async with session(pair.one.address, project, user="ben") as ben:
            await _say(service, project, "seen")
            assert await _heard(service, ben, project) == ["seen"]
            last = ben.last_event_id
        await _say(service, project, "while away")
        await service.patch(path, {"reviewers": []})
        await _say(service, project, "afterwards")
        for worker in (pair.one, pair.other):
            async with session(worker.address, project, user="ben", last_event_id=last) as ben:
                assert await _heard(service, ben, project) == []
                resume = ben.frames[0]["resume"]
                assert resume["outcome"] == "replayed"
                assert resume["replayed"] <= 1 + 2  # the change, and marks of this test
        assert await _in_history(pair, "ben", project) == []
        assert await _in_history(pair, "ada", project) == ["seen", "while away", "afterwards"]


@pytest.mark.gen_test
async def test_one_added_gets_what_comes_from_then_on_and_nothing_earlier(
    pair: Pair, project: str
) -> None:
    path = f"/api/v1/proposals/{project}"
    async with api(pair.one.address) as service:
        await service.propose(project, project, author="ada")
        async with session(pair.one.address, project, user="ben") as ben:
            last = ben.frames[0]["position"]
            await _say(service, project, "before")
            assert await _heard(service, ben, project) == []
        await service.patch(path, {"reviewers": ["ben"]})
        await _say(service, project, "after")
        for worker in (pair.one, pair.other):
            async with session(worker.address, project, user="ben", last_event_id=last) as ben:
                assert await _heard(service, ben, project) == ["after"]
                assert (await ben.ask("replay", **{"from": last}))["type"] == "ack"
                assert await _heard(service, ben, project) == ["after"]
        assert await _in_history(pair, "ben", project) == ["after"]


@pytest.mark.gen_test
async def test_membership_changes_under_a_live_connection(pair: Pair, project: str) -> None:
    path = f"/api/v1/proposals/{project}"
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(api(pair.one.address))
        await service.propose(project, project, author="ada", reviewers=["ben"])
        ben = await stack.enter_async_context(session(pair.other.address, project, user="ben"))
        await _say(service, project, "1")
        await service.patch(path, {"reviewers": []})
        await _say(service, project, "2")
        await service.patch(path, {"author": "ben"})
        await _say(service, project, "3")
        await service.patch(path, {"author": "ada", "reviewers": ["ben"]})
        await _say(service, project, "4")
        assert await _heard(service, ben, project) == ["1", "3", "4"]


@pytest.mark.gen_test
async def test_comments_are_read_in_order_and_in_pages(pair: Pair, project: str) -> None:
    path = f"/api/v1/proposals/{project}/comments"
    async with AsyncExitStack() as stack:
        people = [
            await stack.enter_async_context(api(address, name, ()))
            for name, address in (("ada", pair.one.address), ("ben", pair.other.address))
        ]
        await people[0].propose(project, project)
        viewer = await stack.enter_async_context(session(pair.one.address, project))
        assert await people[1].get(path) == {"comments": [], "more": False, "next": None}
        await asyncio.gather(*(_say(who, project, *map(str, range(10))) for who in people * 2))
        told = [frame["comment"] for frame in await viewer.recv_events(40)]
        assert await people[1].get(path) == {"comments": told, "more": False, "next": None}
        times = [comment["created_at"] for comment in told]
        assert times == sorted(set(times))
        read: list[Frame] = []
        page: Frame = {"more": True}
        while page["more"]:
            after = {"after": read[-1]["id"]} if read else {}
            page = await people[0].get(path, params={"limit": 7, **after})
            read += page["comments"]
        assert read == told


@pytest.mark.gen_test
async def test_what_cannot_be_said(pair: Pair, project: str) -> None:
    async with api(pair.one.address, "ada", ()) as ada:
        await ada.propose(project, project)
        path = f"/api/v1/proposals/{project}/comments"
        bad: list[object] = [{}, {"text": ""}, {"text": " \n "}, {"text": 1}, {"text": "\x00"}, []]
        for body in bad:
            await ada.post(path, body, 422)
        await ada.post(path, {"text": "x" * 10_001}, 422)
        await ada.post(path, {"text": "x" * 10_000})
        await ada.post("/api/v1/proposals/nowhere-to-be-found/comments", {"text": "x"}, 404)
        await ada.get(path, 400, params={"limit": "0"})
        await ada.get(path, 400, params={"after": "not an id"})
