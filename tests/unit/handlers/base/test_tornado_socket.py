"""What `handlers.base.tornado_socket` uses beyond Tornado's public interface is still there.

When a release of Tornado changes underneath, this fails first and says what.
"""

import asyncio
import inspect
import socket
from collections.abc import Coroutine
from typing import Any

import pytest
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler, WebSocketProtocol13, _WebSocketParams

from handlers.base.tornado_socket import (
    FRAMES_AFTER_CLOSE,
    SessionProtocol,
    StreamSink,
    close_frame_error,
    detect_dead_peer,
)


def source(what: object) -> str:
    return inspect.getsource(what)  # type: ignore[arg-type]


def test_a_message_that_is_too_big_is_closed_and_then_aborted() -> None:
    text = source(WebSocketProtocol13._receive_frame)
    close = text.index('self.close(1009, "message too big")')
    assert "self._abort()" in text[close : close + 100]


def test_the_mask_is_kept_where_the_message_is_handled() -> None:
    text = source(WebSocketProtocol13._receive_frame)
    assert "self._frame_mask = await self._read_bytes(4)" in text
    assert text.index("self._frame_mask = ") < text.index("self._handle_message(opcode, data)")
    assert list(inspect.signature(WebSocketProtocol13._handle_message).parameters) == [
        "self",
        "opcode",
        "data",
    ]


def test_a_connection_can_be_made_to_end_with_its_response() -> None:
    assert "self._disconnect_on_finish" in source(HTTP1Connection._finish_request)
    assert "_disconnect_on_finish = not self._can_keep_alive" in source(
        HTTP1Connection._read_message_inner
        if hasattr(HTTP1Connection, "_read_message_inner")
        else HTTP1Connection._read_message
    )


def test_a_stream_can_be_taken_over() -> None:
    assert "detach" in dir(RequestHandler)
    assert "_finished = True" in source(RequestHandler.detach)
    assert "self._detach_stream()" in source(WebSocketProtocol13._accept_connection).replace(
        "handler.", "self."
    )
    assert hasattr(WebSocketHandler, "_detach_stream")


def test_parameters_of_the_protocol() -> None:
    assert list(inspect.signature(_WebSocketParams.__init__).parameters)[1:] == [
        "ping_interval",
        "ping_timeout",
        "max_message_size",
        "compression_options",
    ]
    assert issubclass(SessionProtocol, WebSocketProtocol13)


@pytest.mark.gen_test
async def test_what_a_socket_takes_at_once_needs_no_stream() -> None:
    ours, theirs = socket.socketpair()
    stream = IOStream(ours)
    sink = StreamSink(stream)
    try:
        assert sink.send_now(b"at once") == 7
        assert theirs.recv(100) == b"at once"
        rest = b"x" * 10_000_000
        sent = sink.send_now(rest)
        assert 0 < sent < len(rest)
        future = sink.write(memoryview(rest)[sent:])
        assert stream.writing()
        assert sink.send_now(b"not in between") == 0
        theirs.setblocking(False)
        received = 0
        async with asyncio.timeout(20):
            while received < len(rest):
                received += len(await asyncio.get_running_loop().sock_recv(theirs, 1_000_000))
            await future
        assert sink.send_now(b"again") == 5
    finally:
        stream.close()
        theirs.close()
    with pytest.raises(OSError, match="descriptor"):
        sink.send_now(b"gone")
    with pytest.raises(OSError, match="closed"):
        await sink.write(b"gone")


async def receive(peer: socket.socket, size_bytes: int) -> bytes:
    """Read so many bytes, in twenty seconds."""
    received = bytearray()
    async with asyncio.timeout(20):
        while len(received) < size_bytes:
            left = min(1_000_000, size_bytes - len(received))
            received += await asyncio.get_running_loop().sock_recv(peer, left)
    return bytes(received)


@pytest.mark.gen_test
async def test_nothing_passes_the_second_of_two_writes_when_the_first_is_done() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    stream = IOStream(ours)
    sink = StreamSink(stream)
    first, second = b"1" * 4_000_000, b"2" * 4_000_000
    try:
        writing = sink.write(first)
        sink.write(second)
        received = await receive(theirs, len(first))
        await writing
        assert stream.writing()
        assert sink.send_now(b"3") == 0
        assert sink.fileno() == -1
        assert received + await receive(theirs, len(second)) == first + second
    finally:
        stream.close()
        theirs.close()


@pytest.mark.gen_test
async def test_nothing_passes_what_the_stream_was_writing_before() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    stream = IOStream(ours)
    before = b"1" * 4_000_000
    try:
        stream.write(before)
        assert stream.writing()
        sink = StreamSink(stream)
        assert sink.send_now(b"2") == 0
        assert await receive(theirs, len(before)) == before
        async with asyncio.timeout(20):
            await stream.write(b"")
        assert sink.send_now(b"2") == 1
    finally:
        stream.close()
        theirs.close()


