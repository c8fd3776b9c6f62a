"""Clients on every transport that come back whatever happens, and write down what they receive."""

import asyncio
import json
import random
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

import httpx2
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from tests.chaos.cluster import Cluster
from tests.chaos.history import Frame, HistoryFile
from tests.support.api import NO_TLS
from tests.support.event_stream import EventStreamClient, events_path, request_stream
from tests.support.people import People
from tests.support.sockets import open_socket, socket_path
from tests.support.sockjs_polls import hello
from tests.support.tokens import token

SILENCE_S = 6.0
"""So long a client waits for anything at all before it takes its connection for dead."""
CONNECT_S = 5.0
AWAY_S = (0.05, 0.8)
REFUSED_S = 1.0
CHANGES_PLACES_S = (1.0, 4.0)

Received = AsyncGenerator[Frame]


class EndedError(Exception):
    """A connection is over.

    Attributes:
        code: that it was closed with; None where it was cut, or the transport has none.
    """

    def __init__(self, code: int | None = None) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Persona:
    """Who a client is.

    Attributes:
        name: of the client.
        view: the proposals that it is narrowed to; event streams have exactly one.
        restless: it opens and leaves connections, beside others of its user.
    """

    name: str
    user: str
    transport: str
    project_id: str
    view: tuple[str, ...] = ()
    restless: bool = False


@dataclass
class Stage:
    """What clients and whoever else takes part have in common.

    Attributes:
        settling: all is healed; who is restless stays where they are.
        quiet: nothing is published any more, so silence is no sign of death.
        conns: how many connections there were.
    """

    cluster: Cluster
    history: HistoryFile
    settling: bool = False
    quiet: bool = False
    conns: int = 0


@dataclass
class Client:
    """One client. `live` runs until it is cancelled.

    Attributes:
        position: the newest id that it learned of.
        connection_id: of the connection that was welcomed and lasts.
        people: whom it knows of.
        cut: set by whoever cuts its connection.
    """

    who: Persona
    stage: Stage
    chance: random.Random
    position: str | None = None
    connection_id: str | None = None
    people: People = field(default_factory=People)
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    async def live(self) -> None:
        while True:
            stage = self.stage
            stage.conns += 1
            conn, asked = stage.conns, self.position
            stage.history.add(
                "open", conn=conn, client=self.who.name, transport=self.who.transport,
                user=self.who.user, project_id=self.who.project_id, view=list(self.who.view),
                asked=asked,
            )  # fmt: skip
            self.cut.clear()
            code: int | None = None
            try:
                await self._receive(conn, asked)
            except EndedError as ended:
                code = ended.code
            finally:
                self.connection_id = None
                stage.history.add("closed", conn=conn, code=code)
            if code == 4009 and self.who.restless:
                while stage.settling:  # noqa: ASYNC110 - for ever: it was told to stop
                    await asyncio.sleep(1)
            refused = code in (503, 429)
            await asyncio.sleep(REFUSED_S if refused else self.chance.uniform(*AWAY_S))

    async def _receive(self, conn: int, asked: str | None) -> None:
        """Receive until the end of a connection."""
        address = self.chance.choice(self.stage.cluster.addresses)
        until_s = None
        if self.who.restless and not self.stage.settling:
            until_s = asyncio.get_running_loop().time() + self.chance.uniform(*CHANGES_PLACES_S)
        async with aclosing(TRANSPORTS[self.who.transport](self.who, address, asked)) as frames:
            while True:
                frame = await self._next(frames, until_s)
                self.stage.history.add("frame", conn=conn, frame=frame)
                self._learn(frame)

    async def _next(self, frames: Received, until_s: float | None) -> Frame:
        """The next frame, unless there is a reason to go before one comes."""
        coming = asyncio.ensure_future(anext(frames))
        cut = asyncio.ensure_future(self.cut.wait())
        loop = asyncio.get_running_loop()
        silent_from_s = loop.time()
        try:
            while not coming.done():
                await asyncio.wait({coming, cut}, timeout=0.5, return_when="FIRST_COMPLETED")
                is_late = until_s is not None and loop.time() > until_s
                is_silent = loop.time() - silent_from_s > SILENCE_S and not self.stage.quiet
                if not coming.done() and (
                    self.cut.is_set() or is_silent or (is_late and not self.stage.settling)
                ):
                    raise EndedError
            return coming.result()
        except (OSError, TimeoutError, StopAsyncIteration, httpx2.TransportError) as error:
            raise EndedError from error
        except (asyncio.IncompleteReadError, InvalidHandshake, EOFError) as error:
            raise EndedError from error
        finally:
            cut.cancel()
            coming.cancel()
            await asyncio.wait({coming, cut})

    def _learn(self, frame: Frame) -> None:
        if frame["type"] == "welcome":
            self.connection_id = frame["connection_id"]
            self.people = People()
            if frame["resume"]["outcome"] in ("fresh", "lost"):
                self.position = frame["position"]
        elif "id" in frame:
            self.position = frame["id"]
        elif frame["type"] == "presence":
            with suppress(AssertionError, KeyError):  # the checker sees it too, and tells it
                self.people.take(frame)


