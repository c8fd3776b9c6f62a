"""An OpenAI-compatible endpoint that answers as a test tells it to.

It is the demo's server (`rtserver.demo.completions_server`) with other answers. An answer is a
coroutine function of a request; those here cover what goes wrong with real endpoints. `LlmServer`
lives in the test's own loop, `LlmThread` beside workers that several tests share.
"""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rtserver.demo.completions_server import Answer, CompletionRequest, CompletionsServer, Respond

KEY = "sk-a-secret-key-of-the-tests"
GONE_S = 30.0
POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Served:
    """A request that came, and the answer it gets."""

    request: CompletionRequest
    answer: Answer

    @property
    def body(self) -> bytes:
        """The request as it came."""
        return bytes(self.answer.handler.request.body)

    @property
    def authorization(self) -> str:
        """The header of that name."""
        return str(self.answer.handler.request.headers.get("Authorization", ""))


class LlmServer:
    """The endpoint.

    Attributes:
        respond: answers the next requests; assign another one at any time.
        served: what came, in order.
    """

    def __init__(self, respond: Respond, host: str = "127.0.0.1") -> None:
        self.respond = respond
        self._host = host
        self.served: list[Served] = []
        self._came = asyncio.Event()
        self._server = CompletionsServer(self._serve)

    @property
    def base_url(self) -> str:
        """For `RT_LLM_BASE_URL`."""
        return self._server.base_url

    async def _serve(self, request: CompletionRequest, answer: Answer) -> None:
        self.served.append(Served(request, answer))
        self._came.set()
        await self.respond(request, answer)

    async def asked(self, count: int = 1, timeout_s: float = 30.0) -> Served:
        """The `count`-th request, once it is there."""
        async with asyncio.timeout(timeout_s):
            while len(self.served) < count:
                self._came.clear()
                await self._came.wait()
        return self.served[count - 1]

    async def __aenter__(self) -> "LlmServer":
        self._server.start(self._host)
        return self

    async def __aexit__(self, *_error: object) -> None:
        for served in self.served:
            served.answer.gone.set()
        await self._server.stop()


@asynccontextmanager
async def llm_server(respond: Respond, host: str = "127.0.0.1") -> AsyncIterator[LlmServer]:
    """An endpoint that answers all requests alike."""
    async with LlmServer(respond, host) as server:
        yield server


class LlmThread:
    """An endpoint in a thread of its own, whose answers depend on the proposal that it is about.

    Attributes:
        answers: by proposal id; what is not in it gets a short reply without files.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Respond] = {}
        self._served: dict[str, list[Served]] = {}
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server = LlmServer(self._respond)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        if not self._started.wait(30):
            raise RuntimeError("the endpoint did not start")

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with self._server:
            self._started.set()
            await self._stop.wait()

    async def _respond(self, request: CompletionRequest, answer: Answer) -> None:
        found = re.search(r"^The proposal (\S+) \(", request.prompt, re.MULTILINE)
        proposal_id = found[1] if found else ""
        self._served.setdefault(proposal_id, []).append(Served(request, answer))
        await self.answers.get(proposal_id, says("There is nothing to do."))(request, answer)

    @property
    def base_url(self) -> str:
        """For `RT_LLM_BASE_URL`."""
        return self._server.base_url

    async def asked(self, proposal_id: str, count: int = 1, timeout_s: float = 30.0) -> Served:
        """The `count`-th request for a proposal, once it is there."""
        await until(lambda: self.count(proposal_id) >= count, timeout_s)
        return self._served[proposal_id][count - 1]

    def count(self, proposal_id: str) -> int:
        """How many requests for a proposal there were."""
        return len(self._served.get(proposal_id, []))

    def stop(self) -> None:
        """End it; answers under way are cut."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)


