"""A client of `/ws/projects/...` on the `websockets` library, which is not the server's."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self
from urllib.parse import quote, urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConcurrencyError, ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.documents import check_socket_frame
from tests.support.people import People
from tests.support.tokens import token as signed_token

RECV_S = 20.0

Frame = dict[str, Any]


class SocketClosedError(Exception):
    """The server closed while something else was waited for.

    Attributes:
        code, reason: of the close frame.
        frames: all that came before.
    """

    def __init__(self, code: int | None, reason: str, frames: list[Frame]) -> None:
        kinds = [frame["type"] for frame in frames[-10:]]
        super().__init__(f"closed with {code} {reason!r} after {kinds}")
        self.code = code
        self.reason = reason
        self.frames = frames


class SocketClient:
    """One connection.

    Attributes:
        ws: the connection of the `websockets` library, for what is not wrapped here.
        frames: every frame that was received, in order.
        people: what the `presence` frames say, which come at any time and are in `frames` not.
        last_event_id: the newest position that it learned of, as a client would keep it.
    """

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.frames: list[Frame] = []
        self.people = People()
        self.last_event_id: str | None = None
        self._set_aside: list[Frame] = []
        self._path = ws.request.path if ws.request is not None else ""

    @property
    def events(self) -> list[Frame]:
        """The stored events among the frames."""
        return [frame for frame in self.frames if is_event(frame)]

    async def _receive(self, timeout_s: float) -> Frame:
        try:
            async with asyncio.timeout(timeout_s):
                frame = await self._receive_any()
                while frame["type"] == "presence":
                    frame = await self._receive_any()
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
            reason = closed.rcvd.reason if closed.rcvd else ""
            raise SocketClosedError(code, reason, self.frames) from None
        except TimeoutError:
            kinds = [frame["type"] for frame in self.frames[-10:]]
            raise TimeoutError(f"nothing within {timeout_s:g} s after {kinds}") from None
        self.frames.append(frame)
        if frame["type"] == "welcome" and frame["resume"]["outcome"] in ("fresh", "lost"):
            self.last_event_id = frame["position"]
        elif "id" in frame:
            self.last_event_id = frame["id"]
        return frame

    async def _receive_any(self) -> Frame:
        frame: Frame = json.loads(await self.ws.recv())
        check_socket_frame(frame, self._path)
        if frame["type"] == "presence":
            self.people.take(frame)
        return frame

    async def recv_presence(self, timeout_s: float = RECV_S) -> People:
        """Wait until something is told of who is there; other frames stay to be received."""
        told = len(self.people.frames)
        async with asyncio.timeout(timeout_s):
            while len(self.people.frames) == told:
                await self._set_others_aside()
        return self.people

    async def _set_others_aside(self) -> None:
        frame = await self._receive_any()
        if frame["type"] != "presence":
            self.frames.append(frame)
            self._set_aside.append(frame)

    async def sees(self, *names: str, timeout_s: float = RECV_S) -> People:
        """Wait until exactly these users are there; other frames stay to be received.

        Raises:
            TimeoutError: it did not get there.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self.people.names != sorted(names):
                    await self._set_others_aside()
        except TimeoutError:
            there = self.people.names
            raise TimeoutError(f"not {sorted(names)} within {timeout_s:g} s: {there}") from None
        return self.people

    async def recv(self, timeout_s: float = RECV_S) -> Frame:
        """The next frame.

        Raises:
            TimeoutError: none came.
            SocketClosedError: the connection was closed instead.
        """
        if self._set_aside:
            return self._set_aside.pop(0)
        return await self._receive(timeout_s)

    async def recv_until(
        self, wanted: str | Callable[[Frame], bool], timeout_s: float = RECV_S
    ) -> list[Frame]:
        """The frames up to and including the first of this type, or the first that matches."""
        matches = (lambda frame: frame["type"] == wanted) if isinstance(wanted, str) else wanted
        frames: list[Frame] = []
        async with asyncio.timeout(timeout_s):
            while True:
                frames.append(await self.recv(timeout_s))
                if matches(frames[-1]):
                    return frames

    async def recv_type(self, wanted: str, timeout_s: float = RECV_S) -> Frame:
        """The first frame of this type; those before it are passed over."""
        return (await self.recv_until(wanted, timeout_s))[-1]

    async def recv_events(self, count: int, timeout_s: float = RECV_S) -> list[Frame]:
        """The next so many stored events; session frames are passed over."""
        events: list[Frame] = []
        async with asyncio.timeout(timeout_s):
            while len(events) < count:
                frame = await self.recv(timeout_s)
                if is_event(frame):
                    events.append(frame)
        return events

    async def quiet(self, for_s: float = 0.3) -> None:
        """Make sure that nothing comes for a while.

        Raises:
            AssertionError: something came.
        """
        try:
            frame = await self.recv(for_s)
        except TimeoutError:
            return
        raise AssertionError(f"there should be nothing, and there is {frame}")

    async def send(self, command: object) -> None:
        """Send a message: text and bytes as they are, anything else as JSON."""
        await self.ws.send(command if isinstance(command, str | bytes) else json.dumps(command))

    async def ask(self, type_: str, **fields: object) -> Frame:
        """Send a command; the `ack` or `error` that answers it. Others stay to be received."""
        request_id = f"r{len(self.frames)}-{type_}"
        await self.send({"type": type_, "request_id": request_id, **fields})
        while True:
            frame = await self._receive(RECV_S)
            if frame.get("request_id") == request_id and frame["type"] in ("ack", "error"):
                return frame
            self._set_aside.append(frame)

    async def closed(self, timeout_s: float = RECV_S) -> tuple[int | None, Frame]:
        """Wait for the server's close: its code, and the `closing` frame that was the last."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    await self._receive(timeout_s)
        except SocketClosedError as closed:
            if not self.frames or self.frames[-1]["type"] != "closing":
                raise AssertionError(f"no closing frame before: {closed}") from None
            return closed.code, self.frames[-1]

    async def welcome(self) -> Frame:
        """The first frame."""
        frame = await self.recv()
        if frame["type"] != "welcome":
            raise AssertionError(f"the first frame should be a welcome, and is {frame}")
        return frame

    async def vanish(self) -> None:
        """Drop the connection without a word, as a lost network does."""
        self.ws.transport.abort()
        await self.ws.wait_closed()

    async def close(self) -> None:
        """Close in an orderly way.

        What still comes is read over: unread, it would keep back the server's answer to the close.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self.ws.close())
            with suppress(ConnectionClosed, ConcurrencyError):  # a task of the test's may read
                async for _ in self.ws:
                    pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()


