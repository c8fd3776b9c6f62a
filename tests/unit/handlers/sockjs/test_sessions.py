"""`handlers.sockjs.sessions`: what waits for polls, in which order it goes, and how it ends."""

import asyncio
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from handlers.sockjs.sessions import PollSession, close_frame
from rtserver.delivery.send_buffer import Outbox
from rtserver.lib.timer_wheel import TimerWheel

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from sockjs.tornado.stats import StatsCollector


class Conn:
    """A connection that notes what it is told."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.messages: list[object] = []
        self.closed = 0

    def on_open(self, _info: object) -> None:
        """Nothing to do."""

    def on_message(self, message: object) -> None:
        if message == "raise":
            raise RuntimeError("of the test")
        self.messages.append(message)

    def on_close(self) -> None:
        self.closed += 1
        if self.messages == ["raise on close"]:
            raise RuntimeError("of the test")


class Server:
    """As much of the router as a session needs."""

    def __init__(self) -> None:
        self.wheel = TimerWheel(tick_s=0.05, now_s=asyncio.get_running_loop().time())
        self.context = SimpleNamespace(wheel=self.wheel, ping_interval_s=25.0)
        self.stats = StatsCollector(IOLoop.current())
        self.stats._callback.stop()
        self.forgotten: list[PollSession] = []

    def get_connection_class(self) -> type[Conn]:
        return Conn

    def forget(self, session: PollSession) -> None:
        self.forgotten.append(session)

    def pass_time(self, seconds: float) -> None:
        """Fire what is due then."""
        self.wheel.fire_due(asyncio.get_running_loop().time() + seconds)


class Poll:
    """A request that receives; `arrived` when its response is in the socket."""

    def __init__(self, ip: str = "192.0.2.1", name: str = "xhr") -> None:
        self.name = name
        self.active = True
        self.client_ip = ip
        self.sent: list[str] = []
        self.amount_limit = 1

    def get_conn_info(self) -> object:
        return None

    def send_pack(self, frame: str) -> None:
        assert self.active
        self.active = False
        self.sent.append(frame)

    def arrived(self, session: PollSession) -> list[str]:
        session.remove_handler(self)
        return self.sent


async def attach(session: PollSession, poll: Poll | None = None) -> Poll:
    """Let a poll receive what there is, as the library's handlers do."""
    poll = poll or Poll()
    if session.set_handler(poll):
        session.verify_state()
        session.flush()
        for _ in range(3):
            await asyncio.sleep(0)
    return poll


async def opened(server: Server) -> PollSession:
    session = PollSession(server, "s", disconnect_s=5.0)
    assert (await attach(session)).arrived(session) == ["o"]
    return session


def outbox_of(session: PollSession, limit_bytes: int = 1000) -> tuple[Outbox, list[str]]:
    overflows: list[str] = []
    return Outbox(session, limit_bytes, lambda: overflows.append("overflow"), b","), overflows


@pytest.mark.gen_test
async def test_a_poll_takes_everything_that_waits() -> None:
    session = await opened(Server())
    outbox, _ = outbox_of(session)
    for number in range(5):
        outbox.send(f'"{number}"'.encode())
    poll = await attach(session)
    assert poll.sent == ['a["0","1","2","3","4"]']
    assert outbox.pending_bytes > 0
    poll.arrived(session)
    await outbox.drained()
    assert outbox.pending_bytes == 0


@pytest.mark.gen_test
async def test_what_comes_while_a_response_is_under_way_waits_for_the_next() -> None:
    session = await opened(Server())
    outbox, _ = outbox_of(session)
    poll = await attach(session)
    outbox.send(b'"1"')
    outbox.send(b'"2"')
    outbox.send(b'"3"')
    assert poll.arrived(session) == ['a["1"]']
    await asyncio.sleep(0)
    assert (await attach(session)).arrived(session) == ['a["2","3"]']
    assert (await attach(session)).sent == []


@pytest.mark.gen_test
async def test_what_waits_is_bounded() -> None:
    session = await opened(Server())
    outbox, overflows = outbox_of(session, limit_bytes=100)
    for _ in range(50):
        outbox.send(b'"' + b"x" * 18 + b'"')
    assert overflows == ["overflow"]
    poll = await attach(session)
    assert poll.sent[0].count("x" * 18) == 5


