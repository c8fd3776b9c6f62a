"""A client's session: the same over WebSocket, SSE and SockJS.

A transport brings bytes in and out. What a session does with them is here: it welcomes, resumes,
catches up, goes live, answers commands, keeps time and closes. It has no queue of held events: a
session that catches up is not live yet, and joins in the same step in which it finds nothing left
to read (see docs/architecture.md, "Resume").
"""

import asyncio
import enum
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog
from msgspec import structs

from rtserver.delivery.dispatcher import Dispatcher
from rtserver.delivery.fanout import chunks
from rtserver.delivery.feed import Channel
from rtserver.delivery.resume import Resumption, decide
from rtserver.delivery.send_buffer import Outbox, Sink
from rtserver.delivery.wire_forms import SEPARATORS, Encoding, join_events
from rtserver.eventlog.api import EventLog
from rtserver.lib.rate_limit import TokenBucket
from rtserver.lib.tasks import TaskOwner
from rtserver.lib.timer_wheel import Timer, TimerWheel
from rtserver.model.close_codes import CloseCode
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import ConflictError, RefusedError, StoreUnavailableError
from rtserver.model.events import StoredEvent, rfc3339
from rtserver.model.identity import Identity
from rtserver.model.ids import BadIdentifier
from rtserver.model.positions import Position
from rtserver.model.visibility import Viewer, visible
from rtserver.sessions.coalesce import TokenBacklog
from rtserver.sessions.messages import (
    Ack,
    Command,
    CommandParser,
    ErrorFrame,
    Gap,
    HeartbeatTimes,
    Limits,
    MessageRefusedError,
    RequestId,
    Resume,
    SessionFrame,
    Welcome,
    encode_frame,
    turned_away,
    type_of,
    wrap_frame,
    wrap_position,
)
from rtserver.sessions.metrics import SessionMetrics
from rtserver.sessions.ports import PresenceKeeper, RunList

MAX_STRIKES = 10
MAX_COMMANDS_IN_FLIGHT = 8
READ_EVENTS = 500
FLUSH_S = 3.0
SLOW_FLUSH_S = 15.0
REPLAY_STALL_S = 30.0
MAX_PART_BYTES = 128 * 1024

_log = structlog.get_logger()


class Transport(Protocol):
    """One connection to a client."""

    @property
    def encoding(self) -> Encoding:
        """Its wire form."""

    @property
    def sink(self) -> Sink:
        """Takes bytes in that form."""

    def ping(self) -> None:
        """Ask the client for a sign of life; `Session.on_pong` reports it."""

    def close(self, code: int, reason: str) -> None:
        """End the connection in an orderly way, after what was written."""

    def abort(self) -> None:
        """Drop the connection."""


class _Gone:
    """The transport of a session whose connection is gone."""

    encoding = Encoding.WEBSOCKET

    @property
    def sink(self) -> Sink:
        """There is none."""
        raise AssertionError("a connection that is gone has no sink")

    def ping(self) -> None:
        """Nobody is there."""

    def close(self, code: int, reason: str) -> None:
        """It is closed."""

    def abort(self) -> None:
        """It is closed."""


_GONE = _Gone()


CommandHandler = Callable[["Session", Any], Awaitable[Ack]]


