"""Makes of a worker what the conformance tests of the Durable Streams protocol ask for.

They write streams too, and read them as the text that they wrote. So this stands before a worker:
what they write becomes the events of a run, one stream a run, and goes into its log as those of any
other; what they read is the worker's own answer, less the envelope of each event. Status, headers,
offsets and the frames of event streams are passed on as they are.
"""

import asyncio
import base64
import contextlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httputil import HTTPHeaders, parse_response_start_line
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

from rtserver.app.server import Server
from rtserver.eventlog.api import PublicationTooLargeError, at
from rtserver.model.events import EventType
from rtserver.model.run import RunKind, RunState
from rtserver.runs.model import Run
from rtserver.runs.run_log import run_event
from tests.support.tokens import token

BODY_HEADERS = {"content-length", "content-type", "transfer-encoding", "connection", "date"}
TIMEOUT_S = 40.0


@dataclass
class Written:
    """A stream that the tests have made.

    Attributes:
        run: what it is here.
        kind: its media type there.
        count: of the messages so far.
    """

    run: Run
    kind: str
    count: int = 0

    @property
    def is_json(self) -> bool:
        return self.kind.partition(";")[0].strip().lower() == "application/json"

    @property
    def is_text(self) -> bool:
        return self.is_json or self.kind.lower().startswith("text/")

    def messages(self, body: bytes) -> list[str]:
        """What is written, as lines of output."""
        if not self.is_json:
            return [base64.b64encode(body).decode()] if body else []
        value = json.loads(body or b"[]")
        return [json.dumps(one) for one in (value if isinstance(value, list) else [value])]

    def shown(self, events: list[dict[str, Any]], *, as_event: bool = False) -> bytes | None:
        """What the tests are shown of events; None where none of them is theirs."""
        lines = [event["line"] for event in events if event["type"] == "output"]
        if self.is_json:
            return f"[{','.join(lines)}]".encode() if lines or not as_event else None
        content = b"".join(map(base64.b64decode, lines))
        if as_event and not self.is_text:
            content = base64.b64encode(content)
        return content if lines or not as_event else None


class Streams:
    """The streams of a worker that the tests have made."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.written: dict[str, Written] = {}
        self._http = AsyncHTTPClient(force_instance=True, max_clients=1000)

    def url(self, path: str) -> str:
        """Where the worker has a stream."""
        known = self.written.get(path)
        run_id = known.run.run_id if known else "0" * 16
        return f"http://127.0.0.1:{self.server.port}/api/v1/runs/{run_id}/stream"

    def bearer(self, path: str) -> dict[str, str]:
        """The reader of a stream: one each, since a user may wait for few at once."""
        known = self.written.get(path)
        return {"Authorization": f"Bearer {token(known.run.proposal_id if known else 'ada')}"}

    async def make(self, path: str, kind: str) -> Written:
        """Begin a run."""
        name = f"s{len(self.written)}"
        features = self.server.features
        run = Run(
            run_id=secrets.token_hex(8),
            kind=RunKind.VALIDATION,
            project_id=name,
            proposal_id=name,
            owner="conformance",
            started_by="ada",
            started_at=datetime.now(UTC),
        )
        run.replay_from = str(at(features.events.writer, 0))
        begun = run_event(run, EventType.VALIDATION_START, {"command": "x", "actor": "ada"})
        await features.documents.runs.create(run, begun)
        self.written[path] = made = Written(run, kind)
        await self._until(path, bool)
        return made

    async def append(self, path: str, messages: list[str]) -> None:
        """Let the run print."""
        written = self.written[path]
        first = written.count + 1
        written.count += len(messages)
        drafts = [
            run_event(written.run, EventType.OUTPUT, {"line": line, "stream": "stdout", "n": n})
            for n, line in enumerate(messages, first)
        ]
        if drafts:
            await self.server.features.events.writer.publish(drafts)

    async def end(self, path: str) -> None:
        """End the run, and wait until its end is told."""
        run = self.written[path].run
        summary = {"exit_code": 0, "duration_ms": 1, "lines": 0}
        fields = {"status": "passed", "summary": summary}
        ended = run_event(run, EventType.VALIDATION_COMPLETE, fields)
        await self.server.features.documents.runs.finish(run, RunState.PASSED, fields, ended)
        await self._until(
            path, lambda events: events[-1:] != [] and events[-1]["type"] == "validation_complete"
        )

    async def _until(self, path: str, holds: Callable[[list[Any]], bool]) -> None:
        events: list[Any] = []
        offset = "-1"
        async with asyncio.timeout(TIMEOUT_S):
            while not holds(events):
                answer = await self.ask(path, f"live=long-poll&offset={offset}")
                offset = answer.headers["Stream-Next-Offset"]
                events += json.loads(answer.body or "[]")

    async def ask(self, path: str, query: str = "", method: str = "GET") -> HTTPResponse:
        """The worker's answer."""
        url = self.url(path) + (f"?{query}" if query else "")
        return await self._fetch(HTTPRequest(url, method, self.bearer(path)))

    async def forward(self, handler: "StreamHandler") -> HTTPResponse:
        """The worker's answer to what the tests ask, event streams as they come."""
        sent = HTTPHeaders(self.bearer(handler.request.path))
        for name in ("If-None-Match", "Origin", "Access-Control-Request-Method"):
            if name in handler.request.headers:
                sent[name] = handler.request.headers[name]
        query = handler.request.query
        url = self.url(handler.request.path) + (f"?{query}" if query else "")
        live = "live=sse" in query
        return await self._fetch(
            HTTPRequest(
                url,
                handler.request.method or "",
                sent,
                header_callback=handler.on_header if live else None,
                streaming_callback=handler.on_chunk if live else None,
                request_timeout=TIMEOUT_S,
            )
        )

    async def _fetch(self, request: HTTPRequest) -> HTTPResponse:
        return await self._http.fetch(request, raise_error=False)


