"""`handlers.base.tornado_listener`: who knocks while there are no descriptors waits quietly."""

import asyncio
import contextlib
import errno
import itertools
import os
import socket
from collections.abc import Iterator

import pytest
from tornado.netutil import add_accept_handler

from handlers.base import tornado_listener
from handlers.base.tornado_listener import Descriptors, Listener, ListenerMetrics
from rtserver.observe.metrics import MetricsRegistry
from tests.support.recorder import LogRecorder
from tests.support.waiting import until


class System:
    """What the kernel says: how many descriptors there may be, and what opening one comes to."""

    def __init__(self) -> None:
        self.limit = 1024
        self.next_number = 10
        self.errors: Iterator[int | None] = itertools.repeat(None)
        self.probes = 0
        self.descriptors = Descriptors(lambda: self.limit, self._open_one)

    def _open_one(self) -> int:
        self.probes += 1
        number = next(self.errors)
        if number is not None:
            raise OSError(number, os.strerror(number))
        return self.next_number


class Refusing(Listener):
    """Whose accept fails as the kernel's does."""

    accept_error: int | None = None
    calls = 0

    def _accept(self) -> tuple[int, object]:
        self.calls += 1
        if self.accept_error is not None:
            raise OSError(self.accept_error, os.strerror(self.accept_error))
        return super()._accept()  # type: ignore[misc, no-any-return]


class Served:
    """A listener that Tornado's handler is on, and who came."""

    def __init__(self, system: System) -> None:
        self.registry = MetricsRegistry()
        bound = socket.create_server(("127.0.0.1", 0))
        self.address = bound.getsockname()
        self.listener = Refusing(bound.detach(), ListenerMetrics(self.registry), system.descriptors)
        self.came: list[socket.socket] = []
        self._end = add_accept_handler(
            self.listener, lambda connection, _address: self.came.append(connection)
        )

    def knock(self) -> socket.socket:
        return socket.create_connection(self.address)

    def pauses(self, reason: str) -> bool:
        metrics = self.registry.render()[0].decode()
        return f'rtserver_accept_pauses_total{{reason="{reason}"}} 1.0' in metrics

    def end(self) -> None:
        self._end()
        self.listener.close()
        for connection in self.came:
            connection.close()


@contextlib.contextmanager
def _served(system: System) -> Iterator[Served]:
    served = Served(system)
    try:
        yield served
    finally:
        served.end()


@pytest.mark.gen_test
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_it_pauses_says_so_once_and_goes_on(
    number: int, logs: LogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tornado_listener, "PAUSE_S", 0.01)
    logs.expect("accept_paused")
    system = System()
    system.errors = itertools.repeat(number)
    name = errno.errorcode[number]
    with _served(system) as served:
        served.listener.accept_error = number
        with served.knock():
            await until(lambda: system.probes >= 3, "that there is still too little")
            assert served.listener.calls == 1, "the event loop does not spin"
            assert [line["event"] for line in logs.lines] == ["accept_paused"]
            assert (logs.lines[0]["reason"], logs.lines[0]["limit"]) == (name, 1024)
            assert served.pauses(name)
            served.listener.accept_error = None
            system.errors = itertools.repeat(None)
            await until(lambda: len(served.came) == 1, "who knocked to be let in")
        assert [line["event"] for line in logs.lines] == ["accept_paused", "accept_resumed"]


@pytest.mark.gen_test
async def test_some_descriptors_are_kept_for_the_worker(
    logs: LogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tornado_listener, "PAUSE_S", 0.01)
    logs.expect("accept_paused")
    system = System()
    with _served(system) as served, served.knock(), served.knock():
        system.limit = tornado_listener.MIN_RESERVE  # so the next is of those that are kept
        await until(lambda: bool(system.probes), "the pause")
        assert len(served.came) == 1, "the one that was taken is served; nobody after it"
        assert [line["reason"] for line in logs.lines] == ["EMFILE"]
        assert "ulimit -n" in logs.lines[0]["hint"]
        system.limit = 1024
        await until(lambda: len(served.came) == 2, "the other one")


@pytest.mark.gen_test
async def test_a_listener_is_closed_in_a_pause(logs: LogRecorder) -> None:
    logs.expect("accept_paused")
    with _served(System()) as served:
        served.listener.accept_error = errno.EMFILE
        with served.knock():
            await until(lambda: bool(logs.lines), "the pause")
        assert served.listener._pause is not None
        timer = served.listener._pause
    assert timer.cancelled()
    await asyncio.sleep(0)


def test_other_errors_are_not_hidden() -> None:
    with _served_without_tornado() as listener:
        listener.accept_error = errno.EINVAL
        with pytest.raises(OSError, match="Invalid"):
            listener.accept()


@contextlib.contextmanager
def _served_without_tornado() -> Iterator[Refusing]:
    bound = socket.create_server(("127.0.0.1", 0))
    with Refusing(bound.detach(), ListenerMetrics(MetricsRegistry())) as listener:
        yield listener


@pytest.mark.parametrize(
    ("limit", "first_kept"), [(1024, 960), (256, 240), (64, 56), (100_000, 99_936)]
)
def test_how_many_are_kept(limit: int, first_kept: int) -> None:
    descriptors = Descriptors(lambda: limit, lambda: first_kept - 1)
    assert descriptors.shortage() is None
    assert not descriptors.is_short(first_kept - 1)
    assert descriptors.is_short(first_kept)


@pytest.mark.gen_test
async def test_those_who_come_at_once_are_let_in_one_each_turn() -> None:
    came: list[int] = []
    with _served(System()) as served, contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(served.knock())
        while len(served.came) < 5:
            await asyncio.sleep(0)
            came.append(len(served.came))
    assert max(now - before for before, now in itertools.pairwise([0, *came])) == 1
