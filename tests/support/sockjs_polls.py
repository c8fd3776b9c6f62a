"""SockJS's xhr-polling spoken by hand, so that every frame and every response can be looked at."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tests.support.api import NO_TLS
from tests.support.documents import check_frame
from tests.support.people import People
from tests.support.tokens import token as signed_token

RECV_S = 30.0

Frame = dict[str, Any]


class PolledSession:
    """A session on xhr-polling.

    Attributes:
        url: of the session.
        responses: the body of every poll.
        frames: every frame of the session that came, but for `presence`, which comes at any time.
        people: what the `presence` frames say.
        closed: code and reason of SockJS's close frame.
    """

    def __init__(self, http: httpx2.AsyncClient, base: str) -> None:
        self.http = http
        self.url = f"{base}/000/{uuid.uuid4().hex}"
        self.responses: list[str] = []
        self.frames: list[Frame] = []
        self.people = People()
        self.closed: tuple[int, str] | None = None
        self._checked = base == "/sockjs/projects"  # an echo's frames are the client's

    async def poll(self) -> str:
        """One request; the frame that it was answered with."""
        answer = await self.http.post(f"{self.url}/xhr")
        if answer.status_code != 200:
            raise AssertionError(f"poll: {answer.status_code} {answer.text}")
        body = answer.text.removesuffix("\n")
        self.responses.append(body)
        if body.startswith("a"):
            for frame in map(json.loads, json.loads(body[1:])):
                if self._checked:
                    check_frame(frame, "sockjs")
                if frame["type"] == "presence":
                    self.people.take(frame)
                else:
                    self.frames.append(frame)
        elif body.startswith("c"):
            code, reason = json.loads(body[1:])
            self.closed = (code, reason)
        return body

    async def send(self, *messages: object, status: int = 204) -> None:
        """Send messages in one request: text as it is, anything else as JSON."""
        texts = [text if isinstance(text, str) else json.dumps(text) for text in messages]
        answer = await self.http.post(f"{self.url}/xhr_send", content=json.dumps(texts))
        if answer.status_code != status:
            raise AssertionError(f"send: {answer.status_code} {answer.text}")

    async def recv_type(self, wanted: str) -> Frame:
        """Poll until a frame of this type has come; frames that came before count."""
        async with asyncio.timeout(RECV_S):
            while True:
                for frame in self.frames:
                    if frame["type"] == wanted:
                        return frame
                await self.poll()

    async def recv_closed(self) -> tuple[int, str]:
        """Poll until the session is closed."""
        async with asyncio.timeout(RECV_S):
            while self.closed is None:
                await self.poll()
        return self.closed

    @property
    def events(self) -> list[Frame]:
        """The stored events among the frames."""
        return [frame for frame in self.frames if "id" in frame and frame["type"] != "position"]


def hello(project_id: str = "p1", user: str = "ada", **fields: object) -> Frame:
    """The first message."""
    fields.setdefault("token", signed_token(user))
    return {"type": "hello", "project_id": project_id, **fields}


@asynccontextmanager
async def polled(
    address: str,
    greeting: Frame | None = None,
    base: str = "/sockjs/projects",
    *,
    from_ip: str = "127.0.0.1",
) -> AsyncIterator[PolledSession]:
    """A session that is open, and was sent a greeting where one is given."""
    way = httpx2.AsyncHTTPTransport(local_address=from_ip, verify=NO_TLS)
    async with httpx2.AsyncClient(
        base_url=f"http://{address}", timeout=RECV_S, trust_env=False, transport=way
    ) as http:
        session = PolledSession(http, base)
        opened = await session.poll()
        if opened != "o":
            raise AssertionError(f"not opened: {opened}")
        if greeting is not None:
            await session.send(greeting)
        yield session