@pytest.mark.gen_test
async def test_a_close_waits_for_its_turn_and_is_repeated() -> None:
    server = Server()
    session = await opened(server)
    outbox, _ = outbox_of(session)
    outbox.send(b'"last"')
    conn = session.conn
    session.close(4001, 'a "reason"\u2028')
    session.close(4003, "too late")
    assert conn.closed == 1
    assert (await attach(session)).arrived(session) == ['a["last"]']
    for _ in range(2):
        assert (await attach(session)).sent == ['c[4001,"a \\"reason\\"\\u2028"]']
    assert server.forgotten == []
    server.pass_time(5.5)
    assert server.forgotten == [session]


@pytest.mark.gen_test
async def test_a_close_in_the_opening_does_not_disturb_the_response_under_way() -> None:
    session = PollSession(Server(), "s", disconnect_s=5.0)
    poll = Poll()
    assert session.set_handler(poll)
    session.conn.on_open = lambda _info: session.close()
    session.verify_state()
    session.flush()
    assert poll.arrived(session) == ["o"]
    assert (await attach(session)).sent == [close_frame(3000, "Go away!")]


@pytest.mark.gen_test
async def test_whoever_does_not_come_back_is_gone() -> None:
    server = Server()
    session = await opened(server)
    outbox, _ = outbox_of(session)
    outbox.send(b'"1"')
    conn = session.conn
    server.pass_time(4.0)
    assert not session.is_closed
    server.pass_time(5.5)
    assert session.is_closed
    assert (conn.closed, server.forgotten) == (1, [session])
    await outbox.drained()
    assert len(server.wheel) == 0


@pytest.mark.gen_test
async def test_heartbeats_while_a_poll_waits() -> None:
    server = Server()
    session = await opened(server)
    poll = await attach(session)
    server.pass_time(24.0)
    assert poll.sent == []
    server.pass_time(25.5)
    assert poll.arrived(session) == ["h"]


@pytest.mark.gen_test
async def test_one_poll_at_a_time_and_from_one_address() -> None:
    session = await opened(Server())
    first = await attach(session)
    second = await attach(session)
    assert second.sent == ['c[2010,"Another connection still open"]']
    first.send_pack("h")
    first.arrived(session)
    stranger = await attach(session, Poll(ip="198.51.100.9"))
    assert stranger.sent == ['c[2010,"The session was opened elsewhere"]']
    assert not session.is_peer(stranger)
    assert (await attach(session)).sent == []


@pytest.mark.gen_test
async def test_failures_of_a_connection_are_logged_and_close_the_session(logs: Any) -> None:
    logs.expect("sockjs_message_failed", "sockjs_close_failed", "sockjs_open_failed")
    session = await opened(Server())
    conn = session.conn
    session.on_messages(["one", "raise", "never"])
    assert conn.messages == ["one"]
    assert session.get_close_reason() == (1011, "Internal error")
    session = await opened(Server())
    session.on_messages(["raise on close"])
    session.close()
    assert session.is_closed
    session = PollSession(Server(), "s", disconnect_s=5.0)
    session.conn.on_open = None
    poll = Poll()
    session.set_handler(poll)
    session.verify_state()
    assert session.get_close_reason() == (1011, "Internal error")
    events = [line["event"] for line in logs.lines]
    assert events == ["sockjs_message_failed", "sockjs_close_failed", "sockjs_open_failed"]


@pytest.mark.gen_test
async def test_a_session_whose_transport_changed_ends_like_any_other() -> None:
    session = await opened(Server())
    conn = session.conn
    streaming = await attach(session, Poll(name="xhr_streaming"))
    session.close(3000, "Go away!")
    assert (session.is_closed, conn.closed) == (True, 1)
    assert streaming.sent == ['c[3000,"Go away!"]']


@pytest.mark.gen_test
async def test_dropping_forgets_what_waits() -> None:
    server = Server()
    session = await opened(server)
    outbox, _ = outbox_of(session)
    outbox.send(b'"1"')
    session.drop()
    assert server.forgotten == [session]
    await outbox.drained()
