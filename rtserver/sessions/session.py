"""A client's session: the same over WebSocket, SSE and SockJS.

A transport brings bytes in and out. What a session does with them is here: it welcomes, resumes,
catches up (`catch_up`), answers messages (`inbox`), keeps time (`heartbeat`) and closes.
"""

import asyncio
import contextlib
import enum
import time
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog
from msgspec.structs import replace as replace_fields

from rtserver.delivery.feed import Feed
from rtserver.delivery.resume import Resumption, Sight, decide
from rtserver.delivery.send_buffer import Outbox
from rtserver.delivery.wire_forms import EVENT_STREAMS, SEPARATORS
from rtserver.eventlog.api import Horizon, at
from rtserver.lib.timer_wheel import Timer
from rtserver.model.close_codes import CloseCode
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import ConflictError, StoreUnavailableError
from rtserver.model.identity import Identity
from rtserver.model.moments import rfc3339
from rtserver.model.visibility import Viewer, visible
from rtserver.sessions.catch_up import CatchUp
from rtserver.sessions.client_messages import MessageRefusedError, RequestId, type_of
from rtserver.sessions.heartbeat import Heartbeat
from rtserver.sessions.inbox import Inbox
from rtserver.sessions.server_frames import (
    ClosingFrame,
    ErrorFrame,
    Gap,
    HeartbeatTimes,
    HorizonJson,
    Limits,
    Resume,
    SessionFrame,
    Welcome,
    encode_frame,
    turned_away,
    wrap_frame,
    wrap_position,
)
from rtserver.sessions.services import Ended, SessionServices
from rtserver.sessions.transport import GONE, Transport

FLUSH_S = 3.0
SLOW_FLUSH_S = 15.0

_log = structlog.get_logger()


class _State(enum.Enum):
    OPENING = "opening"
    """The client was not welcomed yet."""
    OPEN = "open"
    CLOSING = "closing"