@pytest.mark.gen_test
async def test_the_kernel_is_told_how_long_a_peer_may_be_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        stream = IOStream(ours)
        try:
            detect_dead_peer(stream, 1.5)
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1500
        finally:
            stream.close()
    detect_dead_peer(stream, 1.5)  # closed meanwhile: nothing to do


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b"", None),
        (b"\x03\xe8", None),
        (b"\x03\xe8fine", None),
        (b"\x0b\xb8", None),
        (b"\x03", 1002),
        (b"\x03\xec", 1002),
        (b"\x03\xed", 1002),
        (b"\x03\xf7", 1002),
        (b"\x13\x88", 1002),
        (b"\x03\xe8\xff", 1007),
        (b"\x03\xed\xff", 1002),
    ],
)
def test_close_frames(payload: bytes, answer: int | None) -> None:
    assert close_frame_error(payload) == answer


class Refusing(WebSocketHandler):
    """Closes at once, and counts what is taken apart after that."""

    taken_apart = 0

    def initialize(self, reading: list[asyncio.Task[None]]) -> None:
        self._reading = reading

    def get_websocket_protocol(self) -> SessionProtocol:
        class Counting(SessionProtocol):
            async def _receive_frame(self) -> None:
                await super()._receive_frame()
                Refusing.taken_apart += 1

        params = _WebSocketParams(None, None, 1000, None)
        return Counting(self, params)

    def open(self, *_args: str, **_kwargs: str) -> None:
        self.close(4029, "too many")

    def on_message(self, message: str | bytes) -> None:
        raise AssertionError

    async def await_turn(self) -> None:
        await asyncio.sleep(0)

    def discard_input(self, discarding: Coroutine[Any, Any, None]) -> None:
        self._reading.append(asyncio.ensure_future(discarding))


@pytest.mark.gen_test
@pytest.mark.parametrize("frame", ["8980", "8a80", "0080"], ids=["ping", "pong", "fragment"])
async def test_a_client_that_goes_on_after_the_close_is_read_but_not_taken_apart(
    frame: str,
) -> None:
    reading: list[asyncio.Task[None]] = []
    server = HTTPServer(Application([("/", Refusing, {"reading": reading})]))
    listening, port = bind_unused_port()
    server.add_socket(listening)
    Refusing.taken_apart = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        if frame == "0080":
            writer.write(bytes.fromhex("018000000000"))  # what these go on with
        for _ in range(100):
            writer.write(bytes.fromhex(frame + "00000000") * 1000)
            await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(20):
            rest = await reader.read()  # and no reset, which would keep the reason from the client
            await asyncio.gather(*reading)
    finally:
        writer.close()
        server.stop()
    assert rest == bytes.fromhex("880a0fbd") + b"too many"
    assert Refusing.taken_apart <= FRAMES_AFTER_CLOSE + 1


class Echoing(WebSocketHandler):
    """Sends back what comes."""

    def get_websocket_protocol(self) -> SessionProtocol:
        protocol = SessionProtocol(self, _WebSocketParams(None, None, 70_000, None))
        protocol.most_frames_in_turn = 3
        return protocol

    async def await_turn(self) -> None:
        await asyncio.sleep(0)

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message, binary=isinstance(message, bytes))

    def on_bare_frame(self) -> None:
        """Of no interest."""


def frame(payload: bytes, first: int = 0x81, mask: bytes = b"mask") -> bytes:
    """A client's frame."""
    length = bytearray(unmasked(payload)[: -len(payload) or None])
    length[0] |= 0x80
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([first]) + length + mask + masked


@pytest.mark.gen_test
@pytest.mark.parametrize("step", [1 << 20, 1, 7], ids=["at once", "bytes", "pieces"])
async def test_messages_are_the_same_however_they_come_in(step: int) -> None:
    sent = [b"", b"a", b"x" * 125, b"y" * 126, "\u00e4\u20ac".encode(), b"z" * 300]
    parts = frame(b"one ", first=0x01) + frame(b"ping", first=0x89) + frame(b"two", first=0x80)
    data = b"".join(map(frame, sent)) + parts + frame(b"last", first=0x82, mask=b"\0\0\0\0")
    if step > 7:
        sent.append(b"w" * 66_000)
        data = b"".join(map(frame, sent)) + parts + frame(b"last", first=0x82)
    wanted = b"".join(b"\x81" + unmasked(text) for text in sent)
    wanted += b"\x8a\x04ping" + b"\x81\x07one two" + b"\x82\x04last"
    server = HTTPServer(Application([("/", Echoing)]))
    listening, port = bind_unused_port()
    server.add_socket(listening)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        for at in range(0, len(data), step):
            writer.write(data[at : at + step])
            if step < len(data):
                await asyncio.sleep(0)
        async with asyncio.timeout(20):
            assert await reader.readexactly(len(wanted)) == wanted
    finally:
        writer.close()
        server.stop()


def unmasked(text: bytes) -> bytes:
    """Length and payload, as a server sends them."""
    size = len(text)
    if size < 126:
        return bytes([size]) + text
    return b"\x7e" + size.to_bytes(2) + text if size < 65_536 else b"\x7f" + size.to_bytes(8) + text
