"""Sockets that listen, for Tornado: they pause where the process runs out of file descriptors.

By itself Tornado's accept handler raises `EMFILE` and is called again at once, for as long as a
connection waits: the event loop spins, and its log hides the reason. So a few descriptors are kept
for the worker itself (files, MongoDB, processes of runs), and nobody is let in until there are
enough. Who knocks meanwhile waits in the kernel's queue.

Tornado also takes up to 128 connections before anything else has a turn. Here it is one.
"""

import asyncio
import errno
import os
import resource
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from tornado.ioloop import IOLoop

from rtserver.observe.metrics import OTHER, MetricsRegistry, known_or_other

PAUSE_S = 1.0
RESERVE_SHARE = 16
MIN_RESERVE, MAX_RESERVE = 8, 64
"""Descriptors for the worker itself: one in sixteen, within these bounds."""

_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_NAMES = tuple(sorted(errno.errorcode[number] for number in _SHORTAGES))
_HINTS = {
    "EMFILE": "Every connection takes one. Raise the limit (ulimit -n, LimitNOFILE of systemd, "
    "minfds of supervisord), or start more workers",
    "ENFILE": "The whole machine has none left: raise the kernel's fs.file-max",
}

_log = structlog.get_logger()


class ListenerMetrics:
    """What is counted of listening sockets.

    Attributes:
        accept_pauses_total: by `reason`: what there was too little of, as the kernel names it.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self.accept_pauses_total = registry.counter(
            "accept_pauses",
            "Times that no connection was accepted for a while",
            ["reason"],
            [[name] for name in (*_NAMES, OTHER)],
        )


@dataclass(frozen=True, slots=True)
class Descriptors:
    """How many descriptors the process may have, and whether it may open one more.

    Attributes:
        limit: asks for the most it may have.
        open_one: opens one and closes it; which number it had.
    """

    limit: Callable[[], int]
    open_one: Callable[[], int]

    def is_short(self, number: int) -> bool:
        """Whether one of this number is of those kept for the worker: the lowest is given first."""
        limit = self.limit()
        reserve = min(MAX_RESERVE, max(MIN_RESERVE, limit // RESERVE_SHARE))
        return number >= limit - reserve

    def shortage(self) -> str | None:
        """What there is too little of for one more connection; None where there is enough."""
        try:
            return "EMFILE" if self.is_short(self.open_one()) else None
        except OSError as error:
            if error.errno not in _SHORTAGES:
                raise
            return errno.errorcode[error.errno]


def _limit() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def _open_one() -> int:
    with socket.socket() as probe:
        return probe.fileno()


class Listener(socket.socket):
    """A listening socket that pauses; for `tornado.netutil.add_accept_handler`."""

    def __init__(
        self,
        fileno: int,
        metrics: ListenerMetrics,
        descriptors: Descriptors = Descriptors(_limit, _open_one),
    ) -> None:
        """Take over a socket that listens already.

        Args:
            fileno: its descriptor, which belongs to this object from now on.
            metrics: count the pauses.
            descriptors: of this process.
        """
        super().__init__(fileno=fileno)
        self.setblocking(False)
        self._metrics = metrics
        self._descriptors = descriptors
        self._pause: asyncio.TimerHandle | None = None
        self._had_its_turn = False

    def accept(self) -> tuple[socket.socket, Any]:
        """Take the next connection. One in each turn of the event loop: Tornado would take 128.

        Raises:
            BlockingIOError: there is none, or none is taken for now.
        """
        self._had_its_turn = not self._had_its_turn
        if self._pause is not None or not self._had_its_turn:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        try:
            connection, address = super().accept()
        except OSError as error:
            self._had_its_turn = False
            if error.errno not in _SHORTAGES:
                raise
            self._begin_pause(errno.errorcode[error.errno])
            raise BlockingIOError(error.errno, error.strerror) from error
        if self._descriptors.is_short(connection.fileno()):
            self._begin_pause("EMFILE")
        return connection, address

    def close(self) -> None:
        """Close it; a pause is over too."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        super().close()

    def _begin_pause(self, reason: str) -> None:
        self._metrics.accept_pauses_total.labels(known_or_other(reason, _NAMES)).inc()
        _log.error(
            "accept_paused",
            reason=reason,
            meaning=os.strerror(getattr(errno, reason)),
            limit=self._descriptors.limit(),
            hint=_HINTS.get(reason, "The machine is short of memory"),
        )
        IOLoop.current().update_handler(self, 0)
        self._wait()

    def _wait(self) -> None:
        self._pause = asyncio.get_running_loop().call_later(PAUSE_S, self._look)

    def _look(self) -> None:
        """Go on, where there is enough again."""
        if self._descriptors.shortage() is not None:
            self._wait()
            return
        self._pause = None
        _log.info("accept_resumed")
        IOLoop.current().update_handler(self, IOLoop.READ)
