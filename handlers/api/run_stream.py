"""`/api/v1/runs/{run_id}/stream`: a run's events by the Durable Streams protocol, its read half.

The protocol is at https://github.com/durable-streams/durable-streams, `PROTOCOL.md`; the stream is
of its JSON mode: each event is one message.
"""

import asyncio
import random
import time
from typing import Annotated, Any, Literal

import msgspec
from tornado.iostream import StreamClosedError

from handlers.base.api import ApiHandler
from handlers.base.context import HandlerContext
from handlers.base.operations import JSON, Answer, operation
from handlers.base.problems import Problem
from rtserver.model import ids
from rtserver.model.errors import AnsweredError
from rtserver.runs.stream_offsets import BadOffsetError, Offset
from rtserver.runs.stream_reader import Part, RunReader

EVENT_STREAM = "text/event-stream"
BEGINNING, NOW = "-1", "now"
LONG_POLL_S = 20.0
EVENT_STREAM_S = 60.0
"""As the protocol proposes (section "SSE"): who reads on comes back for it."""
CURSOR_EPOCH_S = 1_728_432_000
"""9 October 2024, from which the protocol counts intervals for cursors."""
CURSOR_INTERVAL_S = 20
CURSOR_JITTER_S = (1, 3600)
MAX_CURSOR_DIGITS = 15
STREAM_HEADERS = ("Stream-Next-Offset", "Stream-Up-To-Date", "Stream-Closed", "Stream-Cursor")


