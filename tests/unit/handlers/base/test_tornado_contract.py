"""What `handlers/base/tornado_socket.py` takes for granted of Tornado, and what it makes of it.

The first half fails when a Tornado release changes underneath, and names what did.
"""

import asyncio
import inspect
import socket

import pytest
from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream
from tornado.websocket import WebSocketProtocol13, _WebSocketParams

from handlers.base.tornado_socket import StreamSink, close_frame_error, protocol_of
from rtserver.delivery.send_buffer import Outbox
from rtserver.delivery.sender import LEAST_TOGETHER, Sender, open_ring

WAIT_S = 10
MIB = 1024 * 1024


def _source(what: object) -> str:
    return inspect.getsource(what)  # type: ignore[arg-type]


def test_the_parameters_of_a_websocket_are_those_that_are_given() -> None:
    names = list(inspect.signature(_WebSocketParams).parameters)
    assert names == ["ping_interval", "ping_timeout", "max_message_size", "compression_options"]


@pytest.mark.parametrize(
    "name", ["_receive_frame", "_handle_message", "_write_frame", "_abort", "close"]
)
def test_what_is_overridden_is_still_there(name: str) -> None:
    assert callable(getattr(WebSocketProtocol13, name))


def test_the_signatures_of_what_is_overridden_are_the_same() -> None:
    def parameters(name: str) -> list[str]:
        return list(inspect.signature(getattr(WebSocketProtocol13, name)).parameters)

    assert parameters("_receive_frame") == ["self"]
    assert parameters("_handle_message") == ["self", "opcode", "data"]
    assert parameters("_write_frame") == ["self", "fin", "opcode", "data", "flags"]
    assert parameters("_abort") == ["self"]
    assert parameters("close") == ["self", "code", "reason"]
    assert parameters("__init__") == ["self", "handler", "mask_outgoing", "params"]


def test_a_message_too_big_is_still_closed_with_1009_and_then_dropped() -> None:
    lines = [line.strip() for line in _source(WebSocketProtocol13._receive_frame).splitlines()]
    close = lines.index('self.close(1009, "message too big")')
    assert lines[close + 1] == "self._abort()"


def test_a_frames_mask_is_still_kept_where_it_is_looked_for() -> None:
    source = _source(WebSocketProtocol13._receive_frame)
    assert "self._frame_mask = await self._read_bytes(4)" in source
    assert "self._handle_message(opcode, data)" in source


def test_a_received_close_still_sets_what_ends_the_reading() -> None:
    assert "while not self.client_terminated:" in _source(WebSocketProtocol13._receive_frame_loop)
    assert "self.server_terminated = True" in _source(WebSocketProtocol13.close)


def test_a_response_without_a_length_is_still_ended_by_this() -> None:
    assert "_disconnect_on_finish" in _source(HTTP1Connection)


# What is made of it, on real sockets.


