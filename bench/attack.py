"""What others notice of an attack: how long a command takes, quiet and under each kind of attack.

The worker has a core to itself. The attacker (`tests.support.attacker`) shares the other one with
the database and with those who are measured, and runs only where these leave it idle (SCHED_IDLE):
so it takes from others no more than one on another machine would, but by what it does to the
worker. The time is the clock's, from a command's send to when the kernel has its answer: what the
attacker's own packets keep the second core busy with is not the worker's doing.
"""

import argparse
import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench import load, report, worker
from bench.peers import HOST, Server
from tests.support import attacker
from tests.support.tokens import SECRET, token

BAR = 3.0
"""So many times its quiet value may the 99th percentile be."""
PROJECT = "p1"
CLIENTS = 4
PAUSE_S = 0.025
"""Between an answer and a client's next command."""
ANSWER_S = 10.0
WARMUP_S = 1.0
QUIET = "quiet"
TIMES = ("p50_ms", "p99_ms", "max_ms")
SO_TIMESTAMPNS = 35
"""Have the kernel say when data came; Python has no name for it (socket(7))."""
EXTENDED_BYTES = {126: 2, 127: 8}
PING_FRAME = 0x89


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kinds", nargs="+", default=list(attacker.KINDS), choices=attacker.KINDS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure-s", type=float, default=4.0)
    parser.add_argument(
        "--after-s", type=float, default=0.0, help="measure only when an attack has gone on so long"
    )


