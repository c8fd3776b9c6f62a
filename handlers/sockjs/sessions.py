"""SockJS sessions, in place of sockjs-tornado's.

What is wrong with the library's: its queue is a string that grows without bound; a close while a
response is under way writes into that response, so that a poll hangs (as after a close in
`on_open`) and the client never learns of it; reasons are put into close frames unescaped; an
exception of `on_close` is swallowed, one of `on_message` ends a session without a word; heartbeat
timers can't be cancelled. Here what is sent waits in an `Outbox`, bounded like a WebSocket's; a
request gets all that has gathered; and a close frame waits for its turn.
"""

import asyncio
import json
from typing import Any

import structlog

from handlers.base.tornado_last_words import write_or_drop
from handlers.base.tornado_socket import StreamSink
from handlers.sockjs.library import CLOSED, OPEN, BaseSession
from rtserver.delivery.send_buffer import Outbox, Sink
from rtserver.delivery.wire_forms import SEPARATORS, Encoding
from rtserver.lib.timer_wheel import Timer
from rtserver.model.close_codes import CloseCode
from rtserver.sessions.server_frames import wrap_frame

CLOSE_CODES_IN_FRAMES = (range(1000, 1004), range(1007, 1015), range(3000, 5000))

_log = structlog.get_logger()


def close_frame(code: int, reason: str) -> str:
    """SockJS's `c` frame."""
    return "c" + json.dumps([code, reason], separators=(",", ":"))


class CorrectedSession(BaseSession):  # type: ignore[misc]
    """What all sessions share.

    Attributes:
        encoding: the wire form of what `sink` takes.
        sink: takes bytes in that form.
    """

    encoding: Encoding
    sink: Sink
    server: Any
    conn: Any
    handler: Any
    state: int

    def __init__(self, server: Any, session_id: str) -> None:
        self.session_id = session_id
        self._timer = Timer(self._on_timer)
        self._outbox: Outbox | None = None
        super().__init__(server.get_connection_class(), server)

    @property
    def is_early(self) -> bool:
        """Whether nobody was let in on it yet."""
        return self.conn is None or self.conn.is_early

    def _on_timer(self) -> None:
        """Its time has come: what for depends on the state."""

    def schedule(self, after_s: float) -> None:
        """Set the session's timer."""
        wheel = self.server.context.wheel
        wheel.schedule(self._timer, asyncio.get_running_loop().time() + after_s)

    def verify_state(self) -> None:
        """Open the session where it is new."""
        try:
            super().verify_state()
        except Exception:  # noqa: BLE001 - one session's failure is not the server's
            _log.exception("sockjs_open_failed")
            self.close(CloseCode.INTERNAL_ERROR, "Internal error")

    def on_messages(self, messages: list[Any]) -> None:
        """Hand messages to the connection, in order. None at all count as one."""
        if not messages:
            self.on_bare_frame()
        for message in messages:
            if self.state != OPEN:
                return
            try:
                self.conn.on_message(message)
            except Exception:  # noqa: BLE001 - as above
                _log.exception("sockjs_message_failed")
                self.close(CloseCode.INTERNAL_ERROR, "Internal error")

    def on_bare_frame(self) -> None:
        """A frame or request came that has no message."""
        if self.state == OPEN:
            self.conn.on_bare_frame()

    def send_message(self, msg: str | bytes, stats: bool = True, binary: bool = False) -> None:  # noqa: ARG002
        """Send a message; for connections that bring no outbox."""
        if self._outbox is None:
            self._outbox = Outbox(
                self.sink, 1024 * 1024, self._overflowed, SEPARATORS[self.encoding]
            )
        payload = msg if isinstance(msg, bytes) else msg.encode()
        self._outbox.send(wrap_frame(self.encoding, payload, "message"))

    def _overflowed(self) -> None:
        self.close(CloseCode.TOO_SLOW, "Too slow: reconnect and resume")

    def close(self, code: int = 3000, message: str = "Go away!") -> None:
        """Close the session; the client is told what this session's transport can tell."""
        if self.state == CLOSED:
            return
        self.state = CLOSED
        self.close_reason = (int(code), message)
        conn, self.conn = self.conn, None
        try:
            conn.on_close()
        except Exception:  # noqa: BLE001 - the session is closed in any case
            _log.exception("sockjs_close_failed")
        self._end(int(code), message)

    def _end(self, code: int, message: str) -> None:
        """Tell the client."""
        raise NotImplementedError

    def drop(self) -> None:
        """Close without a word: the client does not take any."""
        raise NotImplementedError

    def ping(self) -> bool:
        """Ask for a sign of life; whether the transport looks after that by itself."""
        raise NotImplementedError