def is_event(frame: Frame) -> bool:
    """Whether a frame is a stored event."""
    return "id" in frame and frame["type"] != "position"


def seq_of(event_id: str) -> int:
    """The number in a position."""
    return int(event_id.rpartition("-")[2])


def socket_path(
    project_id: str, *, last_event_id: str | None = None, proposal_ids: Sequence[str] = ()
) -> str:
    """The path and query of a session's address."""
    query = [("proposal_id", proposal_id) for proposal_id in proposal_ids]
    if last_event_id is not None:
        query.append(("last_event_id", last_event_id))
    return f"/ws/projects/{quote(project_id, safe='')}" + (f"?{urlencode(query)}" if query else "")


async def open_socket(
    address: str,
    project_id: str = "p1",
    *,
    user: str = "ada",
    token: str | None = None,
    headers: dict[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    path: str | None = None,
    **where: Any,
) -> SocketClient:
    """Connect, and read nothing yet.

    Args:
        address: host and port: `Worker.address`.
        project_id: the project.
        user: whose token is made where none is given.
        token: sent in the header Authorization; an empty one: none is sent.
        headers: further headers.
        subprotocols: offered to the server.
        path: instead of the one that `project_id` and `where` make.
        where: `last_event_id`, `proposal_ids`.

    Raises:
        websockets.exceptions.InvalidStatus: the server refused the upgrade.
    """
    signed = signed_token(user) if token is None else token
    authorization = {"Authorization": f"Bearer {signed}"} if signed else {}
    ws = await connect(
        f"ws://{address}{socket_path(project_id, **where) if path is None else path}",
        additional_headers={**authorization, **(headers or {})},
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        compression=None,
        max_size=None,
        ping_interval=None,
        open_timeout=RECV_S,
        close_timeout=5,
        proxy=None,
    )
    return SocketClient(ws)


@asynccontextmanager
async def session(
    address: str, project_id: str = "p1", **options: Any
) -> AsyncIterator[SocketClient]:
    """A connection that has been welcomed (its frame is `client.frames[0]`); see `open_socket`."""
    client = await open_socket(address, project_id, **options)
    try:
        await client.welcome()
        yield client
    finally:
        await client.close()
