"""A session between a log and a connection that are both the test's, and a clock besides."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from rtserver.delivery.dispatcher import Dispatcher
from rtserver.delivery.fanout import Fanout
from rtserver.delivery.feed import Feed
from rtserver.delivery.log_pages import LogPages
from rtserver.delivery.membership import Membership, NoMembers
from rtserver.delivery.sender import Sender
from rtserver.delivery.wire_forms import Encoding
from rtserver.eventlog.answering import Answering
from rtserver.eventlog.metrics import LogMetrics
from rtserver.lib.byte_budget import ByteBudget
from rtserver.lib.rate_limit import RateTable
from rtserver.lib.tasks import TaskOwner
from rtserver.lib.timer_wheel import TimerWheel
from rtserver.model.connection import ConnectionRecord
from rtserver.model.events import EventDraft
from rtserver.model.identity import Identity, Role
from rtserver.model.run import RunJson
from rtserver.observe.metrics import MetricsRegistry
from rtserver.sessions.client_messages import Command, MessageRefusedError, Replay, View
from rtserver.sessions.metrics import SessionMetrics
from rtserver.sessions.ports import NoPresence, PresenceKeeper
from rtserver.sessions.server_frames import Ack, ViewAck
from rtserver.sessions.services import (
    CommandHandler,
    CommandTable,
    Ended,
    SessionServices,
    SessionSettings,
    Taker,
)
from rtserver.sessions.session import Session
from tests.support.fakes import FakeTransport, MemoryLog, draft
from tests.support.waiting import until
from tests.support.wire_reader import messages

TICK_S = 0.05
PING_S, PONG_S = 30.0, 10.0
NO_PRESENCE = NoPresence()

Handlers = Mapping[type[Command], CommandHandler]


def echo() -> Handlers:
    """Commands that do what they say, and nothing else."""

    async def view(session: Session, command: View) -> Ack:
        return ViewAck(proposal_ids=command.proposal_ids, position=f"test-{session.seq}")

    async def replay(session: Session, command: Replay) -> Ack:
        session.replay(int(command.from_.rpartition("-")[2]))
        return Ack()

    return {View: view, Replay: replay}


async def _not_asked_for(_session: Session, _command: View) -> Ack:
    raise AssertionError("the test has no commands")


class Stage:
    """What sessions live on.

    Attributes:
        now_s: the loop's time as the sessions see it; `pass_time` moves it.
        ended: how each session that is over ended.
        active_runs: what is under way, as the welcome says.
    """

    def __init__(
        self,
        *,
        commands: Handlers | None = None,
        takers: Mapping[type[Command], Taker] | None = None,
        recent_bytes: int = 1 << 20,
        presence: PresenceKeeper = NO_PRESENCE,
        fanout: type[Fanout] = Fanout,
        catch_up_bytes: int = 1 << 20,
        **settings: float,
    ) -> None:
        self.log = MemoryLog()
        self.answering = Answering()
        self.tasks = TaskOwner()
        registry = MetricsRegistry()
        self.metrics = SessionMetrics(registry)
        self.now_s = 1000.0
        self.wheel = TimerWheel(tick_s=TICK_S, now_s=self.now_s)
        self.ended: list[Ended] = []
        self.refused: list[MessageRefusedError] = []
        self.active_runs: list[RunJson] = []
        self.dispatcher = Dispatcher(
            self.log,
            fanout(LogMetrics(registry), Sender()),
            self.tasks,
            Membership(NoMembers()),
            recent_bytes=recent_bytes,
        )
        given: dict[str, Any] = {
            "ping_interval_s": PING_S,
            "pong_timeout_s": PONG_S,
            "outbox_bytes": 1 << 20,
            "max_message_bytes": 1000,
            "max_messages_per_s": 20.0,
            "max_message_burst": 40,
            **settings,
        }
        self.services = SessionServices(
            settings=SessionSettings(**given),
            log=self.log,
            dispatcher=self.dispatcher,
            pages=LogPages(self.log, 1 << 20),
            catch_up_budget=ByteBudget(catch_up_bytes),
            wheel=self.wheel,
            tasks=self.tasks,
            metrics=self.metrics,
            commands=CommandTable(commands or {View: _not_asked_for}, takers or {}),
            active_runs=self,
            gateway=self,
            refusals=self,
            presence=presence,
            answering=self.answering,
            user_messages=RateTable(
                5 * given["max_messages_per_s"], 5 * given["max_message_burst"]
            ),
            now_s=lambda: self.now_s,
        )

    async def of(self, _project_id: str) -> list[RunJson]:
        return self.active_runs

    def closed(self, _session: Session, ended: Ended) -> None:
        self.ended.append(ended)

    def record(self, _entry: ConnectionRecord, refusal: MessageRefusedError) -> None:
        self.refused.append(refusal)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, tick by tick."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s = min(end_s, self.now_s + TICK_S)
            self.wheel.fire_due(self.now_s)

    def client(
        self,
        *,
        project_id: str = "p1",
        user: str = "ada",
        proposal_ids: frozenset[str] | None = None,
        encoding: Encoding = Encoding.WEBSOCKET,
        room: int = 1 << 30,
        ttl_s: float = 3600.0,
        roles: frozenset[Role] = frozenset(),
    ) -> "Client":
        """A connection that has a place; nothing is sent yet."""
        transport = FakeTransport(encoding, room)
        identity = Identity(user, user.title(), frozenset({"*"}), roles, time.time() + ttl_s)
        entry = ConnectionRecord("c1", "w1", user, project_id, encoding.value, time.time())
        return Client(
            self, transport, Session(self.services, transport, identity, entry, proposal_ids)
        )

    async def joined(self, last_event_id: str | None = None, **options: Any) -> "Client":
        """A client that was welcomed and is live."""
        client = self.client(**options)
        client.session.start(last_event_id)
        await until(client.is_live, "a live session")
        return client

    async def publish(self, count: int = 1, project_id: str = "p1", **fields: Any) -> None:
        """Store events, and let the tail show them."""
        for _ in range(count):
            drafts = [draft(project_id, **fields)]
            await self.dispatcher.on_packs([self.log.append(project_id, *drafts)])

    async def show(self, *drafts: EventDraft) -> None:
        """Store one pack of events, and let the tail show it."""
        await self.dispatcher.on_packs([self.log.append(drafts[0].project_id, *drafts)])

    @property
    def feed(self) -> Feed:
        """The feed of p1."""
        return self.dispatcher.feeds["p1"]

    async def idle(self) -> None:
        """Wait until no task of any session is under way."""
        await until(lambda: len(self.tasks) == 0, "the end of all tasks")


class Client:
    """One connection.

    Attributes:
        documented_as: what the document of the sockets calls its kind.
    """

    documented_as = "session"

    def __init__(self, stage: Stage, transport: FakeTransport, session: Session) -> None:
        self._stage = stage
        self.transport = transport
        self.session = session

    def is_live(self) -> bool:
        """Whether it gets what comes next at once."""
        feed = self._stage.dispatcher.feeds.get(self.session.project_id)
        return feed is not None and self.session in feed.live

    @property
    def frames(self) -> list[dict[str, Any]]:
        """Every frame that reached the client."""
        return messages(bytes(self.transport.sink.received), self.documented_as)

    @property
    def types(self) -> list[str]:
        """Of the frames."""
        return [frame["type"] for frame in self.frames]

    @property
    def seqs(self) -> list[int]:
        """The numbers of the stored events that reached it."""
        return [
            int(frame["id"].rpartition("-")[2])
            for frame in self.frames
            if "id" in frame and frame["type"] != "position"
        ]

    async def say(self, text: str | bytes) -> dict[str, Any]:
        """Send a message, and wait for a frame to come back."""
        before = len(self.frames)
        self.session.on_message(text)
        await until(lambda: len(self.frames) > before, "an answer")
        return self.frames[-1]

    async def drain(self) -> None:
        """Let all that waits reach the client."""
        sink = self.transport.sink
        for _ in range(10_000):
            if sink.writes:
                sink.finish_write()
            await asyncio.sleep(0)
            if not sink.writes and self.session.outbox.pending_bytes == 0:
                return
        raise AssertionError("it goes on without end")
