"""`GET /api/v1/proposals/{id}/events`: a session as an event stream (HTML standard, section 9.2).

The response is chunked, since clients that read by blocks (Python's `requests`) are told by a chunk
alone that there is something to be had. HTTP/1.0 has no chunks; there it ends with its connection
(RFC 9112 sections 6.1 and 6.3). The chunks are part of the wire form: a batch that was joined once
for all connections is sent to each as it is, as to a WebSocket.
"""

import random
from typing import ClassVar

import msgspec
from tornado.iostream import IOStream, StreamClosedError

from handlers.base.api import ApiHandler
from handlers.base.context import HandlerContext
from handlers.base.operations import Answer, operation
from handlers.base.problems import Problem, origin_refused
from handlers.base.tornado_socket import StreamSink, detect_dead_peer
from rtserver.audit.record.actions import Action
from rtserver.delivery.send_buffer import Sink
from rtserver.delivery.wire_forms import Encoding, stream_part
from rtserver.lib.tasks import TaskOwner
from rtserver.model import ids
from rtserver.reviews.proposals import Proposal
from rtserver.sessions.request_rates import Counted
from rtserver.sessions.session import Session

MEDIA_TYPE = "text/event-stream"
TRANSPORT = Encoding.SSE.transport
RETRY_MS = (1000, 3000)
"""Proposed to a client whose stream breaks; a random value for each, so that they spread."""
STOP_RETRY_MS = 24 * 3600 * 1000
"""A browser's EventSource can't be told to stay away; this is as good as."""
KEEP_ALIVE = b": keep-alive\n\n"
END_OF_BODY = {Encoding.SSE: b"", Encoding.SSE_CHUNKED: b"0\r\n\r\n"}
MAX_INPUT_BYTES = 64 * 1024


class EventStream:
    """`rtserver.sessions.transport.Transport` on a connection that only the server talks on."""

    def __init__(
        self, stream: IOStream, encoding: Encoding, tasks: TaskOwner, dead_after_s: float
    ) -> None:
        """Take over a connection.

        Args:
            stream: the connection.
            encoding: one of `EVENT_STREAMS`.
            tasks: owns what runs beside.
            dead_after_s: a peer that takes nothing for so long is gone.
        """
        self._stream = stream
        self.encoding = encoding
        self._tasks = tasks
        self.sink: Sink = StreamSink(stream)
        self.session: Session | None = None
        # Nagle's algorithm would hold a small event until the client's kernel acknowledges the one
        # before, which it delays for up to 500 ms (RFC 1122 sections 4.2.3.2 and 4.2.3.4).
        stream.set_nodelay(True)
        detect_dead_peer(stream, dead_after_s)  # `watch` sees the end

    async def watch(self, session: Session) -> None:
        """Wait for the connection's end. The client has nothing to say; if it does, it is cut."""
        received_bytes = 0
        try:
            while received_bytes <= MAX_INPUT_BYTES:
                received_bytes += len(await self._stream.read_bytes(4096, partial=True))
        except StreamClosedError:
            pass  # the end that is waited for
        finally:
            self._stream.close()
            session.on_disconnect(None)

    def ping(self) -> None:
        """Send a comment. Taken off our hands, it counts as a sign of life: see `__init__`."""
        session = self.session
        if session is None:
            return
        session.outbox.send(stream_part(self.encoding, KEEP_ALIVE))
        if session.outbox.pending_bytes == 0:
            session.on_pong()
        else:
            self._tasks.start(self._pong_when_sent(session), name="event-stream-ping")

    async def _pong_when_sent(self, session: Session) -> None:
        await (
            session.outbox.drained()
        )  # ends with the session, at the pong's time-out at the latest
        session.on_pong()

    def close(
        self,
        code: int,  # noqa: ARG002 - the `closing` event said it
        reason: str,  # noqa: ARG002 - likewise
        retry_after_ms: int | None = None,
    ) -> None:
        """Say when to come back, and end the stream."""
        wait_ms = STOP_RETRY_MS if retry_after_ms is None else retry_after_ms
        words = stream_part(self.encoding, b"retry: %d\n\n" % wait_ms)
        self.sink.write(words + END_OF_BODY[self.encoding])
        self._stream.close()  # what it did not take at once it need not know

    def abort(self) -> None:
        """Drop the connection."""
        self._stream.close()


class StreamQuery(msgspec.Struct):
    """Where a stream begins.

    Attributes:
        last_event_id: after this event; the header wins.
    """

    last_event_id: str | None = None


class StreamHeaders(msgspec.Struct):
    """Request headers of a stream.

    Attributes:
        last_event_id: resume after this event.
    """

    last_event_id: str | None = msgspec.field(name="Last-Event-ID", default=None)