def next_cursor(sent: str | None, now_s: float) -> str:
    """The cursor of a live answer (section "Caching and Collapsing"): it never goes back.

    Args:
        sent: what the client had; anything that is no cursor counts as none.
        now_s: Unix time.
    """
    interval = int(now_s - CURSOR_EPOCH_S) // CURSOR_INTERVAL_S
    if sent is None or not (sent.isascii() and sent.isdigit() and len(sent) <= MAX_CURSOR_DIGITS):
        return str(interval)
    known = int(sent)
    if known < interval:
        return str(interval)
    jitter_s = random.randint(*CURSOR_JITTER_S)  # noqa: S311 - tells caches apart, guards nothing
    return str(known + max(1, jitter_s // CURSOR_INTERVAL_S))


class RunStreamQuery(msgspec.Struct):
    """Which part of a stream.

    Attributes:
        offset: after this place: `Stream-Next-Offset` of an earlier answer, `-1` for the beginning,
            `now` for the end. Without it, from the beginning.
        live: what to do where there is nothing more yet: wait for it (`long-poll`), or go on with
            all that comes, as Server-Sent Events (`sse`).
        cursor: `Stream-Cursor` of the answer before.
    """

    offset: Annotated[list[str], msgspec.Meta(max_length=1)] = []
    live: Literal["long-poll", "sse"] | None = None
    cursor: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class RunStreamHandler(ApiHandler):
    """What a run printed and said, from any place in it."""

    _etag: str | None = None
    _reader: RunReader | None = None

    def initialize(self, context: HandlerContext) -> None:
        """Take what the composition root gives."""
        super().initialize(context)
        # Pages of other origins may read it where CORS lets them, and embed it nowhere.
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")

    def compute_etag(self) -> str | None:
        """The part's; Tornado answers 304 by it where `If-None-Match` has it."""
        return self._etag

    def on_connection_close(self) -> None:
        """Wait no longer for a client that has left."""
        if self._reader is not None:
            self._reader.end()
        super().on_connection_close()

    async def head(self, run_id: str) -> None:
        """Say where the stream's end is."""
        reader = await self._open(ids.run_id(run_id), waits=False)
        self.context.run_streams.close(reader)
        self._tell(Part([], reader.tail, is_up_to_date=False))
        self.set_header("Content-Type", JSON)
        self.set_header("Cache-Control", "no-store")
        self.finish()

    @operation(
        "streamRun",
        {
            200: Answer(
                (list[dict[str, Any]],),
                headers=(*STREAM_HEADERS, "ETag"),
                media_types=(JSON, EVENT_STREAM),
                description="The next events, as JSON; with `live=sse` an event stream of them",
            ),
            204: Answer(headers=STREAM_HEADERS, description="Nothing came in time"),
            304: Answer(headers=(*STREAM_HEADERS, "ETag"), description="It is as it was"),
        },
        query=RunStreamQuery,
        problems=(404, 410, 422),
    )
    async def get(self, run_id: str) -> None:
        """Read a run as a durable stream: what it printed and said, from any place in it.

        By the Durable Streams protocol. 410 where the log no longer has what came after `offset`.
        """
        query = self.query(RunStreamQuery)
        asked = query.offset[0] if query.offset else None
        if asked is None and query.live is not None:
            raise Problem(400, f"live={query.live} needs an offset", "invalid")
        offset = _offset(asked)
        reader = await self._open(ids.run_id(run_id), waits=query.live is not None)
        handed_on = False
        try:
            begin = reader.tail if asked == NOW else await reader.begin(offset)
            if query.live == "sse":
                part = await reader.read(begin)
                handed_on = True
                self._auto_finish = False
                self.context.tasks.start(self._follow(reader, part, query), name="run-stream")
            elif query.live == "long-poll":
                part = await reader.next(begin, self._seconds(LONG_POLL_S))
                self.context.gateway.check(self.identity)  # it may have been a while
                self._answer_poll(begin, part, query)
            elif asked == NOW:
                self._answer(Part([], begin, is_up_to_date=True), "no-store")
            else:
                part = await reader.read(begin)
                self._etag = _entity_tag(reader, begin, part)
                self._answer(part, "private, no-cache")
        finally:
            if not handed_on:
                self.context.run_streams.close(reader)

    async def _open(self, run_id: str, *, waits: bool) -> RunReader:
        reader = await self.context.run_streams.open(self.identity, run_id, waits=waits)
        self._reader = reader
        self.acting.project_id = reader.run.project_id
        return reader

    def _seconds(self, at_most_s: float) -> float:
        """So long, but not beyond the token's end."""
        return max(0.0, min(at_most_s, self.identity.expires_at - time.time()))

    def _tell(self, part: Part) -> None:
        self.set_header("Stream-Next-Offset", str(part.after))
        if part.is_up_to_date:
            self.set_header("Stream-Up-To-Date", "true")
        if part.is_closed:
            self.set_header("Stream-Closed", "true")

    def _answer_poll(self, begin: Offset, part: Part, query: RunStreamQuery) -> None:
        if not part.is_closed:
            self.set_header("Stream-Cursor", next_cursor(query.cursor, time.time()))
        if part.events or not part.is_up_to_date:
            self._etag = _entity_tag(self._reader, begin, part)
            self._answer(part, "private, no-cache")
        else:
            self._tell(part)
            self.set_header("Cache-Control", "no-store")
            self.set_status(204)
            self.finish()

    def _answer(self, part: Part, caching: str) -> None:
        self._tell(part)
        self.set_header("Content-Type", JSON)
        self.set_header("Cache-Control", caching)
        self.finish(_message_list(part))

    async def _follow(self, reader: RunReader, part: Part, query: RunStreamQuery) -> None:
        """Send what comes, until the run ends or it is time to come back."""
        ends_at_s = asyncio.get_running_loop().time() + self._seconds(EVENT_STREAM_S)
        self.set_header("Content-Type", EVENT_STREAM)
        # A compressor gathers before it gives anything out; `no-transform` keeps it away.
        self.set_header("Cache-Control", "no-store, no-cache, no-transform")
        self.set_header("X-Accel-Buffering", "no")
        try:
            while True:
                self.write(_as_events(part, query.cursor))
                await self.flush()
                left_s = ends_at_s - asyncio.get_running_loop().time()
                if part.is_closed or left_s <= 0 or reader.is_ended:
                    break
                wait_s = min(left_s, self.context.ping_interval_s)
                part = await reader.next(part.after, wait_s)
                self.context.gateway.check(self.identity)
        except (AnsweredError, StreamClosedError):
            pass  # who comes back is told why
        finally:
            self.context.run_streams.close(reader)
            if not self._finished:
                self.finish()


def _offset(text: str | None) -> Offset | None:
    """The offset of a query; None is the beginning.

    Raises:
        Problem: 400 where it is no offset.
    """
    if text is None or text in (BEGINNING, NOW):
        return None
    try:
        return Offset.parse(text)
    except BadOffsetError as error:
        raise Problem(400, f"offset: {error}", "invalid") from None


def _entity_tag(reader: RunReader | None, begin: Offset, part: Part) -> str:
    run_id = "" if reader is None else reader.run.run_id
    # The end of a run that closes is another place, so it is in the tag.
    return f'"{run_id}:{begin}:{part.after}"'


def _message_list(part: Part) -> bytes:
    return b"[%b]" % b",".join([event.payload for event in part.events])


def _as_events(part: Part, cursor: str | None) -> bytes:
    """A part as the protocol's events `data` and `control`."""
    control: dict[str, str | bool] = {"streamNextOffset": str(part.after)}
    if part.is_closed:
        control["streamClosed"] = True
    else:
        control["streamCursor"] = next_cursor(cursor, time.time())
        if part.is_up_to_date:
            control["upToDate"] = True
    # JSON has no line ends of its own: those in texts are escaped.
    told = b"event: control\ndata:%b\n\n" % msgspec.json.encode(control)
    return b"event: data\ndata:%b\n\n%b" % (_message_list(part), told) if part.events else told