class Session:
    """See the module. Attributes are read by the fan-out and by command handlers."""

    __slots__ = (
        "__weakref__",
        "_expiry",
        "_feed",
        "_heartbeat",
        "_inbox",
        "_state",
        "_transport",
        "encoding",
        "entry",
        "identity",
        "outbox",
        "services",
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
        self.services = services
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
        self._feed: Feed | None = None
        self._state = _State.OPENING
        self._inbox: Inbox | None = None
        self._heartbeat = Heartbeat(self)
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
        services = self.services
        services.metrics.connection_opened(self.encoding)
        self._heartbeat.start()
        self._schedule_expiry()
        services.tasks.start(self._open(last_event_id), name="open-session")

    async def _open(self, last_event_id: str | None) -> None:
        with self._closed_on_failure("session_not_opened"):
            services = self.services
            async with services.answering.required():
                feed = await services.dispatcher.open(self.project_id)
                if self.is_closing():
                    services.dispatcher.release(feed)
                    return
                self._feed = feed
                resumption = await decide(services.log, feed, last_event_id, self.sight(feed))
                horizon = await feed.horizon.read(
                    services.log,
                    feed.project_id,
                    tip_seq=resumption.tip_seq,
                    oldest=resumption.oldest_seq,
                )
            if not self.is_closing():
                await self._begin(feed, resumption, horizon)

    @contextlib.contextmanager
    def _closed_on_failure(self, unavailable: str) -> Iterator[None]:
        """End the session where something fails; `unavailable` names in the log that MongoDB did.

        Else it would stay and get nothing more; and one session's failure is not the server's.
        """
        try:
            yield
        except StoreUnavailableError as error:
            _log.warning(unavailable, project_id=self.project_id, error=str(error))
            self.close(CloseCode.INTERNAL_ERROR)
        except Exception:  # noqa: BLE001 - see above
            _log.exception("session_failed", project_id=self.project_id)
            self.close(CloseCode.INTERNAL_ERROR)

    async def _begin(self, feed: Feed, resumption: Resumption, horizon: Horizon) -> None:
        """Welcome the client and send what it missed."""
        # After the tip was fixed: a run that starts meanwhile is then in both, never in none.
        async with self.services.answering.required():
            active_runs = await self.services.active_runs.of(self.project_id)
        if self.is_closing():
            return
        self._welcome(
            Welcome(
                **self._welcome_fields(resumption, horizon),
                project_id=self.project_id,
                active_runs=active_runs,
            ),
            resumption,
        )
        await CatchUp(self, feed).run(resumption.from_seq)

    def _welcome_fields(self, resumption: Resumption, horizon: Horizon) -> dict[str, Any]:
        """What every welcome says."""
        settings = self.services.settings
        return {
            "connection_id": self.entry.connection_id,
            "user_id": self.identity.user_id,
            "name": self.identity.name,
            "position": self._position(resumption.tip_seq),
            "horizon": self._horizon(horizon),
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

    def _horizon(self, horizon: Horizon) -> HorizonJson:
        if horizon.stored_at_s is None:
            return HorizonJson(oldest=None, seconds=0)
        # MongoDB's clock may be ahead of this one.
        seconds = max(0, int(time.time()) - horizon.stored_at_s)
        return HorizonJson(oldest=self._position(horizon.oldest), seconds=seconds)

    def _welcome(self, frame: SessionFrame, resumption: Resumption) -> None:
        self.services.metrics.resumed(resumption.outcome)
        self.send(frame)
        if resumption.outcome.value == "lost":
            oldest = resumption.oldest_seq
            self._send_gap_frame(
                resumption.requested or "",
                None if oldest is None else self._position(oldest),
                resumption.lost,
            )
        if self.encoding in EVENT_STREAMS and resumption.from_seq == resumption.tip_seq:
            # An event stream's client resumes from the last id that it saw, and the welcome has
            # none: without this it would lose what comes between a first and a second connection.
            self.outbox.send(wrap_position(self.encoding, self._position(resumption.tip_seq)))
        if self.is_closing():
            return
        self._state = _State.OPEN
        self.services.presence.arrive(self.entry)
        if self._inbox is not None:
            self._inbox.open()

    def _position(self, seq: int) -> str:
        return str(at(self.services.log, seq))

    def sight(self, feed: Feed) -> Sight:
        """What this client may see, by its view and the memberships of now."""
        members = feed.members.of
        return Sight.by_audience(lambda audience: visible(audience, self.viewer, members))

    def is_held_back(self, seq: int) -> bool:  # noqa: ARG002 - for those that can be
        """Whether to stop catching up where `seq` was the last that was sent."""
        return False

    def joined(self) -> None:
        """The session is among the live ones from here on."""
        self.services.presence.greet(self.project_id, self)

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
            self.services.metrics.outbox_overflow_total.inc()
            self.close(CloseCode.TOO_SLOW)

    # What the client sends

    def on_message(self, message: str | bytes) -> None:
        """Take a message from the client. One that came before the welcome is answered after."""
        if not self.is_closing():
            self._opened_inbox().on_message(message)

    def on_bare_frame(self) -> None:
        """Count a frame without a message: it costs as much as one with a message does."""
        if not self.is_closing():
            self._opened_inbox().count()

    def refuse(self, refusal: MessageRefusedError) -> None:
        """Answer a message that cannot be used; close a session that keeps sending such."""
        self._opened_inbox().refuse(refusal)

    def _opened_inbox(self) -> Inbox:
        if self._inbox is None:
            self._inbox = Inbox(self, welcomed=self._state is not _State.OPENING)
        return self._inbox

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
            self.services.presence.move(entry)

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
        feed = self._feed
        if feed is None or self not in feed.live:
            raise ConflictError("A replay is under way already", "busy")
        feed.leave(self)
        self._go_on(CatchUp(self, feed).run(from_seq))

    def _go_on(self, work: Coroutine[Any, Any, None]) -> None:
        """Catch up anew, in a task."""
        self.services.tasks.start(self._guarded(work), name="replay-session")

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        with self._closed_on_failure("replay_failed"):
            await work

    @property
    def seq(self) -> int:
        """Where the project stands for this session's worker."""
        return self._feed.seq if self._feed is not None else 0

    # Time

    def ping(self) -> None:
        """Ask the client for a sign of life."""
        self._transport.ping()

    def on_pong(self) -> None:
        """The client sent a pong. One that answers no ping counts as a message."""
        if not self.is_closing() and not self._heartbeat.on_pong():
            self.on_bare_frame()

    def _schedule_expiry(self) -> None:
        services = self.services
        services.wheel.schedule(
            self._expiry, services.now_s() + self.identity.expires_at - time.time()
        )

    def _expired(self) -> None:
        self.close(CloseCode.UNAUTHORIZED, "Unauthorized: the token expired")

    # Ending

    def close(
        self, code: CloseCode, reason: str | None = None, *, retry_after_ms: int | None = None
    ) -> None:
        """Say why, then end the connection.

        Args:
            code: see `ADVICE`, which has the words and the wait unless they are given.
            reason: in words.
            retry_after_ms: when the client should come back.
        """
        if self.is_closing():
            return
        closing = turned_away(code, reason)
        if retry_after_ms is not None:
            closing = replace_fields(closing, retry_after_ms=retry_after_ms)
        self._leave(Ended(code.value, closing.reason, by_server=True))
        slow = code is CloseCode.TOO_SLOW
        # The last that is sent: an answer of a command that is still under way would come after
        # the close frame, where nothing may follow (RFC 6455 section 5.5.1).
        self.outbox.last_words(
            wrap_frame(self.encoding, encode_frame(closing), "closing"), drop_waiting=slow
        )
        if self.outbox.pending_bytes == 0:
            self._close_transport(closing)
        else:
            self.services.tasks.start(
                self._close_when_drained(closing, SLOW_FLUSH_S if slow else FLUSH_S),
                name="close-session",
            )

    def _close_transport(self, closing: ClosingFrame) -> None:
        self._transport.close(closing.code, closing.reason, closing.retry_after_ms)

    async def _close_when_drained(self, closing: ClosingFrame, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self.outbox.drained()
        except TimeoutError:
            self._transport.abort()
        else:
            self._close_transport(closing)

    def on_disconnect(self, code: int | None) -> None:
        """The connection is gone."""
        if not self.is_closing():
            self._leave(Ended(code, "", by_server=False))
        self.outbox.close()
        # What a session and its connection hold of each other would wait for the collector, which
        # looks at what is old so seldom that it would look like a leak.
        self._heartbeat.forget()
        self._expiry.forget()
        self._inbox = None
        self._transport = GONE

    def _leave(self, ended: Ended) -> None:
        was_welcomed = self._state is _State.OPEN
        self._state = _State.CLOSING
        services = self.services
        services.wheel.cancel(self._heartbeat)
        services.wheel.cancel(self._expiry)
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.leave(self)
            services.dispatcher.release(feed)
        if was_welcomed:
            services.presence.depart(self.entry)
        services.metrics.connection_closed(self.encoding, ended.code)
        services.gateway.closed(self, ended)
