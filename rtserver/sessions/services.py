"""Session services: the settings, parts of the server and commands that all sessions share."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from rtserver.delivery.dispatcher import Dispatcher
from rtserver.delivery.log_pages import LogPages
from rtserver.eventlog.answering import Answering
from rtserver.eventlog.api import EventLog
from rtserver.lib.byte_budget import ByteBudget
from rtserver.lib.rate_limit import RateTable
from rtserver.lib.tasks import TaskOwner
from rtserver.lib.timer_wheel import TimerWheel
from rtserver.model.connection import ConnectionRecord
from rtserver.sessions.client_messages import Command, CommandParser, MessageRefusedError
from rtserver.sessions.metrics import SessionMetrics
from rtserver.sessions.ports import PresenceKeeper, RunList
from rtserver.sessions.server_frames import Ack

if TYPE_CHECKING:
    from rtserver.sessions.session import Session

CommandHandler = Callable[["Session", Any], Awaitable[Ack]]
Taker = Callable[["Session", Any, int], None]
"""Takes a command, and the bytes of its message, and answers by itself later."""


class CommandTable:
    """The commands of one kind of session.

    Attributes:
        parse: reads a message as one of them.
        handlers: carry them out, by their types, a few at a time.
        takers: take those of which many are under way.
    """

    def __init__(
        self,
        handlers: Mapping[type[Command], CommandHandler],
        takers: Mapping[type[Command], Taker] = MappingProxyType({}),
    ) -> None:
        self.parse = CommandParser((*handlers, *takers))
        self.handlers = handlers
        self.takers = takers


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


class SessionOwner(Protocol):
    """Let the sessions in; see `rtserver.sessions.gateway.Gateway`."""

    def closed(self, session: "Session", ended: Ended) -> None:
        """A session has ended."""


class RefusalLog(Protocol):
    """Keeps what clients sent that is no command of theirs."""

    def record(self, entry: ConnectionRecord, refusal: MessageRefusedError) -> None:
        """A message was refused."""


def _loop_now_s() -> float:
    return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class SessionServices:
    """What a session needs of the server. One object for all sessions of a kind.

    Attributes:
        answering: whether MongoDB answers, so that nobody is kept waiting where it does not.
        pages: what sessions that catch up read of the log.
        catch_up_budget: for what they have sent and no socket has taken yet.
        user_messages: how many messages each user sends, by user id.
        now_s: the clock of `wheel`.
    """

    settings: SessionSettings
    log: EventLog
    dispatcher: Dispatcher
    pages: LogPages
    catch_up_budget: ByteBudget
    wheel: TimerWheel
    tasks: TaskOwner
    metrics: SessionMetrics
    commands: CommandTable
    active_runs: RunList
    gateway: SessionOwner
    refusals: RefusalLog
    presence: PresenceKeeper
    answering: Answering
    user_messages: RateTable
    now_s: Callable[[], float] = _loop_now_s