async def _websocket(who: Persona, address: str, asked: str | None) -> Received:
    path = socket_path(who.project_id, last_event_id=asked, proposal_ids=who.view)
    try:
        async with asyncio.timeout(CONNECT_S):
            client = await open_socket(address, user=who.user, path=path)
    except InvalidStatus as refused:
        raise EndedError(refused.response.status_code) from None
    try:
        while True:
            yield json.loads(await client.ws.recv())
    except ConnectionClosed as closed:
        raise EndedError(closed.rcvd.code if closed.rcvd else None) from None
    finally:
        client.ws.transport.abort()


async def _event_stream(who: Persona, address: str, asked: str | None) -> Received:
    headers = {"Last-Event-ID": asked} if asked else {}
    async with asyncio.timeout(CONNECT_S):
        client = await request_stream(
            address, events_path(who.view[0]), token=token(who.user), headers=headers
        )
    try:
        if client.status != 200:
            raise EndedError(client.status)
        async for frame in _blocks(client):
            yield frame
    finally:
        client.writer.transport.abort()


async def _blocks(client: EventStreamClient) -> Received:
    while True:
        block = await client.recv_any()
        if block.event is not None:
            yield block.frame
        elif "id" in block.fields:
            yield {"type": "position", "id": block.fields["id"]}


def _greeting(who: Persona, asked: str | None) -> Frame:
    where = {"last_event_id": asked} if asked else {}
    return hello(who.project_id, who.user, proposal_ids=list(who.view), **where)


def _session_path() -> str:
    return f"/sockjs/projects/000/{uuid.uuid4().hex}"


def _unpack(text: str) -> list[Frame]:
    """The frames in one of SockJS's own.

    Raises:
        EndedError: it says that the session is closed.
    """
    if text.startswith("c"):
        raise EndedError(json.loads(text[1:])[0])
    return [json.loads(one) for one in json.loads(text[1:])] if text.startswith("a") else []


async def _sockjs_websocket(who: Persona, address: str, asked: str | None) -> Received:
    try:
        async with asyncio.timeout(CONNECT_S):
            client = await open_socket(address, path=f"{_session_path()}/websocket", token="")
    except InvalidStatus as refused:
        raise EndedError(refused.response.status_code) from None
    try:
        await client.ws.send(json.dumps([json.dumps(_greeting(who, asked))]))
        while True:
            for frame in _unpack(str(await client.ws.recv())):
                yield frame
    except ConnectionClosed:
        raise EndedError from None  # its own close codes are the transport's, not the session's
    finally:
        client.ws.transport.abort()


async def _xhr_streaming(who: Persona, address: str, asked: str | None) -> Received:
    url = f"http://{address}{_session_path()}"
    timeout = httpx2.Timeout(CONNECT_S, read=None)
    async with httpx2.AsyncClient(timeout=timeout, trust_env=False, verify=NO_TLS) as http:
        is_greeted = False
        while True:  # a response ends after 128 KiB, and the next goes on
            async with http.stream("POST", f"{url}/xhr_streaming") as answer:
                if answer.status_code != 200:
                    raise EndedError(answer.status_code)
                async for line in answer.aiter_lines():
                    if line == "o" and not is_greeted:
                        is_greeted = True
                        await http.post(
                            f"{url}/xhr_send",
                            content=json.dumps([json.dumps(_greeting(who, asked))]),
                        )
                    for frame in _unpack(line):
                        yield frame


TRANSPORTS = {
    "websocket": _websocket,
    "sse": _event_stream,
    "sockjs_websocket": _sockjs_websocket,
    "xhr_streaming": _xhr_streaming,
}
