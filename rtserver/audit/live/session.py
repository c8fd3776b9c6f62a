"""An admin's session on the audit log: filtered, and paused where the admin wants to read."""

from rtserver.audit.live.filter import AuditFilter
from rtserver.audit.live.messages import AuditGap, AuditLogName, AuditWelcome, GapReason
from rtserver.audit.live.reader import AuditReader
from rtserver.delivery.feed import Feed
from rtserver.delivery.resume import ResumeOutcome, Resumption, Sight
from rtserver.eventlog.api import Horizon
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import ConflictError
from rtserver.model.events import StoredEvent
from rtserver.model.identity import Identity
from rtserver.sessions.catch_up import CatchUp
from rtserver.sessions.services import SessionServices
from rtserver.sessions.session import Session
from rtserver.sessions.transport import Transport

MAX_PAUSED_RECORDS = 10_000
"""So many wanted records of a pause are sent afterwards; of more, the newest."""


class AuditSession(Session):
    """A session whose project is the audit log.

    Pausing costs nothing, however long: the log is the queue. A paused session is not live, and
    resuming is catching up.

    Attributes:
        filter: which records it gets.
    """

    __slots__ = ("_held_seq", "_history", "_log_name", "_paused", "_reader", "filter")

    def __init__(
        self,
        services: SessionServices,
        transport: Transport,
        identity: Identity,
        entry: ConnectionRecord,
        *,
        reader: AuditReader,
        wanted: AuditFilter,
        history: int,
        log: AuditLogName = "users",
    ) -> None:
        super().__init__(services, transport, identity, entry, None)
        self.filter = wanted
        self._reader = reader
        self._history = history
        self._log_name = log
        self._paused = False
        self._held_seq: int | None = None

    def allows(self, identity: Identity) -> bool:
        """Admins only, whatever projects the token names."""
        return identity.is_admin

    def sight(self, feed: Feed) -> Sight:  # noqa: ARG002
        """Which records the filter wants."""
        # Asked anew for each record: the filter may change while the session catches up.
        return Sight(lambda record: self.filter.wants_record(record))  # noqa: PLW0108

    async def _begin(self, feed: Feed, resumption: Resumption, horizon: Horizon) -> None:
        records: list[StoredEvent] = []
        if self._history and resumption.outcome is ResumeOutcome.FRESH:
            async with self.services.answering.required():
                records = await self._reader.newest(
                    self.filter, upto=resumption.tip_seq, limit=self._history
                )
        if self.is_closing():
            return
        welcome = AuditWelcome(
            **self._welcome_fields(resumption, horizon),
            filter=self.filter.to_json(),
            history=len(records),
        )
        self._welcome(welcome, resumption)
        catch_up = CatchUp(self, feed)
        if not await catch_up.send_all(records):
            return
        await catch_up.run(resumption.from_seq)

    def _refetch(self, requested: str) -> str:
        log = "" if self._log_name == "users" else f"log={self._log_name}&"
        return f"/api/v1/audit?{log}after={requested}"

    def _send_gap_frame(
        self,
        requested: str,
        oldest: str | None,
        lost: int | None,
        reason: GapReason = "overwritten",
    ) -> None:
        self.send(
            AuditGap(
                requested=requested,
                oldest_available=oldest,
                lost=lost,
                refetch=self._refetch(requested),
                reason=reason,
            )
        )

    def pause(self) -> None:
        """Send no more records."""
        if self._paused:
            return
        self._paused = True
        feed = self._feed
        if feed is not None and self in feed.live:
            feed.leave(self)
            self._held_seq = feed.seq
        # Otherwise it is catching up, and stops where it has come to.

    def is_held_back(self, seq: int) -> bool:
        """Whether it is paused; then `resume` goes on after `seq`."""
        if self._paused:
            self._held_seq = seq
        return self._paused

    def resume(self) -> None:
        """Send what came since `pause`, then go on live."""
        if not self._paused:
            return
        self._paused = False
        seq, self._held_seq = self._held_seq, None
        if seq is not None and self._feed is not None:
            self._go_on(self._make_up(self._feed, seq))

    async def _make_up(self, feed: Feed, seq: int) -> None:
        if feed.seq - seq > MAX_PAUSED_RECORDS:
            backlog = await self._reader.backlog(
                self.filter, after=seq, upto=feed.seq, newest=MAX_PAUSED_RECORDS
            )
            if self.is_closing():
                return
            if backlog.dropped:
                if backlog.overwritten:
                    self.send_gap(requested=seq, lost=backlog.overwritten)
                self._send_gap_frame(
                    self._position(seq + backlog.overwritten),
                    self._position(backlog.from_seq + 1),
                    backlog.dropped,
                    "paused",
                )
                seq = backlog.from_seq
        await CatchUp(self, feed).run(seq)

    def replay(self, from_seq: int) -> None:
        """Send again what came after `from_seq`, then go on live.

        Raises:
            ConflictError: the session is paused, or still catching up.
        """
        if self._paused:
            raise ConflictError("The session is paused; resume it first", "paused")
        super().replay(from_seq)