class Gate:
    """Lets a reply go on when a test says so; may be opened from another thread."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def open(self) -> None:
        """Let everything through."""
        self._open.set()

    async def passed(self, answer: Answer) -> None:
        """Return when it is open, or the client is gone."""
        await until(lambda: self._open.is_set() or answer.gone.is_set(), GONE_S * 4)


def says_in_parts(
    gate: Gate, before: Iterable[str], after: Iterable[str], *, pause_s: float = 0.0
) -> Respond:
    """A reply of which the second part comes when the gate is opened."""
    first, second = list(before), list(after)

    async def respond(_request: CompletionRequest, answer: Answer) -> None:
        for piece in first:
            await answer.text(piece)
            await asyncio.sleep(pause_s)
        await gate.passed(answer)
        for piece in second:
            await answer.text(piece)
        await answer.finish()

    return respond


async def left(served: Served, timeout_s: float) -> None:
    """Return when the client has closed a request."""
    await until(served.answer.gone.is_set, timeout_s)


async def until(
    condition: Callable[[], bool], timeout_s: float = 30.0, *, poll_s: float = POLL_S
) -> None:
    """Return when something is so that happens in another thread or process.

    Raises:
        TimeoutError: it did not come about.
    """
    async with asyncio.timeout(timeout_s):
        while True:
            if condition():
                return
            await asyncio.sleep(poll_s)


def pieces_of(text: str, size: int = 4) -> list[str]:
    """A text in pieces, as a model would stream it."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def says(text: str | Iterable[str], *, pause_s: float = 0.0, finish: str = "stop") -> Respond:
    """A reply without trouble: a text, or its pieces."""
    pieces = pieces_of(text) if isinstance(text, str) else list(text)

    async def respond(_request: CompletionRequest, answer: Answer) -> None:
        for piece in pieces:
            await answer.text(piece)
            await asyncio.sleep(pause_s)
        await answer.finish(finish)

    return respond


def hangs(after: Iterable[str] = ()) -> Respond:
    """Nothing more comes after some pieces, until the client goes."""
    pieces = list(after)

    async def respond(_request: CompletionRequest, answer: Answer) -> None:
        for piece in pieces:
            await answer.text(piece)
        async with asyncio.timeout(GONE_S):
            await answer.gone.wait()

    return respond


def fails(status: int, message: str = "", **headers: str) -> Respond:
    """An error document."""

    async def respond(_request: CompletionRequest, answer: Answer) -> None:
        answer.handler.set_status(status)
        answer.handler.set_header("Content-Type", "application/json")
        for name, value in headers.items():
            answer.handler.set_header(name.replace("_", "-"), value)
        answer.handler.finish({"error": {"message": message, "type": "error"}})

    return respond


def sends(raw: bytes, *, content_type: str = "text/event-stream") -> Respond:
    """Bytes as they are, then the end of the answer."""

    async def respond(_request: CompletionRequest, answer: Answer) -> None:
        answer.handler.set_header("Content-Type", content_type)
        await answer.raw(raw)

    return respond


def resets(after: Iterable[str] = (), *, within: bytes = b"") -> Respond:
    """The connection is reset (RST) after some pieces, and some bytes of one more."""
    pieces = list(after)

    async def respond(_request: CompletionRequest, answer: Answer) -> None:
        for piece in pieces:
            await answer.text(piece)
        if within:
            await answer.raw(within)
        if pieces or within:
            await asyncio.sleep(0.05)  # what was sent would otherwise be dropped with it
        connection = answer.handler.request.connection
        stream = connection.stream  # type: ignore[union-attr]  # HTTP1Connection has one
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()

    return respond


def endless(piece: str = "and so on ") -> Respond:
    """A reply without end, as fast as it is taken."""

    async def respond(_request: CompletionRequest, answer: Answer) -> None:
        while not answer.gone.is_set():
            await answer.text(piece)

    return respond


def one_by_one(*responds: Respond) -> Respond:
    """The first request gets the first answer, and so on; the last one all that follow."""
    left = list(responds)

    async def respond(request: CompletionRequest, answer: Answer) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request, answer)

    return respond