class CommandTable:
    """The commands of one kind of session.

    Attributes:
        parse: reads a message as one of them.
        handlers: carry them out, by their types.
    """

    def __init__(self, handlers: Mapping[type[Command], CommandHandler]) -> None:
        self.parse = CommandParser(tuple(handlers))
        self.handlers = handlers


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Times and bounds that all sessions share. Sizes in bytes, times in seconds."""

    ping_interval_s: float
    pong_timeout_s: float
    outbox_bytes: int
    max_message_bytes: int
    max_messages_per_s: float
    max_message_burst: int


@dataclass(frozen=True, slots=True)
class SessionServices:
    """What a session needs of the server. One object for all sessions."""

    settings: SessionSettings
    log: EventLog
    dispatcher: Dispatcher
    wheel: TimerWheel
    tasks: TaskOwner
    metrics: SessionMetrics
    commands: CommandTable
    active_runs: RunList
    on_closed: Callable[["Session", "Ended"], None]
    on_refused: Callable[[ConnectionRecord, MessageRefusedError], None]
    presence: PresenceKeeper


@dataclass(frozen=True, slots=True)
class Ended:
    """How a session ended.

    Attributes:
        code: the close code, the server's or the client's; None where there was none.
        reason: the words that went with the server's.
        by_server: whether the server ended it.
    """

    code: int | None
    reason: str
    by_server: bool


class _State(enum.Enum):
    OPENING = "opening"
    LIVE = "live"
    CLOSING = "closing"


class Session:
    """See the module. Attributes are read by the fan-out and by command handlers."""

    __slots__ = (
        "__weakref__",
        "_bucket",
        "_channel",
        "_commands_in_flight",
        "_early",
        "_expiry",
        "_heartbeat",
        "_ping_sent_s",
        "_services",
        "_state",
        "_strikes",
        "_transport",
        "encoding",
        "entry",
        "identity",
        "outbox",
        "viewer",
    )

    def __init__(
        self,
        services: SessionServices,
        transport: Transport,
        identity: Identity,
        entry: ConnectionRecord,
        proposal_ids: frozenset[str] | None,
    ) -> None:
        self._services = services
        self._transport = transport
        self.encoding = transport.encoding
        self.identity = identity
        self.entry = entry
        self.viewer = Viewer(identity.user_id, proposal_ids)
        self.outbox = Outbox(
            transport.sink,
            services.settings.outbox_bytes,
            self._overflowed,
            SEPARATORS[self.encoding],
        )
        self._channel: Channel | None = None
        self._state = _State.OPENING
        self._strikes = 0
        self._commands_in_flight = 0
        self._early: list[Command | MessageRefusedError] | None = []
        self._bucket: TokenBucket | None = None
        self._ping_sent_s: float | None = None
        self._heartbeat = Timer(self._beat)
        self._expiry = Timer(self._expired)

    @property
    def project_id(self) -> str:
        """The project that the session is for."""
        return self.entry.project_id

    def is_closing(self) -> bool:
        """Whether the session has ended or is about to."""
        return self._state is _State.CLOSING

    # Opening and resuming

    def start(self, last_event_id: str | None) -> None:
        """Welcome the client and take up where it left off."""
        services = self._services
        now_s = _now_s()
        services.metrics.connection_opened(self.encoding)
        services.wheel.schedule(self._heartbeat, now_s + services.settings.ping_interval_s)
        self._schedule_expiry()
        services.tasks.start(self._open(last_event_id), name="open-session")

    async def _open(self, last_event_id: str | None) -> None:
        try:
            services = self._services
            channel = await services.dispatcher.open(self.project_id)
            if self.is_closing():
                services.dispatcher.release(channel)
                return
            self._channel = channel
            resumption = await decide(services.log, channel, last_event_id, self._sight(channel))
            if not self.is_closing():
                await self._begin(channel, resumption)
        except StoreUnavailableError as error:
            _log.warning("session_not_opened", project_id=self.project_id, error=str(error))
            self.close(CloseCode.INTERNAL_ERROR)
        except Exception:  # noqa: BLE001 - one session's failure is not the server's
            _log.exception("session_failed", project_id=self.project_id)
            self.close(CloseCode.INTERNAL_ERROR)

    async def _begin(self, channel: Channel, resumption: Resumption) -> None:
        """Welcome the client and send what it missed."""
        # After the tip was fixed: a run that starts meanwhile is then in both, never in none.
        active_runs = await self._services.active_runs.of(self.project_id)
        if self.is_closing():
            return
        self._welcome(
            Welcome(
                **self._welcome_fields(resumption),
                project_id=self.project_id,
                active_runs=active_runs,
            ),
            resumption,
        )
        await self._catch_up(channel, resumption.from_seq)

    def _welcome_fields(self, resumption: Resumption) -> dict[str, Any]:
        """What every welcome says."""
        settings = self._services.settings
        return {
            "connection_id": self.entry.connection_id,
            "user_id": self.identity.user_id,
            "name": self.identity.name,
            "position": self._position(resumption.tip_seq),
            "resume": Resume(
                resumption.outcome.value,
                resumption.requested,
                resumption.replayed,
                resumption.lost,
            ),
            "heartbeat": HeartbeatTimes(settings.ping_interval_s, settings.pong_timeout_s),
            "limits": Limits(
                settings.max_message_bytes, settings.outbox_bytes, settings.max_messages_per_s
            ),
            "token_expires_at": rfc3339(datetime.fromtimestamp(self.identity.expires_at, UTC)),
            "ts": rfc3339(datetime.now(UTC)),
        }

    def _welcome(self, frame: SessionFrame, resumption: Resumption) -> None:
        self._services.metrics.resumed(resumption.outcome)
        self.send(frame)
        if resumption.outcome.value == "lost":
            oldest = resumption.oldest_seq
            self._send_gap_frame(
                resumption.requested or "",
                None if oldest is None else self._position(oldest),
                resumption.lost,
            )
        if self.encoding is Encoding.SSE and resumption.from_seq == resumption.tip_seq:
            # An event stream's client resumes from the last id that it saw, and the welcome has
            # none: without this it would lose what comes between a first and a second connection.
            self.outbox.send(wrap_position(self.encoding, self._position(resumption.tip_seq)))
        if self.is_closing():
            return
        self._services.presence.arrive(self.entry)
        early, self._early = self._early, None
        for message in early or ():
            self._take(message)

    def _position(self, seq: int) -> str:
        return str(Position(self._services.log.epoch, seq))

    def _sight(self, channel: Channel) -> Callable[[StoredEvent], bool]:
        """What this client may see, by its view and the memberships of now."""
        members = channel.members.of
        return lambda event: visible(event.audience, self.viewer, members)

    async def _catch_up(self, channel: Channel, from_seq: int) -> None:
        """Send what came after `from_seq`, then join the live ones without a seam."""
        sees = self._sight(channel)
        seq = from_seq
        passed_over = False
        backlog = TokenBacklog(self._part_bytes)
        while not self.is_closing() and not self._is_held_back(seq):
            if seq >= channel.seq:
                self._send_events(backlog.flush())
                if self.is_closing():
                    return
                # No await since `seq` was compared: nothing can be delivered in between.
                channel.live.add(self)
                if passed_over:
                    channel.behind.add(self)
                if self._state is _State.OPENING:
                    self._state = _State.LIVE
                self._services.presence.greet(self.project_id, self)
                return
            events = channel.recent.after(seq, READ_EVENTS)
            if events is None:
                events = await self._read(channel, seq)
                if events and events[0].seq > seq + 1:
                    self._send_events(backlog.flush())
                    self.send_gap(requested=seq, lost=events[0].seq - seq - 1)
                elif not events:
                    self._send_events(backlog.flush())
                    self.send_gap(requested=seq, lost=channel.seq - seq)
                    seq = channel.seq
                    continue
            if self.is_closing():
                return
            for part in self._parts(events):
                seen = [event for event in part if sees(event)]
                passed_over = len(seen) < len(part) and not (seen and seen[-1] is part[-1])
                seq = part[-1].seq
                if not await self._send_part(backlog.add(seen)):
                    return

    def _is_held_back(self, seq: int) -> bool:  # noqa: ARG002 - for those that can be
        """Whether to stop catching up where `seq` was the last that was sent."""
        return False

    def _parts(self, events: list[StoredEvent]) -> Iterator[list[StoredEvent]]:
        return chunks(events, self._part_bytes)

    def _send_events(self, events: list[StoredEvent]) -> None:
        if events:
            self.outbox.send(join_events(self.encoding, events))

    async def _send_part(self, events: list[StoredEvent]) -> bool:
        """Send some, and wait while too much is on the way; False where the session ended."""
        half = self._services.settings.outbox_bytes // 2
        self._send_events(events)
        return self.outbox.pending_bytes <= half or await self._drained(half)

    @property
    def _part_bytes(self) -> int:
        # What was held back of a reply leaves together with the next part.
        return min(self._services.settings.outbox_bytes // 4, MAX_PART_BYTES)

    async def _read(self, channel: Channel, after: int) -> list[StoredEvent]:
        upto = channel.seq
        packs = await self._services.log.read(
            channel.project_id, after=after, upto=upto, limit=READ_EVENTS
        )
        return [event for pack in packs for event in pack.events(after=after, upto=upto)]

    async def _drained(self, below_bytes: int) -> bool:
        try:
            async with asyncio.timeout(REPLAY_STALL_S):
                await self.outbox.drained(below_bytes)
        except TimeoutError:
            self.close(CloseCode.TOO_SLOW)
        return not self.is_closing()

    # What the fan-out and the server send

    def send(self, frame: SessionFrame) -> None:
        """Send a session frame."""
        kind = type_of(frame)
        self.outbox.send(wrap_frame(self.encoding, encode_frame(frame), kind))

    def send_gap(self, *, requested: int, lost: int) -> None:
        """Say that `lost` events after `requested` are gone."""
        self._send_gap_frame(self._position(requested), self._position(requested + lost + 1), lost)

    def _send_gap_frame(self, requested: str, oldest: str | None, lost: int | None) -> None:
        self.send(
            Gap(
                requested=requested,
                oldest_available=oldest,
                lost=lost,
                refetch=self._refetch(requested),
            )
        )

    def _refetch(self, requested: str) -> str:  # noqa: ARG002 - for those who have a use for it
        """Where to get what a gap left out, or the state that came of it."""
        return f"/api/v1/projects/{self.project_id}"

    def _overflowed(self) -> None:
        if not self.is_closing():
            self._services.metrics.outbox_overflow_total.inc()
            self.close(CloseCode.TOO_SLOW)

    # What the client sends

    def on_message(self, message: str | bytes) -> None:
        """Take a message from the client. One that came before the welcome is answered after."""
        if self.is_closing():
            return
        now_s = _now_s()
        settings = self._services.settings
        if self._bucket is None:
            self._bucket = TokenBucket(
                settings.max_messages_per_s, settings.max_message_burst, now_s
            )
        if not self._bucket.take(now_s):
            self.close(CloseCode.TOO_MANY_MESSAGES)
            return
        received = self._read_message(message)
        if self._early is None:
            self._take(received)
        elif len(self._early) < MAX_COMMANDS_IN_FLIGHT:
            self._early.append(received)
        else:
            self.close(CloseCode.TOO_MANY_MESSAGES)

    def _read_message(self, message: str | bytes) -> Command | MessageRefusedError:
        limit = self._services.settings.max_message_bytes
        try:
            if isinstance(message, bytes):
                raise MessageRefusedError("binary", "Send JSON as text; binary is not taken")
            if len(message.encode("utf-8", "surrogatepass")) > limit:
                raise MessageRefusedError("too_large", f"A message may have {limit} bytes at most")
            return self._services.commands.parse(message)
        except MessageRefusedError as refusal:
            return refusal

    def _take(self, command: Command | MessageRefusedError) -> None:
        if self.is_closing():
            return
        if isinstance(command, MessageRefusedError):
            self.refuse(command)
            return
        self._strikes = 0
        if self._commands_in_flight >= MAX_COMMANDS_IN_FLIGHT:
            self._answer_refusal(
                MessageRefusedError(
                    "busy",
                    f"{MAX_COMMANDS_IN_FLIGHT} commands are under way; wait for an answer first",
                    command.request_id,
                    type_of(command),
                )
            )
            return
        self._commands_in_flight += 1
        self._services.tasks.start(self._run_command(command), name="command")

    def refuse(self, refusal: MessageRefusedError) -> None:
        """Answer a message that cannot be used; close a session that keeps sending such."""
        self._answer_refusal(refusal)
        self._strikes += 1
        if self._strikes >= MAX_STRIKES:
            self.close(CloseCode.PROTOCOL_ERROR, "Too many messages that cannot be used")

    def _answer_refusal(self, refusal: MessageRefusedError) -> None:
        self._services.on_refused(self.entry, refusal)
        self.send_error(refusal.request_id, refusal.reason, str(refusal))

    async def _run_command(self, command: Command) -> None:
        try:
            result = await self._services.commands.handlers[type(command)](self, command)
        except RefusedError as error:
            self.send_error(command.request_id, error.reason, str(error), error.details)
        except BadIdentifier as error:
            self.send_error(command.request_id, "bad_identifier", str(error))
        except StoreUnavailableError as error:
            self.send_error(command.request_id, "unavailable", str(error))
        except Exception:  # noqa: BLE001 - the client gets an answer in any case
            _log.exception("command_failed", command=type(command).__name__)
            self.send_error(
                command.request_id, "internal", "The server could not do this; try again"
            )
        else:
            self.send(structs.replace(result, request_id=command.request_id))
        finally:
            self._commands_in_flight -= 1

    def send_error(
        self,
        request_id: RequestId,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Answer with an `error` frame."""
        self.send(
            ErrorFrame(error=message, reason=reason, request_id=request_id, details=details or {})
        )

    def set_view(self, proposal_ids: frozenset[str] | None) -> None:
        """Narrow what is viewed, from the next event on."""
        self.viewer = Viewer(self.viewer.user_id, proposal_ids)

    def look_at(self, proposal_ids: frozenset[str]) -> None:
        """Say what the user looks at: presence tells the others."""
        if proposal_ids != self.entry.looking_at:
            self._stand(replace(self.entry, looking_at=proposal_ids))

    def _stand(self, entry: ConnectionRecord) -> None:
        if not self.is_closing():
            self.entry = entry
            self._services.presence.move(entry)

    def allows(self, identity: Identity) -> bool:
        """Whether this may go on under another token."""
        return identity.may_open(self.project_id)

    def renew_identity(self, identity: Identity) -> None:
        """Go on under another token of the same user."""
        self.identity = identity
        self._schedule_expiry()
        if identity.name != self.entry.name:
            self._stand(replace(self.entry, name=identity.name))

    def replay(self, from_seq: int) -> None:
        """Send again what came after `from_seq`, then go on live.

        Raises:
            ConflictError: the session is still catching up.
        """
        channel = self._channel
        if channel is None or self not in channel.live:
            raise ConflictError("A replay is under way already", "busy")
        channel.leave(self)
        self._go_on(self._catch_up(channel, from_seq))

    def _go_on(self, work: Coroutine[Any, Any, None]) -> None:
        """Catch up anew, in a task."""
        self._services.tasks.start(self._guarded(work), name="replay-session")

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StoreUnavailableError as error:
            _log.warning("replay_failed", project_id=self.project_id, error=str(error))
            self.close(CloseCode.INTERNAL_ERROR)
        except Exception:  # noqa: BLE001 - else the session would stay, and get nothing more
            _log.exception("session_failed", project_id=self.project_id)
            self.close(CloseCode.INTERNAL_ERROR)

    @property
    def seq(self) -> int:
        """Where the project stands for this session's worker."""
        return self._channel.seq if self._channel is not None else 0

    # Time

    def _beat(self) -> None:
        """The heartbeat timer: a pong is overdue, or it is time for the next ping."""
        now_s = _now_s()
        settings = self._services.settings
        if self._ping_sent_s is not None:
            self.close(CloseCode.NO_PONG)
            return
        self._ping_sent_s = now_s
        self._services.wheel.schedule(self._heartbeat, now_s + settings.pong_timeout_s)
        self._transport.ping()  # last: a transport may know at once that the client is alive

    def on_pong(self) -> None:
        """The client answered a ping."""
        if self._ping_sent_s is None or self.is_closing():
            return
        due_s = self._ping_sent_s + self._services.settings.ping_interval_s
        self._ping_sent_s = None
        self._services.wheel.schedule(self._heartbeat, max(due_s, _now_s()))

    def _schedule_expiry(self) -> None:
        self._services.wheel.schedule(
            self._expiry, _now_s() + self.identity.expires_at - time.time()
        )

    def _expired(self) -> None:
        self.close(CloseCode.UNAUTHORIZED, "Unauthorized: the token expired")

    # Ending

    def close(self, code: CloseCode, reason: str | None = None) -> None:
        """Say why, then end the connection."""
        if self.is_closing():
            return
        closing = turned_away(code, reason)
        reason = closing.reason
        self._leave(Ended(code.value, reason, by_server=True))
        slow = code is CloseCode.TOO_SLOW
        # The last that is sent: an answer of a command that is still under way would come after
        # the close frame, where nothing may follow (RFC 6455 section 5.5.1).
        self.outbox.last_words(
            wrap_frame(self.encoding, encode_frame(closing), "closing"), drop_waiting=slow
        )
        if self.outbox.pending_bytes == 0:
            self._transport.close(code, reason)
        else:
            self._services.tasks.start(
                self._close_when_drained(code, reason, SLOW_FLUSH_S if slow else FLUSH_S),
                name="close-session",
            )

    async def _close_when_drained(self, code: CloseCode, reason: str, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self.outbox.drained()
        except TimeoutError:
            self._transport.abort()
        else:
            self._transport.close(code, reason)

    def on_disconnect(self, code: int | None) -> None:
        """The connection is gone."""
        if not self.is_closing():
            self._leave(Ended(code, "", by_server=False))
        self.outbox.close()
        # What a session and its connection hold of each other would wait for the collector, which
        # looks at what is old so seldom that it would look like a leak.
        self._heartbeat.forget()
        self._expiry.forget()
        self._transport = _GONE

    def _leave(self, ended: Ended) -> None:
        self._state = _State.CLOSING
        services = self._services
        services.wheel.cancel(self._heartbeat)
        services.wheel.cancel(self._expiry)
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.leave(self)
            services.dispatcher.release(channel)
        if self._early is None:  # it was welcomed
            services.presence.depart(self.entry)
        services.metrics.connection_closed(self.encoding, ended.code)
        services.on_closed(self, ended)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
