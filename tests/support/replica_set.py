"""Three mongods that elect a primary; each may be killed, paused or told to step down."""

import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from store.mongod.command import find_mongod, mongod_environment
from tests.support.memory import folder_in_memory
from tests.support.processes import Child, end, spawn, wait_until

NAME = "three"
MEMBERS = 3
ELECTION_TIMEOUT_MS = 2_000


@dataclass(frozen=True, slots=True)
class Home:
    """Where a member runs.

    Attributes:
        host: its address.
        within: the command that starts another one there.
    """

    host: str
    within: tuple[str, ...] = ()


LOOPBACK = Home("127.0.0.1")


class ReplicaSet:
    """A replica set on this machine.

    Attributes:
        uri: for `RT_MONGODB_URI`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        election_timeout_ms: int = ELECTION_TIMEOUT_MS,
        homes: Sequence[Home] = (LOOPBACK,) * MEMBERS,
    ) -> None:
        self._directory = directory
        self._election_timeout_ms = election_timeout_ms
        self._ports = free_ports(MEMBERS)
        self._homes = dict(zip(self._ports, homes, strict=True))
        self._processes: dict[int, Child] = {}
        hosts = ",".join(map(self.address, self._ports))
        self.uri = f"mongodb://{hosts}/?replicaSet={NAME}"

    @property
    def ports(self) -> list[int]:
        """Of all members; each names one."""
        return list(self._ports)

    def address(self, port: int) -> str:
        """Host and port of a member."""
        return f"{self._homes[port].host}:{port}"

    def _direct(self, port: int) -> "AbstractContextManager[MongoClient[dict[str, Any]]]":
        return direct(port, self._homes[port].host)

    def start(self) -> None:
        """Start all members, and return when one of them is primary."""
        for port in self._ports:
            self.start_member(port)
        members = [{"_id": n, "host": self.address(p)} for n, p in enumerate(self._ports)]
        settings = {
            "electionTimeoutMillis": self._election_timeout_ms,
            "heartbeatIntervalMillis": 500,
            "heartbeatTimeoutSecs": 2,  # a paused member says nothing; 10 s would be waited for it
        }
        config = {"_id": NAME, "members": members, "settings": settings}
        with self._direct(self._ports[0]) as client:
            client.admin.command("replSetInitiate", config)
        self.step_up(self._ports[0])

    def start_member(self, port: int) -> None:
        """Start a member, also again."""
        self._processes[port], log = spawn_member(
            self._directory, port, NAME, home=self._homes[port]
        )
        with self._direct(port) as client:
            wait_until(
                lambda: bool(_hello(client)), "a mongod", timeout_s=60, explain=log.read_text
            )

    def primary(self) -> int:
        """The port of the member that takes writes, once there is one."""
        found: list[int] = []
        with ExitStack() as stack:
            clients = {port: stack.enter_context(self._direct(port)) for port in self._ports}

            def is_there() -> bool:
                found.extend(port for port in self._ports if _is_primary(clients[port]))
                return bool(found)

            wait_until(is_there, "a primary", timeout_s=60)
        return found[0]

    def is_primary(self, port: int) -> bool:
        """Whether a member takes writes just now."""
        with self._direct(port) as client:
            return _is_primary(client)

    def ask_to_step_down(self, port: int) -> bool:
        """Ask a member to step down, once; whether it did."""
        with self._direct(port) as client, suppress(PyMongoError):
            client.admin.command({"replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 2})
            return True
        return False

    def step_down(self) -> int:
        """Have the primary step down for some seconds; its port."""
        deadline_s = time.monotonic() + 60
        while True:
            port = self.primary()
            with self._direct(port) as client:
                try:
                    client.admin.command({"replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 4})
                except PyMongoError:  # no other has caught up; it is tried again
                    if time.monotonic() > deadline_s:
                        raise
                else:
                    return port

    def kill_primary(self) -> int:
        """SIGKILL the primary; its port."""
        port = self.primary()
        self.kill(port)
        return port

    def kill(self, *ports: int) -> None:
        """SIGKILL members."""
        for port in ports:
            self._processes[port].kill()
            self._processes[port].wait()

    def others(self, port: int) -> list[int]:
        """The ports of the members but one."""
        return [other for other in self._ports if other != port]

    def pause(self, *ports: int) -> None:
        """Stop members where they stand, as a partition does for the others."""
        for port in ports:
            self._processes[port].send_signal(signal.SIGSTOP)

    def resume(self, *ports: int) -> None:
        """Let paused members go on."""
        for port in ports:
            self._processes[port].send_signal(signal.SIGCONT)

    def step_up(self, port: int) -> None:
        """Have a member elected now, without waiting for the election's time-out."""
        with self._direct(port) as client:

            def is_elected() -> bool:
                with suppress(PyMongoError):
                    client.admin.command("replSetStepUp")
                return _is_primary(client)

            wait_until(is_elected, "the member elected", timeout_s=60)

    def stop(self) -> None:
        """End all members, in no orderly way: their data are thrown away."""
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            end(process, tell=False)


def spawn_member(
    directory: Path, port: int, replica_set: str, *options: str, home: Home = LOOPBACK
) -> tuple[Child, Path]:
    """Start a member of a replica set with its data below a directory; it, and its log."""
    path = directory / str(port)
    path.mkdir(exist_ok=True)
    binary = find_mongod()
    argv = [*home.within, str(binary), "--nounixsocket", "--quiet", "--dbpath", str(path)]
    argv += ["--bind_ip", home.host, "--port", str(port), "--replSet", replica_set]
    argv += ["--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25"]
    argv += ["--setParameter", "diagnosticDataCollectionEnabled=false", *options]
    log = directory / f"{port}.log"
    environ = mongod_environment(binary, path)
    return spawn(argv, environ=environ, stdout=log, stderr=log, cwd=path), log


@contextmanager
def three_mongods(
    *,
    election_timeout_ms: int = ELECTION_TIMEOUT_MS,
    homes: Sequence[Home] = (LOOPBACK,) * MEMBERS,
) -> Iterator[ReplicaSet]:
    """A replica set for as long as it is used, its data in memory where that can be."""
    with tempfile.TemporaryDirectory(prefix="rtserver-three-", dir=folder_in_memory()) as directory:
        three = ReplicaSet(Path(directory), election_timeout_ms=election_timeout_ms, homes=homes)
        try:
            three.start()
            yield three
        finally:
            three.stop()


@contextmanager
def direct(port: int, host: str = "127.0.0.1") -> Iterator["MongoClient[dict[str, Any]]"]:
    """A client of one member alone, whatever that is just now."""
    client: MongoClient[dict[str, Any]] = MongoClient(
        host,
        port,
        directConnection=True,
        serverSelectionTimeoutMS=1_000,
        socketTimeoutMS=15_000,  # one that is paused takes a connection, and says nothing
    )
    try:
        yield client
    finally:
        client.close()


def _hello(client: "MongoClient[dict[str, Any]]") -> dict[str, Any]:
    try:
        return client.admin.command("hello")
    except PyMongoError:
        return {}


def _is_primary(client: "MongoClient[dict[str, Any]]") -> bool:
    return bool(_hello(client).get("isWritablePrimary"))


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens on just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
