"""A small HTTP server that speaks as much of OpenAI's API as streamed chat completions take.

What it answers is up to whoever makes it: the demo answers with revisions, the tests with all that
can go wrong.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets

MAX_REQUEST_BYTES = 64 * 1024 * 1024

_log = structlog.get_logger()


class ChatMessage(msgspec.Struct):
    """One message of a conversation."""

    role: str
    content: str


class CompletionRequest(msgspec.Struct):
    """What is asked for. Keys that are not here are ignored."""

    model: str
    messages: list[ChatMessage]
    stream: bool = False
    stream_options: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """All that was said, in one text."""
        return "\n\n".join(message.content for message in self.messages)


class Answer:
    """One answer under way.

    Attributes:
        handler: for what the methods here don't offer.
        gone: set when the client has closed the connection.
    """

    def __init__(self, handler: web.RequestHandler, request: CompletionRequest) -> None:
        self.handler = handler
        self.gone = asyncio.Event()
        self._head = {
            "id": f"chatcmpl-{id(self):x}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": request.model,
        }
        self._with_usage = request.stream_options.get("include_usage") is True
        self._pieces = 0
        self._prompt_chars = len(request.prompt)
        handler.set_header("Content-Type", "text/event-stream")
        handler.set_header("Cache-Control", "no-store")

    async def text(self, piece: str) -> None:
        """Send a piece of the reply.

        Raises:
            StreamClosedError: the client is gone.
        """
        self._pieces += 1
        await self._chunk({"delta": {"role": "assistant", "content": piece}})

    async def finish(self, reason: str = "stop") -> None:
        """Say that the reply is at its end, and tell the usage if it was asked for."""
        await self._chunk({"delta": {}, "finish_reason": reason})
        if self._with_usage:
            prompt_tokens = self._prompt_chars // 4
            usage = {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": self._pieces,
                "total_tokens": prompt_tokens + self._pieces,
            }
            await self.data(msgspec.json.encode({**self._head, "choices": [], "usage": usage}))
        await self.data(b"[DONE]")

    async def _chunk(self, choice: dict[str, Any]) -> None:
        choices = [{"index": 0, "finish_reason": None, **choice}]
        await self.data(msgspec.json.encode({**self._head, "choices": choices}))

    async def data(self, data: bytes) -> None:
        """Send the data of one event."""
        await self.raw(b"data: " + data + b"\n\n")

    async def raw(self, data: bytes) -> None:
        """Send bytes of the body as they are."""
        self.handler.write(data)
        await self.handler.flush()


Respond = Callable[[CompletionRequest, Answer], Awaitable[None]]


class _CompletionsHandler(web.RequestHandler):
    def initialize(self, respond: Respond) -> None:
        self._respond = respond
        self._answer: Answer | None = None

    async def post(self) -> None:
        try:
            request = msgspec.json.decode(self.request.body, type=CompletionRequest)
        except msgspec.DecodeError as error:
            self.set_status(400)
            self.finish({"error": {"message": str(error), "type": "invalid_request_error"}})
            return
        self._answer = Answer(self, request)
        try:
            await self._respond(request, self._answer)
        except StreamClosedError:
            self._answer.gone.set()

    def on_connection_close(self) -> None:
        if self._answer is not None:
            self._answer.gone.set()


class CompletionsServer:
    """Serves `POST /v1/chat/completions` on a free port."""

    def __init__(self, respond: Respond) -> None:
        """Make a server.

        Args:
            respond: awaited for each request; it may end early when the answer is `gone`.
        """
        application = web.Application(
            [(r"/v1/chat/completions", _CompletionsHandler, {"respond": respond})],
            log_function=lambda _handler: None,
            autoreload=False,
        )
        self._http = HTTPServer(application, max_body_size=MAX_REQUEST_BYTES)
        self.base_url = ""

    def start(self, host: str = "127.0.0.1") -> None:
        """Listen at an address; `base_url` is set afterwards."""
        sockets = bind_sockets(0, host)
        self.base_url = f"http://{host}:{sockets[0].getsockname()[1]}/v1"
        self._http.add_sockets(sockets)

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        self._http.stop()
        await self._http.close_all_connections()
