"""Messages of the session protocol, typed; those of a feature stand in its package.

Frames are JSON objects with a `type`. A receiver ignores keys that it does not know.
"""

from collections.abc import Sequence
from typing import Any, Literal, Union

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
from rtserver.lib.decode_errors import complaint
from rtserver.model.close_codes import ADVICE, CloseCode, retry_after_ms
from rtserver.model.field_types import ConnectionId, EventId, Moment, ProjectId, ProposalId, UserId
from rtserver.model.run import RunJson

RequestId = str | int | None
MAX_ECHO_CHARS = 256


class Command(msgspec.Struct, tag_field="type", kw_only=True):
    """What a client asks for; `request_id` comes back in the `ack` or `error`."""

    request_id: RequestId = None


def type_of(kind: type[msgspec.Struct] | msgspec.Struct) -> str:
    """The `type` of a kind of message, or of one."""
    return str(kind.__struct_config__.tag)


class View(Command, tag="view"):
    """Narrow what is viewed to these proposals; an empty list views the whole project.

    Attributes:
        proposal_ids: what to get events of.
        focus: what the user looks at, as presence tells it; what is viewed unless given.
    """

    proposal_ids: list[ProposalId]
    focus: list[ProposalId] | None = None


class RefreshToken(Command, tag="refresh_token"):
    """Go on with another token of the same user."""

    token: str


class Replay(Command, tag="replay"):
    """Send again what came after a position, then go on live."""

    from_: EventId = msgspec.field(name="from")


class MessageRefusedError(Exception):
    """A client's message cannot be used.

    Attributes:
        reason: a word for programs: `malformed`, `unknown_type`, `invalid`, `too_large`, `binary`,
            `busy`.
        request_id: taken from the message where it could be read.
        command: the type of the command that it was meant to be, where it names a known one.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        request_id: RequestId = None,
        command: str | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.request_id = request_id
        self.command = command


class CommandParser:
    """Reads clients' messages, where they may be these commands.

    Attributes:
        names: their types.
    """

    def __init__(self, kinds: Sequence[type[Command]]) -> None:
        self.names = [type_of(kind) for kind in kinds]
        self._decode = msgspec.json.Decoder(Union[tuple(kinds)]).decode  # noqa: UP007 - made here

    def __call__(self, text: str) -> Command:
        """Read a message.

        Raises:
            MessageRefusedError: it is not JSON, not an object, of no known type, or lacks
                something.
        """
        try:
            command: Command = self._decode(text)
        except RecursionError:
            raise MessageRefusedError("malformed", "The message is nested too deeply") from None
        except UnicodeError:
            raise MessageRefusedError("malformed", "The message is not valid Unicode") from None
        except msgspec.ValidationError as error:
            raise _explain(text, complaint(error), self.names) from None
        except msgspec.DecodeError as error:
            raise MessageRefusedError("malformed", f"The message is not JSON: {error}") from None
        return command


class Hello(msgspec.Struct, tag_field="type", tag="hello", kw_only=True):
    """A SockJS client's first message: what a WebSocket's address and headers say."""

    project_id: ProjectId
    token: str = ""
    last_event_id: str | None = None
    proposal_ids: list[ProposalId] = []
    focus: list[ProposalId] = []


class SessionQuery(msgspec.Struct):
    """The query of `/ws/projects/{project_id}`.

    Attributes:
        proposal_id: narrows what is viewed to these proposals; none: the whole project.
        focus: what the user looks at, as presence tells it; what is viewed unless given.
        last_event_id: resume after this event.
    """

    proposal_id: list[ProposalId] = []
    focus: list[ProposalId] = []
    last_event_id: str | None = None


_decode_hello = msgspec.json.Decoder(Hello).decode


def parse_hello(text: str | bytes) -> Hello:
    """Read a SockJS client's first message.

    Raises:
        MessageRefusedError: it is no `hello`, or something in it is wrong. The message quotes no
            value: there is a token among them.
    """
    try:
        return _decode_hello(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        said = "The first message must be a hello with project_id and token"
        if isinstance(error, msgspec.ValidationError) and _is_hello(text):
            said = f"hello: {complaint(error)}"
        raise MessageRefusedError("invalid", said) from None


def _is_hello(text: str | bytes) -> bool:
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("type") == "hello"


def _explain(text: str, said: str, names: list[str]) -> MessageRefusedError:
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return MessageRefusedError("malformed", "The message is not JSON")
    if not isinstance(message, dict):
        return MessageRefusedError("malformed", "A message must be a JSON object with a type")
    request_id = message.get("request_id")
    is_text = isinstance(request_id, str) and len(request_id) <= MAX_ECHO_CHARS
    is_number = isinstance(request_id, int) and not isinstance(request_id, bool)
    if not (is_text or is_number):
        request_id = None
    kind = message.get("type")
    if not isinstance(kind, str):
        return MessageRefusedError("malformed", "The message has no type", request_id)
    if kind not in names:
        known = ", ".join(names)
        return MessageRefusedError(
            "unknown_type", f"Unknown type {kind[:64]!r}; known are {known}", request_id
        )
    return MessageRefusedError("invalid", f"{kind}: {said}", request_id, kind)


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


class Welcome(SessionFrame, tag="welcome"):
    """The first frame of a session that was let in.

    Attributes:
        position: where the log stands.
        ts: the server's time, by which clients tell how long their token will do.
    """

    connection_id: ConnectionId
    user_id: UserId
    name: str
    project_id: ProjectId
    position: EventId
    resume: Resume
    heartbeat: HeartbeatTimes
    limits: Limits
    token_expires_at: Moment
    ts: Moment
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


class Person(msgspec.Struct, frozen=True):
    """Somebody who is present, once, however many connections they have.

    Attributes:
        user_id, name: as their token says.
        proposal_ids: what they look at; empty where that is the project as a whole.
    """

    user_id: UserId
    name: str
    proposal_ids: tuple[ProposalId, ...] = ()


class Presence(SessionFrame, tag="presence", omit_defaults=True):
    """Who is present: everyone (`present`), or what changed since the frame before.

    Attributes:
        count: how many people are present, listed or not.
        present: all who are listed; replaces what was known.
        joined: new on the list.
        moved: they look at something else now, or have another name.
        left: ids of those who are off the list.
    """

    count: int
    present: list[Person] | msgspec.UnsetType = msgspec.UNSET
    joined: list[Person] = msgspec.field(default_factory=list)
    moved: list[Person] = msgspec.field(default_factory=list)
    left: list[UserId] = msgspec.field(default_factory=list)


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
