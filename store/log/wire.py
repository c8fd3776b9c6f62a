"""A connection to one MongoDB node that carries one command at a time.

For the two things that each event waits for, its insert and the tail's next batch. The driver takes
each operation through a thread, a session, a pool and a choice of server, and needs several times
the processor time of the rest; see docs/architecture.md, "The log's own connections". Messages are
OP_MSG as the specification "MongoDB Wire Protocol" has them.
"""

import asyncio
import math
import platform
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, cast

import bson
from bson import CodecOptions
from bson.errors import InvalidBSON
from pymongo.errors import AutoReconnect, NetworkTimeout, NotPrimaryError, OperationFailure

from rtserver.model.version import VERSION

Address = tuple[str, int | None]
"""Host and port, or the path of a Unix socket and None."""

OP_MSG = 2013
MAX_MESSAGE_BYTES = 48_000_000 + 16 * 1024
"""`maxMessageSizeBytes` of every MongoDB that is served, and what its reply adds."""

NOT_PRIMARY = frozenset({91, 189, 10058, 10107, 11600, 11602, 13435, 13436})
"""Codes that mean: ask another node. ShutdownInProgress, PrimarySteppedDown, LegacyNotPrimary,
NotWritablePrimary, InterruptedAtShutdown, InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk
and NotPrimaryOrSecondary ("Server Discovery And Monitoring", "not writable primary")."""

MAX_NUMBER = 2**31 - 1
LOOK_S = 1.0
KEEP_ALIVE_S = {"TCP_KEEPIDLE": 120, "TCP_KEEPINTVL": 10}
"""As the driver has it: what stands in between may forget a connection that is quiet for longer."""

_HEADER = struct.Struct("<iiii")  # bytes of all, number, number of what it answers, opcode
_INT32 = struct.Struct("<i")
_BODY_AT = _HEADER.size + 5  # behind the flags and the kind of the first section
_BODY = b"\x00"
_SEQUENCE = b"\x01"
_NO_FLAGS = b"\x00\x00\x00\x00"
_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)

_METADATA = {
    "driver": {"name": "rtserver", "version": VERSION},
    "os": {"type": platform.system()},
    "application": {"name": "rtserver"},
}


def encode(
    number: int, command: Mapping[str, Any], documents: Sequence[Mapping[str, Any]] = ()
) -> bytes:
    """A command as OP_MSG.

    Args:
        number: what the reply names.
        command: with `$db`.
        documents: the `documents` of an insert, in a separate section: there all of them
            together may be larger than one document may be.
    """
    parts = [_NO_FLAGS, _BODY, bson.encode(command)]
    if documents:
        encoded = [b"documents\x00", *map(bson.encode, documents)]
        parts += [_SEQUENCE, _INT32.pack(_INT32.size + sum(map(len, encoded))), *encoded]
    size_bytes = _HEADER.size + sum(map(len, parts))
    return b"".join([_HEADER.pack(size_bytes, number, 0, OP_MSG), *parts])


def raise_refusal(reply: Mapping[str, Any]) -> None:
    """Raise what the driver would for a reply that is no success.

    Raises:
        NotPrimaryError: another node has to be asked.
        OperationFailure: the command was refused.
    """
    if reply.get("ok") == 1:
        return
    words = str(reply.get("errmsg", "MongoDB refused a command"))
    if reply.get("code") in NOT_PRIMARY:
        raise NotPrimaryError(words, dict(reply))
    raise OperationFailure(words, reply.get("code"), dict(reply))


