"""How far a comment reaches: every frame of hundreds of connections in many projects is counted."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.api import Api, api
from tests.support.event_stream import EventStreamClient, events_path, request_stream
from tests.support.sockets import SocketClient, open_socket
from tests.support.sockjs_polls import hello
from tests.support.tokens import token
from tests.support.workers import Workers

MOST_PROJECTS = 50
MEMBERS = 10
PROPOSALS = ("first", "second")
BYSTANDERS = 4
TRANSPORTS = {0: "sse", 1: "sockjs"}
"""Of members by their number, one of them the author; the others and bystanders use WebSockets."""
AT_ONCE = 40
UNCOUNTED = ("welcome", "position", "presence")


@dataclass
class _Viewer:
    """One connection: whose, and which proposal's comments are to reach it."""

    project_id: str
    user: str
    proposal: str | None
    transport: str = "websocket"
    client: SocketClient | EventStreamClient | None = None
    heard: Counter[str] = field(default_factory=Counter)


def _user(proposal: str, number: int) -> str:
    """The same people in all projects: a leak from one into another would be heard."""
    return f"{proposal}-{number}"


def _viewers(project_id: str) -> list[_Viewer]:
    members = [
        _Viewer(project_id, _user(proposal, number), proposal, TRANSPORTS.get(number, "websocket"))
        for proposal in PROPOSALS
        for number in range(MEMBERS)
    ]
    return members + [_Viewer(project_id, f"nobody-{n}", None) for n in range(BYSTANDERS)]


async def _prepare(service: Api, project_id: str) -> None:
    for proposal in PROPOSALS:
        author, *reviewers = (_user(proposal, number) for number in range(MEMBERS))
        await service.propose(
            project_id, f"{project_id}-{proposal}", author=author, reviewers=reviewers
        )


async def _connect(viewer: _Viewer, address: str, stack: AsyncExitStack) -> None:
    """Connect, and leave it to the stack to close."""
    if viewer.transport == "sse":
        path = events_path(f"{viewer.project_id}-{viewer.proposal}")
        viewer.client = await request_stream(address, path, token=token(viewer.user))
        stack.push_async_callback(viewer.client.close)
        await viewer.client.recv("welcome")
    elif viewer.transport == "sockjs":
        viewer.client = await open_socket(address, path="/sockjs/projects/websocket", token="")
        stack.push_async_callback(viewer.client.close)
        await viewer.client.send(hello(viewer.project_id, viewer.user))
        await viewer.client.welcome()
    else:
        viewer.client = await open_socket(address, viewer.project_id, user=viewer.user)
        stack.push_async_callback(viewer.client.close)
        await viewer.client.welcome()


async def _frames_until(viewer: _Viewer, mark: str) -> list[dict[str, Any]]:
    """All that reached a connection, up to the event that ends the test."""
    client = viewer.client
    async with asyncio.timeout(60):
        match client:
            case SocketClient():
                return await client.recv_until(lambda frame: frame.get("id") == mark, timeout_s=60)
            case EventStreamClient():
                await client.recv_until_id(mark)
                return [block.frame for block in client.blocks if block.event is not None]
    raise AssertionError(f"{viewer.user} was not connected")


async def _hear_until(viewer: _Viewer, mark: str) -> None:
    """Count what reaches a connection."""
    for frame in await _frames_until(viewer, mark):
        if frame["type"] not in UNCOUNTED and frame.get("id") != mark:
            text = frame.get("comment", {}).get("text", "")
            viewer.heard[f"{frame['type']} {text}".strip()] += 1


@pytest.mark.gen_test(timeout=300)
@pytest.mark.parametrize("many", [12, pytest.param(MOST_PROJECTS, marks=pytest.mark.soak)])
async def test_a_comment_reaches_all_of_its_own_and_nobody_else(
    workers_of_reach: tuple[str, str], project: str, many: int
) -> None:
    projects = [f"{project}-{number}" for number in range(many)]
    viewers = [viewer for project_id in projects for viewer in _viewers(project_id)]
    assert sum(viewer.proposal is not None for viewer in viewers) == 20 * many
    gate = asyncio.Semaphore(AT_ONCE)

    async def connect(number: int, viewer: _Viewer) -> None:
        async with gate:
            await _connect(viewer, workers_of_reach[number % 2], stack)

    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(api(one)) for one in workers_of_reach]
        await asyncio.gather(*(_prepare(services[0], project_id) for project_id in projects))
        await asyncio.gather(*(connect(number, viewer) for number, viewer in enumerate(viewers)))
        for number, project_id in enumerate(projects):
            for proposal in PROPOSALS:
                path = f"/api/v1/proposals/{project_id}-{proposal}/comments"
                text = f"{project_id} {proposal}"
                await services[number % 2].post(path, {"text": text})
        marks = {one: await services[0].publish(one, "mark") for one in projects}
        await asyncio.gather(*(_hear_until(viewer, marks[viewer.project_id]) for viewer in viewers))
        sockets = [one.client for one in viewers if isinstance(one.client, SocketClient)]
        await asyncio.gather(*(socket.close() for socket in sockets))
    for viewer in viewers:
        wanted = f"comment_created {viewer.project_id} {viewer.proposal}"
        assert viewer.heard == (Counter([wanted]) if viewer.proposal else Counter())


@pytest.fixture
def workers_of_reach(workers: Workers) -> tuple[str, str]:
    # Renewing a thousand leases every second is not what this is about.
    one, other = workers.start_many(2, max_connections_per_user=MOST_PROJECTS, lease_s=60)
    return one.address, other.address