def _pair() -> tuple[IOStream, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(WAIT_S)
    return IOStream(ours), theirs


def test_all_frames_of_tornados_own_still_go_one_way() -> None:
    assert _source(WebSocketProtocol13).count("self.stream.write(") == 1
    assert "return self.stream.write(frame)" in _source(WebSocketProtocol13._write_frame)


def _read(theirs: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        received += theirs.recv(65536)
    return bytes(received)


@pytest.mark.gen_test
async def test_a_socket_that_takes_all_is_sent_to_at_once() -> None:
    stream, theirs = _pair()
    assert StreamSink(stream).send_now(b"hello") == 5
    assert theirs.recv(100) == b"hello"
    assert not stream.writing()
    stream.close()
    theirs.close()


@pytest.mark.gen_test
async def test_nothing_overtakes_what_tornado_still_has_to_write() -> None:
    """A pong or a close frame of Tornado's own must not be cut in two by a batch of events."""
    stream, theirs = _pair()
    protocol = protocol_of(object(), MIB)  # type: ignore[arg-type]  # what it is of is not asked
    protocol.stream = stream
    sink = protocol.sink = StreamSink(stream)
    first = protocol._write_frame(True, 0x2, b"a" * 4 * MIB)
    assert stream.writing()
    assert sink.send_now(b"b") == 0, "Tornado is in the middle of a write"
    assert sink.fileno() == -1
    second = sink.write(b"b")
    third = protocol._write_frame(True, 0xA, b"c")
    received = await asyncio.to_thread(_read, theirs, 10 + 4 * MIB + 4)
    assert received[10:] == b"a" * 4 * MIB + b"b\x8a\x01c"
    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(first, second, third)
        assert not stream.writing()
    assert sink.fileno() == stream.socket.fileno()
    assert sink.send_now(b"d") == 1
    assert _read(theirs, 1) == b"d"
    stream.close()
    theirs.close()


@pytest.mark.gen_test
async def test_a_sink_begins_behind_what_the_stream_still_writes() -> None:
    stream, theirs = _pair()
    first = stream.write(b"a" * 4 * MIB)
    sink = StreamSink(stream)
    assert sink.send_now(b"b") == 0, "the answer to the opening is still on its way"
    await asyncio.to_thread(_read, theirs, 4 * MIB)
    async with asyncio.timeout(WAIT_S):
        await first
        assert sink.send_now(b"d") == 1
    stream.close()
    theirs.close()


@pytest.mark.gen_test
async def test_who_gets_the_number_of_a_closed_socket_gets_nothing_that_was_meant_for_it() -> None:
    """Of a connection that has just gone the outbox learns only in the next turn of the loop."""
    ring = open_ring()
    pairs = [_pair() for _ in range(LEAST_TOGETHER)]
    outboxes = [Outbox(StreamSink(stream), MIB, lambda: None) for stream, _ in pairs]
    number = pairs[3][0].socket.fileno()
    pairs[3][0].close()
    ours, theirs = socket.socketpair()
    assert ours.fileno() == number
    sender = Sender(ring)
    sender.send(outboxes, b"secret")
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(100)
    assert [_read(far, 6) for n, (_, far) in enumerate(pairs) if n != 3] == [b"secret"] * (
        len(pairs) - 1
    )
    sender.close()
    for stream, far in pairs:
        stream.close()
        far.close()
    ours.close()
    theirs.close()


@pytest.mark.gen_test
async def test_what_is_sent_through_an_outbox_arrives_whole_and_in_order() -> None:
    stream, theirs = _pair()
    overflows: list[str] = []
    outbox = Outbox(StreamSink(stream), 16 * MIB, lambda: overflows.append("overflow"))
    sent = b""
    for number in range(64):
        part = bytes([number]) * 131_072
        outbox.send(part)
        sent += part
    assert outbox.pending_bytes > 0, "more than the socket takes at once"
    assert await asyncio.to_thread(_read, theirs, len(sent)) == sent
    async with asyncio.timeout(WAIT_S):
        await outbox.drained()
    assert overflows == []
    stream.close()
    theirs.close()


@pytest.mark.gen_test
async def test_a_peer_that_is_gone_is_no_error_of_the_senders() -> None:
    stream, theirs = _pair()
    sink = StreamSink(stream)
    theirs.close()
    outbox = Outbox(sink, MIB, lambda: None)
    outbox.send(b"x")
    stream.close()
    outbox.send(b"x")
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(Exception, match="closed"):
            await sink.write(b"x")


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 3000, 4999])
def test_close_codes_that_may_be_sent_are_taken(code: int) -> None:
    assert close_frame_error(code.to_bytes(2, "big") + "grund ü".encode()) is None


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535])
def test_close_codes_that_must_not_be_sent_are_refused(code: int) -> None:
    assert close_frame_error(code.to_bytes(2, "big")) == 1002


def test_half_a_close_code_and_a_reason_that_is_no_text_are_refused() -> None:
    assert close_frame_error(b"") is None
    assert close_frame_error(b"\x03") == 1002
    assert close_frame_error(b"\x03\xe8\xff") == 1007
