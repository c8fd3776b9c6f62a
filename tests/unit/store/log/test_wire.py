"""A connection of the log's own: against a real MongoDB, and against one that misbehaves."""

import asyncio
import contextlib
import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import bson
import pytest
from bson import ObjectId
from bson.errors import InvalidDocument
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect, NetworkTimeout, NotPrimaryError, OperationFailure

from store.base.client import Database
from store.log import wire
from store.log.wire import MAX_MESSAGE_BYTES, Address, WireConnection, encode
from tests.support.mongo import MongodProcess
from tests.support.waiting import WAIT_S

MIB = 1024 * 1024
HELLO = {"ok": 1, "isWritablePrimary": True}


def address_of(mongod: MongodProcess) -> Address:
    return unquote(urlsplit(mongod.uri).netloc), None


@contextlib.asynccontextmanager
async def connected(address: Address, reply_timeout_s: float = WAIT_S) -> AsyncIterator[Any]:
    connection = await WireConnection.open(
        address, connect_timeout_s=WAIT_S, reply_timeout_s=reply_timeout_s
    )
    try:
        yield connection
    finally:
        await connection.close()
        assert not connection.is_open


def reply(number: int, answer: dict[str, Any], *, opcode: int = 2013, start: int = 0) -> bytes:
    body = struct.pack("<IB", start, 0) + bson.encode(answer)
    return struct.pack("<iiii", 16 + len(body), 7, number, opcode) + body


Misbehave = Callable[[asyncio.StreamWriter, int], Awaitable[None]]


@contextlib.asynccontextmanager
async def misbehaving(
    misbehave: Misbehave, hello: dict[str, Any] | None = HELLO
) -> AsyncIterator[Address]:
    """Somebody who answers `hello` (not at all where that is None), and each later command so."""
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size_bytes, number = struct.unpack("<ii", await reader.readexactly(8))
                message = await reader.readexactly(size_bytes - 8)
                if b"\x10hello\x00" not in message[:32]:
                    await misbehave(writer, number)
                elif hello is not None:
                    writer.write(reply(number, hello))
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        served.add(task)
        task.add_done_callback(served.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        if served:
            await asyncio.wait(list(served), timeout=WAIT_S)
        await server.wait_closed()


async def silent(_writer: asyncio.StreamWriter, _number: int) -> None:
    """Never answers."""


@given(
    number=st.integers(1, 2**31 - 1),
    documents=st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), max_size=3),
)
def test_a_message_says_how_long_it_and_its_parts_are(
    number: int, documents: list[dict[str, Any]]
) -> None:
    command = {"insert": "events", "$db": "d"}
    message = encode(number, command, documents)
    assert struct.unpack_from("<iiiiIB", message) == (len(message), number, 0, 2013, 0, 0)
    at = 21
    (size_bytes,) = struct.unpack_from("<i", message, at)
    assert bson.decode(message[at : at + size_bytes]) == command
    at += size_bytes
    if documents:
        kind, size_bytes = struct.unpack_from("<Bi", message, at)
        assert (kind, at + 1 + size_bytes) == (1, len(message))
        name, _, rest = message[at + 5 :].partition(b"\x00")
        assert (name, bson.decode_all(rest)) == (b"documents", documents)
    else:
        assert at == len(message)


@pytest.mark.gen_test
async def test_commands_follow_one_another_and_a_refused_one_stops_none(
    mongod: MongodProcess, db: Database
) -> None:
    async with connected(address_of(mongod)) as connection:
        assert (await connection.command({"ping": 1, "$db": db.name}))["ok"] == 1
        with pytest.raises(OperationFailure, match="no such command") as refused:
            await connection.command({"nonsense": 1, "$db": db.name})
        assert refused.value.code == 59
        with pytest.raises(InvalidDocument):
            await connection.command({"ping": object(), "$db": db.name})
        assert (await connection.command({"ping": 1, "$db": db.name}))["ok"] == 1