class StreamHandler(RequestHandler):
    """One stream, as the tests see it."""

    def initialize(self, streams: Streams) -> None:
        self.streams = streams
        self.path = self.request.path
        self._lines: list[str] = []
        self._rest = b""

    def set_default_headers(self) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")

    @property
    def kind(self) -> str:
        return self.request.headers.get("Content-Type", "application/octet-stream")

    async def put(self) -> None:
        made = await self.streams.make(self.path, self.kind)
        if self.request.body:
            await self.streams.append(self.path, made.messages(self.request.body))
        await self._written(201)

    async def post(self) -> None:
        closes = self.request.headers.get("Stream-Closed") == "true"
        try:
            messages = self.streams.written[self.path].messages(self.request.body)
        except ValueError:
            messages = []
        if not messages and not closes:
            self.set_status(400)
            return
        try:
            await self.streams.append(self.path, messages)
        except PublicationTooLargeError as error:
            self.set_status(error.status)
            return
        if closes:
            await self.streams.end(self.path)
            self.set_header("Stream-Closed", "true")
        await self._written(204)

    async def _written(self, status: int) -> None:
        answer = await self.streams.ask(self.path, method="HEAD")
        self.set_header("Stream-Next-Offset", answer.headers["Stream-Next-Offset"])
        self.set_header("Content-Type", self.kind)
        self.set_status(status)

    async def head(self) -> None:
        self._pass_on(await self.streams.forward(self))

    async def options(self) -> None:
        self._pass_on(await self.streams.forward(self))

    async def get(self) -> None:
        answer = await self.streams.forward(self)
        if self._lines:  # an event stream, which was passed on as it came
            return
        self._pass_on(answer)
        written = self.streams.written.get(self.path)
        if answer.code == 200 and written is not None:
            events = json.loads(answer.body)
            is_live = "live=" in self.request.query
            if is_live and events and written.shown(events, as_event=True) is None:
                self.set_status(204)  # the run's begin or end alone: nothing of the tests' own
            else:
                self.write(written.shown(events) or b"")

    def _pass_on(self, answer: HTTPResponse) -> None:
        self.set_status(answer.code)
        self._set_headers(answer.headers)

    def _set_headers(self, headers: HTTPHeaders) -> None:
        for name, value in headers.get_all():
            if name.lower() not in BODY_HEADERS:
                self.set_header(name, value)
        written = self.streams.written.get(self.path)
        kind = headers.get("Content-Type", "")
        ours = written is not None and kind == "application/json"
        self.set_header("Content-Type", written.kind if ours and written else kind)

    def compute_etag(self) -> None:
        """None but the worker's."""

    def on_header(self, line: str) -> None:
        """Begin to pass on an event stream."""
        self._lines.append(line)
        if line.strip():
            return
        start = parse_response_start_line(self._lines[0].strip())
        headers = HTTPHeaders.parse("".join(self._lines[1:]))
        if start.code != 200:
            self._lines = []
            return
        self._set_headers(headers)
        written = self.streams.written[self.path]
        if not written.is_text:
            self.set_header("Stream-SSE-Data-Encoding", "base64")

    def on_chunk(self, chunk: bytes) -> None:
        """Pass on what is whole of an event stream, event by event."""
        if not self._lines:
            return
        *events, self._rest = (self._rest + chunk).split(b"\n\n")
        for event in events:
            self._event(event)
        with contextlib.suppress(StreamClosedError):
            self.flush()

    def _event(self, event: bytes) -> None:
        head, _, data = event.partition(b"\ndata:")
        if head == b"event: data":
            shown = self.streams.written[self.path].shown(json.loads(data), as_event=True)
            if shown is None:
                return
            data = b"\ndata:".join(shown.splitlines())
        self.write(b"%b\ndata:%b\n\n" % (head, data))


def streams_of(server: Server) -> Application:
    """The application that the conformance tests ask."""
    return Application([(r"/v1/stream/.*", StreamHandler, {"streams": Streams(server)})])