class Client:
    """A WebSocket that costs as little as possible, so that the worker's time is what is measured.

    Attributes:
        waited_s: how long each answer took.
    """

    def __init__(self, port: int, user: str) -> None:
        self._socket = socket.create_connection((HOST, port), ANSWER_S)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._received = b""
        self._asked = 0
        self._sent_s = 0.0
        self.waited_s: list[float] = []
        head = (
            f"GET /ws/projects/{PROJECT} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nAuthorization: Bearer {token(user)}\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        self._socket.sendall(head.encode())
        while b"\r\n\r\n" not in self._received:
            self._received += self._socket.recv(65536)
        self._received = self._received.partition(b"\r\n\r\n")[2]
        self._await(b'"welcome"')

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()

    def ask(self) -> None:
        """Send a command that needs no database."""
        self._asked += 1
        text = f'{{"type":"view","request_id":"r{self._asked}","proposal_ids":[]}}'.encode()
        self._sent_s = time.time()
        self._send(0x81, text)

    def is_answered(self) -> bool:
        """Read what has come; whether the answer is there, whose time is then taken."""
        came_s = self._read(b'"request_id":"r%d"' % self._asked)
        if came_s is None:
            return False
        self.waited_s.append(came_s - self._sent_s)
        return True

    def _await(self, wanted: bytes) -> None:
        while self._read(wanted) is None:
            pass

    def _send(self, first: int, data: bytes) -> None:
        self._socket.sendall(bytes((first, 0x80 | len(data))) + bytes(4) + data)

    def _read(self, wanted: bytes) -> float | None:
        """Read once; when that came (Unix seconds), if a frame has something in it."""
        part, told, _, _ = self._socket.recvmsg(65536, 256)
        if not part:
            raise load.LoadError("the worker closed a client that is measured")
        self._received += part
        found = False
        for first, data in self._frames():
            if first == PING_FRAME:
                self._send(0x8A, data)
            found |= wanted in data
        return came_s(told) if found else None

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        while len(self._received) >= 2:
            first, length = self._received[:2]
            begin = 2 + EXTENDED_BYTES.get(length, 0)
            if begin > 2:
                length = int.from_bytes(self._received[2:begin])
            if len(self._received) < begin + length:
                return
            yield first, self._received[begin : begin + length]
            self._received = self._received[begin + length :]


def came_s(told: list[tuple[int, int, bytes]]) -> float:
    """When the newest of what was read came, as the kernel told."""
    for level, kind, data in told:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("@ll", data)
            return int(seconds) + int(nanoseconds) / 1e9
    return time.time()  # it was there before the kernel was asked to


def ask_for(clients: list[Client], for_s: float) -> dict[str, Any]:
    """Let clients ask for a while; the median, 99th percentile and most of what they waited."""
    end_s = time.monotonic() + for_s
    due_s = {
        client: time.monotonic() + PAUSE_S * n / len(clients) for n, client in enumerate(clients)
    }
    waiting: set[Client] = set()
    for client in clients:
        client.waited_s.clear()
    while waiting or time.monotonic() < end_s:
        now_s = time.monotonic()
        for client in clients:
            if now_s < end_s and client not in waiting and due_s[client] <= now_s:
                client.ask()
                waiting.add(client)
        idle = [due for client, due in due_s.items() if client not in waiting]
        wait_s = max(0.0, min(idle, default=now_s + ANSWER_S) - now_s)
        for client in select.select(list(waiting), [], [], wait_s)[0]:
            if client.is_answered():
                waiting.discard(client)
                due_s[client] = time.monotonic() + PAUSE_S
    waited_ms = sorted(1000 * waited for client in clients for waited in client.waited_s)
    count = len(waited_ms)
    return {
        "answers": count,
        "p50_ms": waited_ms[count // 2],
        "p99_ms": waited_ms[count * 99 // 100],
        "max_ms": waited_ms[-1],
    }


@contextlib.contextmanager
def attacking(server: Server) -> Iterator[Callable[[str], None]]:
    """An attacker that takes only idle time; what begins a kind, in place of the one before."""
    process = subprocess.Popen(
        [sys.executable, "-m", attacker.__name__, str(server.port)],
        cwd=worker.ROOT,
        stdin=subprocess.PIPE,
        text=True,
    )
    os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))

    def begin(kind: str) -> None:
        assert process.stdin is not None
        process.stdin.write(f"{kind}\n")
        process.stdin.flush()

    try:
        yield begin
    finally:
        process.kill()
        process.wait()


def run_round(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure quiet and each kind in turn on a new worker, which has counted nothing yet."""
    # As it is by default: with a line a request, and bounds.
    settings = {"RT_JWT_SECRET": SECRET, "RT_LOG_LEVEL": "info", "RT_MAX_CONNECTIONS_PER_USER": "5"}
    runs = []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(worker.rtserver(settings=settings))
        clients = [
            stack.enter_context(contextlib.closing(Client(server.port, f"user-{n}")))
            for n in range(CLIENTS)
        ]
        ask_for(clients, WARMUP_S)
        runs.append({"kind": QUIET, **ask_for(clients, options.measure_s)})
        begin = stack.enter_context(attacking(server))
        for kind in options.kinds:
            begin(kind)
            if options.after_s:
                ask_for(clients, options.after_s)
            before = load.sample(server)
            found = ask_for(clients, options.measure_s)
            after = load.sample(server)
            share = (after.server_s - before.server_s) / (after.at_s - before.at_s)
            runs.append({"kind": kind, **found, "server_share": share})
            begin(attacker.NOTHING)
            ask_for(clients, WARMUP_S)
    for run in runs:
        run["ratio"] = run["p99_ms"] / runs[0]["p99_ms"]
    return runs


def row(kind: str, runs: list[dict[str, Any]]) -> list[str]:
    mine = [run for run in runs if run["kind"] == kind]
    times = [f"{report.middle([run[key] for run in mine]):.2f}" for key in TIMES]
    ratios = [run["ratio"] for run in mine]
    share = report.middle([run.get("server_share", 0.0) for run in mine])
    most = f"{min(ratios):.1f} to {max(ratios):.1f}"
    return [kind, *times, f"{report.middle(ratios):.2f}", most, f"{share:.0%}"]


def main(options: argparse.Namespace) -> int:
    load.wait_until_quiet()
    runs = [run for _ in range(options.rounds) for run in run_round(options)]
    rows = [row(kind, runs) for kind in [QUIET, *options.kinds]]
    print(report.table(["kind", *TIMES, "p99 : quiet", "between", "server's core"], rows))
    met = all(float(cells[-3]) <= BAR for cells in rows)
    print(f"bar: p99 at most {BAR:g} times its quiet value: {report.verdict(met)}")
    print("saved:", report.save("attack", {"runs": runs}))
    return 0 if met else 1
