"""Frames of the session protocol that the server sends; those of a feature stand in its package.

What is stored in the log is in `rtserver.model.events`.
"""

from typing import Any, Literal

import msgspec

from rtserver.delivery.wire_forms import (
    EVENT_STREAMS,
    Encoding,
    sockjs_message,
    sockjs_websocket_message,
    sse_event,
    sse_position,
    stream_part,
    websocket_frame,
)
from rtserver.model.close_codes import ADVICE, CloseCode, retry_after_ms
from rtserver.model.errors import AnsweredError
from rtserver.model.field_types import ConnectionId, EventId, Moment, ProjectId, ProposalId, UserId
from rtserver.model.run import RunJson
from rtserver.sessions.client_messages import RequestId


class Resume(msgspec.Struct):
    """How a session took up where the client left off.

    Attributes:
        outcome: `fresh` (none asked for), `nothing_missed`, `replayed`, `lost`.
        requested: the position that the client asked for.
        replayed: events that follow the welcome before live ones. Pieces of a model's reply come
            joined, and count each.
        lost: events that are gone for good; None where nobody can tell.
    """

    outcome: Literal["fresh", "nothing_missed", "replayed", "lost"]
    requested: str | None = None
    replayed: int = 0
    lost: int | None = 0


class HorizonJson(msgspec.Struct):
    """How far back a client can resume without a gap, as it was a few seconds ago at most.

    Attributes:
        oldest: the oldest event that can still be sent; None where there is none.
        seconds: how long ago it was stored; 0 where there is none.
    """

    oldest: EventId | None
    seconds: int


class HeartbeatTimes(msgspec.Struct):
    """When the server pings, and how long it waits for the pong."""

    ping_interval_s: float
    pong_timeout_s: float


class Limits(msgspec.Struct):
    """What a client may send, and how much may wait for it."""

    max_message_bytes: int
    outbox_bytes: int
    messages_per_s: float


class SessionFrame(msgspec.Struct, tag_field="type", kw_only=True):
    """A frame of this session alone: not stored, without an id."""


class AnyWelcome(SessionFrame):
    """What the first frame of every session has that was let in.

    Attributes:
        position: where the log stands.
        ts: the server's time, by which clients tell how long their token will do.
    """

    connection_id: ConnectionId
    user_id: UserId
    name: str
    position: EventId
    horizon: HorizonJson
    resume: Resume
    heartbeat: HeartbeatTimes
    limits: Limits
    token_expires_at: Moment
    ts: Moment


class Welcome(AnyWelcome, tag="welcome"):
    """The first frame of a session that was let in.

    Attributes:
        position: where the log stands.
        ts: the server's time, by which clients tell how long their token will do.
    """

    project_id: ProjectId
    active_runs: list[RunJson]


class Gap(SessionFrame, tag="gap"):
    """Events after `requested` are gone: fetch the state anew from `refetch`."""

    requested: str
    oldest_available: EventId | None
    lost: int | None
    refetch: str


class PositionFrame(SessionFrame, tag="position"):
    """Where the log stands, for a client that was not sent the last events."""

    id: EventId


class Ack(SessionFrame, tag="ack", kw_only=True):
    """A command was carried out. What it led to stands beside the `request_id`."""

    request_id: RequestId = None


class ViewAck(Ack):
    """The answer to `view`: from `position` on, these proposals are viewed; none: all."""

    proposal_ids: list[ProposalId]
    position: EventId


class RefreshAck(Ack):
    """The answer to `refresh_token`."""

    token_expires_at: Moment


class ReplayAck(Ack):
    """The answer to `replay`: the events from `from` up to `position`, then live ones, follow."""

    from_: EventId = msgspec.field(name="from")
    position: EventId


class ErrorFrame(SessionFrame, tag="error", omit_defaults=True):
    """A message or command was refused. `error` is for people, `reason` for programs."""

    error: str
    reason: str
    request_id: RequestId = None
    details: dict[str, Any] = msgspec.field(default_factory=dict)


class ClosingFrame(SessionFrame, tag="closing"):
    """Sent before the server closes."""

    code: CloseCode
    reason: str
    reconnect: bool
    retry_after_ms: int | None


def turned_away(
    code: CloseCode, reason: str | None = None, retry_after_s: int | None = None
) -> ClosingFrame:
    """What is said before a close.

    Args:
        code: see `ADVICE`, which has the words and the wait unless they are given.
        reason: in words.
        retry_after_s: when the client will be let in as it is, where that is known.
    """
    advice = ADVICE[code]
    given_ms = None if retry_after_s is None else retry_after_s * 1000
    return ClosingFrame(
        code=code,
        reason=reason or advice.reason,
        reconnect=advice.reconnect or given_ms is not None,
        retry_after_ms=retry_after_ms(code) if given_ms is None else given_ms,
    )


def turned_away_by(error: AnsweredError) -> ClosingFrame:
    """What is said where a session cannot begin because of an error."""
    code = error.close_code
    words = str(error)
    if code is CloseCode.UNAUTHORIZED:
        words = f"Unauthorized: {words}"
    return turned_away(code, words, error.retry_after_s)


_encode = msgspec.json.Encoder().encode


def encode_frame(frame: SessionFrame) -> bytes:
    """The frame as JSON."""
    return _encode(frame)


def wrap_frame(encoding: Encoding, payload: bytes, kind: str) -> bytes:
    """A session frame in the wire form of a transport."""
    match encoding:
        case Encoding.WEBSOCKET:
            return websocket_frame(payload)
        case Encoding.SSE | Encoding.SSE_CHUNKED:
            return stream_part(encoding, sse_event(payload, event=kind))
        case Encoding.SOCKJS:
            return sockjs_message(payload)
        case Encoding.SOCKJS_WEBSOCKET:
            return sockjs_websocket_message(payload)


def wrap_position(encoding: Encoding, event_id: str) -> bytes:
    """A `position` frame; on SSE a block that moves Last-Event-ID and dispatches nothing."""
    if encoding in EVENT_STREAMS:
        return stream_part(encoding, sse_position(event_id))
    return wrap_frame(encoding, encode_frame(PositionFrame(id=event_id)), "position")
