"""RFC 6455 at `/ws/echo`, which shares its protocol class with every WebSocket of the server.

The cases follow the sections of Autobahn's fuzzing client, less its performance tests.
"""

import struct
from collections.abc import Sequence

import pytest

from tests.support.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawSocket,
    raw_socket,
)
from tests.support.workers import Worker, Workers

Step = tuple[int, bytes, bool]


@pytest.fixture
def worker(module_workers: Workers) -> Worker:
    if not module_workers.all:
        module_workers.start("--test-endpoints")
    return module_workers.all[0]


async def _echoes(socket: RawSocket, opcode: int = TEXT, payload: bytes = b"still here") -> None:
    """The connection is alive, and nothing else is under way."""
    await socket.send(opcode, payload)
    frame = await socket.recv()
    assert frame is not None
    assert (frame.opcode, frame.payload) == (opcode, payload)


def _closing(code: int, reason: bytes = b"") -> bytes:
    return struct.pack("!H", code) + reason


@pytest.mark.gen_test
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [0, 125, 126, 127, 128, 65535, 65536])
@pytest.mark.parametrize("pieces", [1, 50])
async def test_messages_come_back(worker: Worker, opcode: int, size: int, pieces: int) -> None:
    async with raw_socket(worker.address) as socket:
        await socket.send(opcode, b"*" * size, pieces=pieces)
        frame = await socket.recv()
        assert frame is not None
        assert (frame.opcode, frame.payload, frame.first_byte & 0xF0) == (opcode, b"*" * size, 0x80)


@pytest.mark.gen_test
@pytest.mark.parametrize("payload", [b"", b"Hello", bytes(range(125))])
async def test_pings_are_answered_with_what_they_carry(worker: Worker, payload: bytes) -> None:
    async with raw_socket(worker.address) as socket:
        await socket.send(PONG, b"nobody asked")
        for number in range(10):
            await socket.send(PING, payload[:124] + bytes([number]), pieces=1 + number)
            frame = await socket.recv()
            assert frame is not None
            assert (frame.opcode, frame.payload) == (PONG, payload[:124] + bytes([number]))


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("opcode", "payload", "fin", "rsv"),
    [
        (PING, b"x" * 126, True, 0),
        (CLOSE, b"x" * 126, True, 0),
        (PING, b"x", False, 0),
        *[(opcode, b"", True, rsv) for rsv in range(1, 8) for opcode in (TEXT, PING, CLOSE)],
        *[(opcode, b"x", True, 0) for opcode in (3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF)],
        (CONTINUATION, b"x", True, 0),
        (CONTINUATION, b"x", False, 0),
    ],
)
async def test_what_the_protocol_has_no_place_for_ends_the_connection(
    worker: Worker, opcode: int, payload: bytes, fin: bool, rsv: int
) -> None:
    async with raw_socket(worker.address) as socket:
        await _echoes(socket)
        await socket.send(opcode, payload, fin=fin, rsv=rsv)
        await socket.send(TEXT, b"not looked at")
        await socket.dropped()


@pytest.mark.gen_test
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_fragments_are_put_together_around_control_frames(
    worker: Worker, opcode: int
) -> None:
    async with raw_socket(worker.address) as socket:
        steps: Sequence[Step] = [
            (opcode, b"one ", False),
            (PING, b"p", True),
            (CONTINUATION, b"", False),
            (PONG, b"", True),
            (CONTINUATION, "zwölf".encode()[:3], False),
            (CONTINUATION, "zwölf".encode()[3:], True),
        ]
        for code, payload, fin in steps:
            await socket.send(code, payload, fin=fin)
        pong, message = await socket.recv(), await socket.recv()
        assert pong is not None
        assert message is not None
        assert (pong.opcode, pong.payload) == (PONG, b"p")
        assert (message.opcode, message.payload) == (opcode, "one zwölf".encode())


@pytest.mark.gen_test
async def test_a_message_within_a_message_ends_the_connection(worker: Worker) -> None:
    async with raw_socket(worker.address) as socket:
        await socket.send(TEXT, b"one", fin=False)
        await socket.send(TEXT, b"two")
        await socket.dropped()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "text",
    [
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"\xff",
        b"\xc0\xaf",
        b"\xf4\x90\x80\x80",
        b"\xed\xbf\xbf",
        b"\xe2\x82",
    ],
)
async def test_text_that_is_not_utf8_ends_the_connection(worker: Worker, text: bytes) -> None:
    async with raw_socket(worker.address) as socket:
        await socket.send(TEXT, text[:1], fin=False)
        await socket.send(CONTINUATION, text[1:])
        await socket.dropped()


@pytest.mark.gen_test
@pytest.mark.parametrize("text", ["\ufeff", "\U0010ffff", "\ufffe\uffff", "\ud7ff\ue000", "\x00"])
async def test_unusual_characters_come_back(worker: Worker, text: str) -> None:
    async with raw_socket(worker.address) as socket:
        await _echoes(socket, TEXT, text.encode())


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("payload", "answered"),
    [
        (b"", None),
        *[
            (_closing(code), code)
            for code in (1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999)
        ],
        (_closing(1000, b"x" * 123), 1000),
        (_closing(1000, "zwölf".encode()), 1000),
        *[
            (_closing(code), 1002)
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
        ],
        (b"\x03", 1002),
        (_closing(1000, b"\xff\xfe"), 1007),
    ],
)
async def test_close_is_answered_with_what_may_stand_in_a_frame(
    worker: Worker, payload: bytes, answered: int | None
) -> None:
    async with raw_socket(worker.address) as socket:
        await _echoes(socket)
        await socket.send(CLOSE, payload)
        await socket.send(TEXT, b"too late")
        assert await socket.recv_close() == answered


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "steps",
    [
        [(TEXT, b"bare", True)],
        [(PING, b"bare", True)],
        [(TEXT, b"bare", False), (CONTINUATION, b"masked", True)],
    ],
)
async def test_a_client_that_does_not_mask_is_told_so(
    worker: Worker, steps: Sequence[Step]
) -> None:
    async with raw_socket(worker.address) as socket:
        await _echoes(socket)
        opcode, payload, fin = steps[0]
        await socket.send(opcode, payload, fin=fin, masked=False)
        for opcode, payload, fin in steps[1:]:
            await socket.send(opcode, payload, fin=fin)
        assert await socket.recv_close() == 1002


@pytest.mark.gen_test
async def test_a_large_message_comes_back_and_a_far_too_large_one_is_refused_in_words(
    worker: Worker,
) -> None:
    async with raw_socket(worker.address) as socket:
        await _echoes(socket, BINARY, b"x" * 4_000_000)
        await socket.send(TEXT, b"", fin=False)
        head = bytes([0x80, 0x80 | 127]) + struct.pack("!Q", 2**40)
        socket.writer.write(head)
        frame = await socket.recv()
        assert frame is not None
        assert (frame.opcode, frame.payload[:2]) == (CLOSE, struct.pack("!H", 1009))


@pytest.mark.gen_test
async def test_session_sockets_share_the_protocol(worker: Worker) -> None:
    async with raw_socket(worker.address, "/ws/projects/p1") as socket:
        while (frame := await socket.recv()) is not None and frame.opcode != CLOSE:
            assert b"closing" in frame.payload
        assert frame is not None
        assert frame.payload[:2] == struct.pack("!H", 4001)


@pytest.mark.gen_test
async def test_there_is_no_echo_unless_it_is_asked_for(workers: Workers) -> None:
    worker = workers.start()
    assert worker.get_status("/ws/echo") == 404
    assert worker.get_status("/sockjs/echo") == 404
