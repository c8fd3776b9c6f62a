"""Heartbeat: pings a client, and ends the session of one that does not answer in time."""

from typing import Protocol

from rtserver.lib.timer_wheel import Timer
from rtserver.model.close_codes import CloseCode
from rtserver.sessions.services import SessionServices


class Pinged(Protocol):
    """A session, as its heartbeat sees it."""

    @property
    def services(self) -> SessionServices:
        """What all sessions share."""

    def ping(self) -> None:
        """Ask the client for a sign of life."""

    def close(self, code: CloseCode, reason: str | None = None) -> None:
        """Say why, then end the connection."""


class Heartbeat(Timer):
    """The timer that is due when it is time for the next ping, or a pong is overdue."""

    __slots__ = ("_ping_sent_s", "_session")

    def __init__(self, session: Pinged) -> None:
        super().__init__()
        self._session: Pinged | None = session
        self._ping_sent_s: float | None = None

    def start(self) -> None:
        """Ping the client from now on, once each interval."""
        if self._session is not None:
            services = self._session.services
            services.wheel.schedule(self, services.now_s() + services.settings.ping_interval_s)

    def fire(self) -> None:
        """A pong is overdue, or it is time for the next ping."""
        session = self._session
        if session is None:
            return
        if self._ping_sent_s is not None:
            session.close(CloseCode.NO_PONG)
            return
        services = session.services
        self._ping_sent_s = services.now_s()
        services.wheel.schedule(self, self._ping_sent_s + services.settings.pong_timeout_s)
        session.ping()  # last: a transport may know at once that the client is alive

    def on_pong(self) -> bool:
        """The client sent a pong; whether it answers a ping."""
        if self._ping_sent_s is None or self._session is None:
            return False
        services = self._session.services
        due_s = self._ping_sent_s + services.settings.ping_interval_s
        self._ping_sent_s = None
        services.wheel.schedule(self, max(due_s, services.now_s()))
        return True

    def forget(self) -> None:
        """Let go of the session, so that the two are in no cycle."""
        self._session = None