class WireConnection(asyncio.Protocol):
    """One command after another; `open` makes one. What goes wrong closes it.

    Attributes:
        address: where it leads.
    """

    def __init__(
        self,
        address: Address,
        reply_timeout_s: float | None = None,
        is_primary: Callable[[Address], bool] = bool,
    ) -> None:
        self.address = address
        self._reply_timeout_s = math.inf if reply_timeout_s is None else reply_timeout_s
        self._is_primary = is_primary
        self._sent_s = 0.0
        self._number = 0
        self._reply: asyncio.Future[bytes] | None = None
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lost = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(
        cls,
        address: Address,
        *,
        connect_timeout_s: float | None = None,
        reply_timeout_s: float | None = None,
        is_primary: Callable[[Address], bool] = bool,
    ) -> Self:
        """Connect to the primary.

        Args:
            address: where it is.
            connect_timeout_s: how long that may take; None: without end.
            reply_timeout_s: how long each reply may take; None: without end.
            is_primary: asked every second that a reply takes. Where it is not, none is waited for:
                a node that is cut off gives none, and its successor is there long before the time
                is over.

        Raises:
            NetworkTimeout: it took too long.
            NotPrimaryError: that node is no primary.
            AutoReconnect: nobody is there.
        """
        loop = asyncio.get_running_loop()
        host, port = address
        connection = cls(address, reply_timeout_s, is_primary)
        try:
            async with asyncio.timeout(connect_timeout_s):
                if port is None:
                    await loop.create_unix_connection(lambda: connection, host)
                else:
                    await loop.create_connection(lambda: connection, host, port)
                hello = await connection.command({"hello": 1, "client": _METADATA, "$db": "admin"})
            if not hello.get("isWritablePrimary"):
                raise NotPrimaryError("the node is not primary", dict(hello))
        except TimeoutError:
            await connection.close()
            raise NetworkTimeout("connecting to MongoDB took too long") from None
        except OSError as error:
            raise AutoReconnect(f"no connection to MongoDB: {error}") from error
        except BaseException:
            await connection.close()
            raise
        return connection

    @property
    def is_open(self) -> bool:
        """Whether it can take a command."""
        return self._transport is not None and not self._transport.is_closing()

    async def command(
        self, command: Mapping[str, Any], documents: Sequence[Mapping[str, Any]] = ()
    ) -> dict[str, Any]:
        """Run a command; its reply. A cancelled one closes the connection, as its reply may come.

        Args:
            command: with `$db`.
            documents: those of an insert.

        Raises:
            NotPrimaryError: another node has to be asked.
            OperationFailure: it was refused; errors of single writes are in the reply.
            NetworkTimeout: no reply in time; what was asked for may be done all the same.
            AutoReconnect: the connection was lost, or another node is primary; as above.
        """
        if self._transport is None or not self.is_open:
            raise AutoReconnect("the connection to MongoDB is closed")
        assert self._reply is None, "one command at a time"  # noqa: S101 - whose reply would it be
        self._number = self._number % MAX_NUMBER + 1
        message = encode(self._number, command, documents)
        loop = asyncio.get_running_loop()
        reply = self._reply = loop.create_future()
        self._sent_s = loop.time()
        self._look_again(0.0)
        try:
            self._transport.write(message)
            answer = bson.decode(await reply, _CODEC)
            raise_refusal(answer)
        except InvalidBSON as error:
            self._give_up()
            raise AutoReconnect("MongoDB sent a reply of another form") from error
        except OperationFailure:
            raise  # the next command may do better
        except BaseException:
            self._give_up()
            raise
        finally:
            self._reply = None
            if self._timer is not None:
                self._timer.cancel()
        return answer

    def _look_again(self, waited_s: float) -> None:
        next_s = min(LOOK_S, self._reply_timeout_s - waited_s)
        self._timer = asyncio.get_running_loop().call_later(next_s, self._look)

    def _look(self) -> None:
        """See whether the reply that is waited for may still come."""
        waited_s = asyncio.get_running_loop().time() - self._sent_s
        if waited_s >= self._reply_timeout_s:
            self._fail(NetworkTimeout("MongoDB did not answer in time"))
        elif not self._is_primary(self.address):
            self._fail(AutoReconnect("another node is primary now"))
        else:
            self._look_again(waited_s)

    async def close(self) -> None:
        """Close it, and return when it is closed."""
        if self._transport is not None:
            self._give_up()
            await asyncio.shield(self._lost)

    def _give_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast("asyncio.Transport", transport)
        if self.address[1] is not None:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, seconds in KEEP_ALIVE_S.items():
                if hasattr(socket, name):  # not on every system
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - its name is given
        """See `asyncio.BaseProtocol`."""
        self._fail(AutoReconnect("the connection to MongoDB was lost"))
        self._lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        received = self._received
        received += data
        if len(received) < _BODY_AT:
            return
        size_bytes, _, answers, opcode = _HEADER.unpack_from(received)
        if not _BODY_AT <= size_bytes <= MAX_MESSAGE_BYTES:
            self._fail(AutoReconnect("MongoDB sent a message of an impossible size"))
        elif self._reply is None or answers != self._number or opcode != OP_MSG:
            self._fail(AutoReconnect("MongoDB sent what was not asked for"))
        # No flag was asked for, and a reply has one section.
        elif len(received) > size_bytes or received[_HEADER.size : _BODY_AT] != _NO_FLAGS + _BODY:
            self._fail(AutoReconnect("MongoDB sent a reply of another form"))
        elif len(received) == size_bytes and not self._reply.done():
            self._reply.set_result(bytes(received[_BODY_AT:]))
            received.clear()

    def _fail(self, error: AutoReconnect) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)
        self._give_up()