class ProposalEventsHandler(ApiHandler):
    """What a viewer of one proposal sees, and what concerns the whole project."""

    audit_actions: ClassVar = {"GET": Action.CONNECTION_DENIED, "HEAD": Action.CONNECTION_DENIED}
    counted = Counted.CONNECTION

    def initialize(self, context: HandlerContext) -> None:
        """Take what the composition root gives."""
        super().initialize(context)
        self.audit_details = {"transport": TRANSPORT}

    async def head(self, proposal_id: str) -> None:
        """Answer as `get` does, less the stream."""
        await self._proposal(proposal_id)
        self._set_stream_headers()
        self.flush()  # here, or a length would be added, which the stream has not
        self.finish()

    @operation(
        "streamEvents",
        {
            200: Answer(
                (str,), media_types=(MEDIA_TYPE,), description="The stream; see asyncapi.json"
            )
        },
        query=StreamQuery,
        headers=StreamHeaders,
        problems=(403, 404, 406),
    )
    async def get(self, proposal_id: str) -> None:
        """Follow what a viewer of a proposal sees, as Server-Sent Events.

        406 where `Accept` excludes `text/event-stream`.
        """
        proposal = await self._proposal(proposal_id)
        last_event_id = self._last_event_id()
        gateway = self.context.gateway
        viewed = frozenset([proposal.proposal_id])
        entry = await gateway.enter(self.identity, proposal.project_id, TRANSPORT, viewed)
        stream = self.detach()
        self._log()
        if stream.closed():
            await gateway.leave(entry)
            return
        chunked = self.request.version != "HTTP/1.0"
        encoding = Encoding.SSE_CHUNKED if chunked else Encoding.SSE
        transport = EventStream(stream, encoding, self.context.tasks, self.context.pong_timeout_s)
        transport.sink.write(self._head(encoding))
        session = self.context.sessions.open(transport, self.identity, entry, viewed)
        transport.session = session
        session.start(last_event_id)
        self.context.tasks.start(transport.watch(session), name="event-stream")

    async def _proposal(self, proposal_id: str) -> Proposal:
        """The proposal, where this request may have its events.

        Raises:
            Problem: 406, or 403.
            NotFoundError: there is no such proposal.
        """
        if not _accepts_stream(self.request.headers.get("Accept")):
            raise Problem(406, f"This is to be had as {MEDIA_TYPE} only", "not_acceptable")
        origin = self.request.headers.get("Origin")
        if not self.context.origins.allows(origin, self.request.host):
            raise origin_refused()
        proposal = await self.context.proposals.get(ids.proposal_id(proposal_id))
        if proposal is None:
            raise Problem(404, f"There is no proposal {proposal_id!r}", "not_found")
        self.acting.project_id = proposal.project_id
        if not self.identity.may_open(proposal.project_id):
            raise Problem(403, "This token does not open the proposal's project", "forbidden")
        return proposal

    def _set_stream_headers(self) -> None:
        self.set_header("Content-Type", MEDIA_TYPE)
        # A compressor gathers before it gives anything out; `no-transform` keeps it away.
        self.set_header("Cache-Control", "no-store, no-transform")
        # nginx, as a proxy, would gather 4 or 8 KiB (`proxy_buffering`).
        self.set_header("X-Accel-Buffering", "no")

    def _head(self, encoding: Encoding) -> bytes:
        """The response's head, and when to come back where it breaks."""
        self._set_stream_headers()
        self.set_header("Connection", "close")
        if encoding is Encoding.SSE_CHUNKED:
            self.set_header("Transfer-Encoding", "chunked")
        lines = [f"{name}: {value}\r\n" for name, value in self._headers.get_all()]
        retry_ms = random.randint(*RETRY_MS)  # noqa: S311 - spreads load, guards nothing
        head = f"HTTP/1.1 200 OK\r\n{''.join(lines)}\r\n".encode("latin1")
        return head + stream_part(encoding, b"retry: %d\n\n" % retry_ms)

    def _last_event_id(self) -> str | None:
        # The header first: a browser that reconnects by itself repeats the address, query
        # included, and says in the header how far it has come since.
        header = self.sent_headers(StreamHeaders).last_event_id
        return header or self.query(StreamQuery).last_event_id


def _accepts_stream(accept: str | None) -> bool:
    """Whether an Accept header takes an event stream (RFC 9110 section 12.5.1)."""
    if accept is None or not accept.strip():
        return True
    quality: dict[str, float] = {}
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality[media_range] = _quality(parameters)
    for media_range in (MEDIA_TYPE, "text/*", "*/*"):  # the most specific one decides
        if media_range in quality:
            return quality[media_range] > 0
    return False


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
