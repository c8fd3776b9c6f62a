"""Starting and stopping the servers that rtserver is set beside, each pinned to one core."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench import native, procs

HOST = "127.0.0.1"
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Server:
    """A server under test, and how the load client speaks to it.

    Attributes:
        targets: (path, token) of the connections, used in turn; "" sends no token.
        helper_pids: Processes that work for it on the other core (its database).
        max_chunk: The most events that one publish may carry; None for no limit.
        window_cap: The most messages under way that make sense for it; None for no limit.
    """

    name: str
    pid: int
    port: int
    wire: Literal["ws", "nats"] = "ws"
    publisher: Literal["rtserver", "socket", "nats", "control"] = "control"
    publish_port: int = 0
    publish_path: str = "/control"
    publish_token: str = ""
    ready_on: Literal["upgrade", "frame"] = "upgrade"
    targets: list[tuple[str, str]] = field(default_factory=lambda: [("/ws", "")])
    helper_pids: list[int] = field(default_factory=list)
    max_chunk: int | None = None
    window_cap: int | None = None


def free_port() -> int:
    """Returns a TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Waits until something accepts connections on the port.

    Raises:
        RuntimeError: The process ended, or START_TIMEOUT_S passed.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing accepts connections on port {port}")


@contextlib.contextmanager
def pinned(
    command: list[str], env: dict[str, str] | None = None, log: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a command on the server's core; stops it at the end."""
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        process = subprocess.Popen(
            ["taskset", "-c", str(procs.SERVER_CORE), *command],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if log else subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_TIMEOUT_S)


@contextlib.contextmanager
def listening(
    command: list[str], port: int, env: dict[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a command as `pinned` does, once it accepts connections on its port."""
    with pinned(command, env) as process:
        wait_for_port(process, port)
        yield process


@contextlib.contextmanager
def nats() -> Iterator[Server]:
    """NATS with a WebSocket listener, its Go runtime on one core."""
    binary = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")
    if binary is None:
        raise RuntimeError("nats-server was not found; on Debian: apt-get install nats-server")
    port, websocket_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="bench-nats-") as folder:
        config = Path(folder) / "nats.conf"
        config.write_text(
            f'listen: "{HOST}:{port}"\n'
            f'websocket {{ listen: "{HOST}:{websocket_port}", no_tls: true }}\n'
        )
        command = [binary, "-c", str(config)]
        with listening(command, websocket_port, {"GOMAXPROCS": "1"}) as process:
            yield Server(
                name="nats",
                pid=process.pid,
                port=websocket_port,
                wire="nats",
                publisher="nats",
                publish_port=port,
                targets=[("/", "")],
            )


@contextlib.contextmanager
def bare_tornado(jwt_secret: str | None = None, token: str = "") -> Iterator[Server]:
    """Tornado's `write_message` in a loop; with a secret it also checks a token."""
    port = free_port()
    script = str(native.HERE / "bare_tornado.py")
    env = {"BENCH_JWT_SECRET": jwt_secret} if jwt_secret else {}
    with listening([sys.executable, script, str(port)], port, env) as process:
        yield Server(
            name="bare_tornado_jwt" if jwt_secret else "bare_tornado",
            pid=process.pid,
            port=port,
            targets=[("/ws", token)],
            # It joins nothing, so more under way only makes its queue longer.
            window_cap=16,
        )


@contextlib.contextmanager
def bare_stack() -> Iterator[Server]:
    """The least that a Tornado server needs to keep an event and send it on, and nothing else."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-bare-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "bench.bare_stack", str(port), folder]
        env = {"PYTHONPATH": str(native.HERE.parent)}
        with listening(command, port, env) as process:
            yield Server(
                name="bare_stack",
                pid=process.pid,
                port=port,
                publisher="rtserver",
                publish_path="/publish",
                helper_pids=procs.pin_helpers(folder, process.pid),
            )


@contextlib.contextmanager
def raw_sender(mode: Literal["each", "join"]) -> Iterator[Server]:
    """The C program that only sends: the physical limit of one core."""
    port = free_port()
    with listening([str(native.program("raw_sender")), str(port), mode], port) as process:
        yield Server(name=f"raw_sender_{mode}", pid=process.pid, port=port)