@pytest.mark.gen_test
async def test_commands_are_counted_for_as_long_as_it_takes_in_no_memory(
    mongod: MongodProcess, db: Database
) -> None:
    """The numbers came from `itertools.cycle`, which keeps all that it has ever given."""

    def kept() -> int:
        # By this module alone: the driver's threads take memory when they like.
        only = tracemalloc.Filter(inclusive=True, filename_pattern=wire.__file__)
        return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([only]).traces)

    async with connected(address_of(mongod)) as connection:
        connection._number = 2**31 - 2
        tracemalloc.start()
        try:
            await connection.command({"ping": 1, "$db": db.name})
            assert connection._number == 2**31 - 1
            before = kept()
            for _ in range(1_000):
                await connection.command({"ping": 1, "$db": db.name})
            after = kept()
        finally:
            tracemalloc.stop()
        assert connection._number == 1_000
        assert after - before < 16 * 1024


@pytest.mark.gen_test
async def test_what_is_inserted_may_be_larger_than_one_document(
    mongod: MongodProcess, db: Database
) -> None:
    documents = [{"_id": ObjectId(), "text": "x" * (12 * MIB)} for _ in range(2)]
    async with connected(address_of(mongod)) as connection:
        stored = await connection.command({"insert": "large", "$db": db.name}, documents)
        assert stored["n"] == 2
        found = await connection.command(
            {"find": "large", "filter": {"_id": documents[0]["_id"]}, "$db": db.name}
        )
        assert found["cursor"]["firstBatch"] == documents[:1]
        too_large = [{"text": "x" * (17 * MIB)}]
        with pytest.raises(OperationFailure) as refused:
            await connection.command({"insert": "large", "$db": db.name}, too_large)
        assert refused.value.code == 10334
        assert connection.is_open


@pytest.mark.gen_test
async def test_mongodb_knows_who_is_connected(mongod: MongodProcess) -> None:
    async with connected(address_of(mongod)) as connection:
        operations = await connection.command(
            {"currentOp": 1, "$ownOps": True, "$all": True, "$db": "admin"}
        )
    mine = [one for one in operations["inprog"] if "currentOp" in one.get("command", {})]
    assert [one["appName"] for one in mine] == ["rtserver"]


@pytest.mark.gen_test
@pytest.mark.parametrize("piece_bytes", [1, 15, 16, 20, 21, 22])
async def test_a_reply_may_come_in_pieces(piece_bytes: int) -> None:
    async def in_pieces(writer: asyncio.StreamWriter, number: int) -> None:
        whole = reply(number, {"ok": 1, "text": "piece by piece"})
        for at in range(0, len(whole), piece_bytes):
            writer.write(whole[at : at + piece_bytes])
            await writer.drain()
            await asyncio.sleep(0)

    async with misbehaving(in_pieces) as address, connected(address) as connection:
        for _ in range(2):
            assert (await connection.command({"ping": 1}))["text"] == "piece by piece"


