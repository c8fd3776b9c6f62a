"""What the client does when a connection ends: `rtserver_client.reader`."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from rtserver_client import MemoryPositions, StoppedError
from rtserver_client.reader import Reader
from rtserver_client.tokens import Tokens, TokenSource

Frame = dict[str, Any]


class Script:
    """A server that does what it was told, one connection after the other.

    Attributes:
        asked: address and token of each connection.
    """

    def __init__(self, *connections: list[Frame]) -> None:
        self._connections = iter(connections)
        self.asked: list[tuple[str, str]] = []

    async def serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        offered = socket.request.headers["Sec-WebSocket-Protocol"]
        self.asked.append((socket.request.path, offered.partition(", ")[2]))
        for frame in next(self._connections):
            await socket.send(json.dumps(frame))


@contextlib.asynccontextmanager
async def reading(
    script: Script, positions: MemoryPositions, token: TokenSource = "fixed"
) -> AsyncIterator[Reader]:
    async with serve(script.serve, "127.0.0.1", 0, subprotocols=["bearer"]) as server:  # type: ignore[list-item]
        port = server.sockets[0].getsockname()[1]
        yield Reader(f"http://127.0.0.1:{port}", "p1", ["c1"], Tokens(token), positions)


def welcome(outcome: str, position: str) -> Frame:
    return {"type": "welcome", "position": position, "resume": {"outcome": outcome}}


def closing(code: int, *, reconnect: bool, wait_ms: int | None = None) -> Frame:
    said = {"code": code, "reason": "as the test wants", "reconnect": reconnect}
    return {"type": "closing", **said, "retry_after_ms": wait_ms}


async def _read(reader: Reader, handle: Callable[[Any], None]) -> None:
    async with contextlib.aclosing(reader.events()) as events:
        async for event in events:
            handle(event)


async def _until_stopped(reader: Reader, handle: Callable[[Any], None]) -> StoppedError:
    with pytest.raises(StoppedError) as stopped:
        await _read(reader, handle)
    return stopped.value


@pytest.mark.gen_test
async def test_it_comes_back_with_the_event_that_was_handled_last() -> None:
    script = Script(
        [
            welcome("fresh", "e-4"),
            {"type": "a.b", "id": "e-5"},
            {"type": "presence"},
            closing(1001, reconnect=True, wait_ms=0),
        ],
        [
            welcome("replayed", "e-6"),
            {"type": "a.b", "id": "e-6"},
            {"type": "position", "id": "e-9"},
            closing(1001, reconnect=True, wait_ms=0),
        ],
        [closing(4009, reconnect=False)],
    )
    positions, got = MemoryPositions(), list[str]()
    async with reading(script, positions) as reader:
        stopped = await _until_stopped(reader, lambda event: got.append(event["id"]))
    assert got == ["e-5", "e-6"]
    assert [path for path, _ in script.asked] == [
        "/ws/projects/p1?proposal_id=c1",
        "/ws/projects/p1?proposal_id=c1&last_event_id=e-5",
        "/ws/projects/p1?proposal_id=c1&last_event_id=e-9",
    ]
    assert stopped.code == 4009


@pytest.mark.gen_test
async def test_a_gap_is_told_before_the_position_moves_over_it() -> None:
    script = Script(
        [
            welcome("lost", "f-3"),
            {
                "type": "gap",
                "requested": "e-1",
                "oldest_available": None,
                "lost": 3,
                "refetch": "/x",
            },
            closing(4003, reconnect=False),
        ]
    )
    positions, at = MemoryPositions("e-1"), list[tuple[str, str | None]]()
    async with reading(script, positions) as reader:
        await _until_stopped(reader, lambda event: at.append((event.requested, positions.position)))
    assert at == [("e-1", "e-1")]
    assert positions.position == "f-3"


@pytest.mark.gen_test
async def test_a_refused_token_is_renewed_once() -> None:
    refused = closing(4001, reconnect=False)
    script = Script([refused], [welcome("fresh", "e-1"), refused], [refused], [])
    given = iter(["first", "second", "third", "fourth"])
    async with reading(script, MemoryPositions(), lambda: next(given)) as reader:
        stopped = await _until_stopped(reader, lambda event: None)
    # A connection that was had shows that the token was good: its end is another matter.
    assert [token for _, token in script.asked] == ["first", "second", "third"]
    assert stopped.code == 4001


@pytest.mark.gen_test
async def test_a_fixed_token_that_is_refused_ends_it() -> None:
    script = Script([closing(4001, reconnect=False)])
    async with reading(script, MemoryPositions()) as reader:
        assert (await _until_stopped(reader, lambda event: None)).code == 4001


@pytest.mark.gen_test
async def test_a_token_that_is_not_valid_yet_is_tried_again() -> None:
    script = Script([closing(4001, reconnect=True, wait_ms=1)], [closing(4400, reconnect=False)])
    async with reading(script, MemoryPositions()) as reader:
        assert (await _until_stopped(reader, lambda event: None)).code == 4400