class PollSession(CorrectedSession):
    """A session over HTTP: what is sent waits for the requests that fetch it.

    It is a `Sink` itself. What it was given and could not send yet is at most what an outbox gives
    in one write, and once more while a request takes everything at once: see `_gather`.
    """

    encoding = Encoding.SOCKJS

    def __init__(self, server: Any, session_id: str, disconnect_s: float) -> None:
        self.sink = self
        self._disconnect_s = disconnect_s
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._in_flight: list[asyncio.Future[None]] = []
        self._is_gathering = False
        self._ip: str | None = None
        super().__init__(server, session_id)

    # `rtserver.delivery.send_buffer.Sink`

    def fileno(self) -> int:
        """There is no one socket."""
        return -1

    def send_now(self, data: bytes) -> int:  # noqa: ARG002 - the signature is the sink's
        """Nothing is sent at once."""
        return 0

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        """Keep it until a request takes it; the future is done when it was sent."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((bytes(data), done))
        self.flush()
        return done

    # What the library's transports call

    @property
    def send_queue(self) -> bool:
        """Whether `flush` should be called; it knows best itself."""
        return True

    def is_peer(self, handler: Any) -> bool:
        """Whether a request comes from where the session was opened.

        The id alone is a secret that stands in every proxy's log.
        """
        return self._ip in (None, handler.client_ip)

    def set_handler(self, handler: Any, start_heartbeat: bool = True) -> bool:  # noqa: ARG002
        """Let a request receive; False where it may not, and was told so."""
        if self.handler is not None:
            handler.send_pack(close_frame(2010, "Another connection still open"))
            return False
        if not self.is_peer(handler):
            handler.send_pack(close_frame(2010, "The session was opened elsewhere"))
            return False
        if self.state == CLOSED and not self._waiting:
            handler.send_pack(close_frame(*self.get_close_reason()))
            return False
        super().set_handler(handler)
        self._ip = handler.client_ip
        if self.state != CLOSED:
            self.schedule(self.server.context.ping_interval_s)
        if self._waiting:
            self._gather()
        return True

    def _gather(self) -> None:
        # The outbox gives what else it holds as soon as its write is done, in the callback that is
        # scheduled here before `_gathered`. So a poll takes all there is in one response.
        self._is_gathering = True
        for _, done in self._waiting:
            if not done.done():
                done.set_result(None)
        asyncio.get_running_loop().call_soon(self._gathered)

    def _gathered(self) -> None:
        self._is_gathering = False
        self.flush()

    def verify_state(self) -> None:
        """Send the `o` frame of a new session."""
        if self.state not in (OPEN, CLOSED):
            self.handler.send_pack("o")
        super().verify_state()

    def flush(self) -> None:
        """Send what waits, or the close frame, where a request is ready for it."""
        if self.handler is None or not self.handler.active or self._is_gathering:
            return
        self._confirm()
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._in_flight = [done for _, done in waiting]
            messages = b",".join([data for data, _ in waiting])
            self.handler.send_pack(f"a[{messages.decode()}]")
        elif self.state == CLOSED:
            self.handler.amount_limit = 0  # a stream ends after this
            self.handler.send_pack(close_frame(*self.get_close_reason()))

    def _confirm(self) -> None:
        """What was under way has arrived in the socket."""
        in_flight, self._in_flight = self._in_flight, []
        for done in in_flight:
            if not done.done():
                done.set_result(None)

    def remove_handler(self, handler: Any) -> None:
        """The request is answered; the client has to come back for more."""
        super().remove_handler(handler)
        self._confirm()
        if self.state != CLOSED:
            self.schedule(self._disconnect_s)

    def start_heartbeat(self) -> None:
        """Done when the request is attached."""

    # Time and end

    def _on_timer(self) -> None:
        if self.state == CLOSED:
            self._forget()
        elif self.handler is None:
            self.close(1002, "Connection interrupted")
            self._forget()
        else:
            if self.handler.active:
                self.handler.send_pack("h")
            self.schedule(self.server.context.ping_interval_s)

    def _end(self, code: int, message: str) -> None:  # noqa: ARG002 - the frame is made when sent
        self.schedule(self._disconnect_s)  # until then it answers with the close frame
        self.flush()

    def drop(self) -> None:
        """Close, and forget what waits."""
        self.close(1002, "Connection interrupted")
        self._forget()

    def _forget(self) -> None:
        self.server.context.wheel.cancel(self._timer)
        self.server.forget(self)
        waiting, self._waiting = self._waiting, []
        for _, done in waiting:
            done.cancel()
        if self._outbox is not None:
            self._outbox.close()

    def ping(self) -> bool:
        """Requests show by themselves whether the client is there.

        It has to come back for each, and what a stream is sent has to be acknowledged.
        """
        return True


class RawSession(CorrectedSession):
    """A WebSocket without SockJS's frames: each message is one of the connection."""

    encoding = Encoding.WEBSOCKET

    def set_handler(self, handler: Any) -> bool:
        """Begin on a connection."""
        super().set_handler(handler)
        self.sink = handler.ws_connection.sink = StreamSink(handler.ws_connection.stream)
        return True

    def _end(self, code: int, message: str) -> None:
        if self.handler is not None:
            known = any(code in codes for codes in CLOSE_CODES_IN_FRAMES)
            self.handler.close(code if known else 1000, message)

    def drop(self) -> None:
        """Drop the connection."""
        if self.handler is not None:
            self.handler.abort()

    def ping(self) -> bool:
        """Send a ping of the WebSocket's own; the answer comes to `on_pong`."""
        if self.handler is not None:
            self.handler.ping()
        return False

    def on_pong(self) -> None:
        """The client answered a ping."""
        if self.conn is not None:
            self.conn.on_pong()


class SocketSession(RawSession):
    """SockJS's frames over a WebSocket."""

    encoding = Encoding.SOCKJS_WEBSOCKET

    def verify_state(self) -> None:
        """Send the `o` frame."""
        self._write("o")
        self.schedule(self.server.context.ping_interval_s)
        super().verify_state()

    def _on_timer(self) -> None:
        self._write("h")
        self.schedule(self.server.context.ping_interval_s)

    def _write(self, frame: str) -> None:
        write_or_drop(self.handler, frame)

    def _end(self, code: int, message: str) -> None:
        self.server.context.wheel.cancel(self._timer)
        if self.handler is not None:
            self._write(close_frame(code, message))
        super()._end(code, message)