def _sends(make: Callable[[int], bytes]) -> Misbehave:
    async def send(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(make(number))

    return send


async def _hangs_up(writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(reply(number, {"ok": 1})[:-1])
    writer.close()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("misbehave", "words"),
    [
        pytest.param(_hangs_up, "lost", id="hangs up in the middle"),
        pytest.param(
            _sends(lambda number: reply(number + 1, {"ok": 1})), "not asked", id="another's"
        ),
        pytest.param(
            _sends(lambda number: reply(number, {"ok": 1}, opcode=1)), "not asked", id="opcode"
        ),
        pytest.param(
            _sends(lambda number: reply(number, {"ok": 1}) + b"x"), "another form", id="too much"
        ),
        pytest.param(
            _sends(lambda number: reply(number, {"ok": 1}, start=2)), "another form", id="flags"
        ),
        pytest.param(
            _sends(lambda _: struct.pack("<i", MAX_MESSAGE_BYTES + 1) + bytes(20)),
            "impossible size",
            id="huge",
        ),
        pytest.param(_sends(lambda _: bytes(21)), "impossible size", id="tiny"),
        pytest.param(
            _sends(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n"), "impossible size", id="HTTP"
        ),
    ],
)
async def test_what_is_no_reply_closes_the_connection(misbehave: Misbehave, words: str) -> None:
    async with misbehaving(misbehave) as address, connected(address) as connection:
        with pytest.raises(AutoReconnect, match=words):
            await connection.command({"ping": 1})
        assert not connection.is_open
        with pytest.raises(AutoReconnect, match="is closed"):
            await connection.command({"ping": 1})


@pytest.mark.gen_test
async def test_a_body_that_is_no_document_closes_the_connection() -> None:
    def broken(number: int) -> bytes:
        body = struct.pack("<IBi", 0, 0, 99) + b"\x00"
        return struct.pack("<iiii", 16 + len(body), 7, number, 2013) + body

    async with misbehaving(_sends(broken)) as address, connected(address) as connection:
        with pytest.raises(AutoReconnect, match="another form"):
            await connection.command({"ping": 1})
        assert not connection.is_open


@pytest.mark.gen_test
async def test_a_node_that_is_no_primary_any_more_is_left() -> None:
    stepped_down = {"ok": 0, "code": 189, "errmsg": "stepped down"}
    send = _sends(lambda number: reply(number, stepped_down))
    async with misbehaving(send) as address, connected(address) as connection:
        with pytest.raises(NotPrimaryError, match="stepped down"):
            await connection.command({"ping": 1})
        assert not connection.is_open


@pytest.mark.gen_test
async def test_a_node_that_is_no_primary_is_not_used() -> None:
    async with misbehaving(silent, {"ok": 1, "isWritablePrimary": False}) as address:
        with pytest.raises(NotPrimaryError):
            await WireConnection.open(address)


@pytest.mark.gen_test
async def test_who_does_not_answer_is_waited_for_so_long_and_no_longer() -> None:
    async with (
        misbehaving(silent) as address,
        connected(address, reply_timeout_s=0.02) as connection,
    ):
        with pytest.raises(NetworkTimeout, match="did not answer"):
            await connection.command({"ping": 1})
        # Or what comes too late would be taken for the next command's.
        assert not connection.is_open
    async with misbehaving(silent, None) as address:
        with pytest.raises(NetworkTimeout, match="took too long"):
            await WireConnection.open(address, connect_timeout_s=0.02)


@pytest.mark.gen_test
async def test_who_is_primary_no_more_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is cut off answers nothing, and the time for a reply is long."""
    monkeypatch.setattr(wire, "LOOK_S", 0.01)
    asked: list[Address] = []

    def is_primary(address: Address) -> bool:
        asked.append(address)
        return len(asked) < 3

    async with misbehaving(silent) as address:
        connection = await WireConnection.open(address, is_primary=is_primary)
        with pytest.raises(AutoReconnect, match="another node is primary"):
            await connection.command({"ping": 1})
        assert asked == [address] * 3
        assert not connection.is_open
        await connection.close()


@pytest.mark.gen_test
async def test_a_quiet_connection_is_kept_alive() -> None:
    """What stands between may forget it, and an insert would then wait for an answer in vain."""
    async with misbehaving(silent) as address, connected(address) as connection:
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 120


@pytest.mark.gen_test
async def test_a_cancelled_command_closes_the_connection() -> None:
    async with misbehaving(silent) as address, connected(address) as connection:
        waiting = asyncio.ensure_future(connection.command({"ping": 1}))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not connection.is_open


@pytest.mark.gen_test
async def test_nobody_there_is_said_as_the_driver_says_it(tmp_path: Path) -> None:
    async with misbehaving(silent) as gone:
        pass
    for address in (gone, (str(tmp_path / "none.sock"), None)):
        with pytest.raises(AutoReconnect, match="no connection to MongoDB"):
            await WireConnection.open(address)
