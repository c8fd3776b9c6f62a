"""The audit log at 2,000 records/s: its way to an admin, what it costs others, what filters cost.

Bars: from the act to a watching admin under 50 ms at the median; project events slow by less than
10 %, with and without in turn, where "with" is the records and an admin who watches all of them;
100 admins with different filters cost under 3 times one.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from statistics import quantiles
from typing import Any

import jwt
from websockets.asyncio.client import ClientConnection, connect

from bench import load, peers, procs, report, worker
from bench.load import Load
from bench.peers import HOST, Server

BAR_P50_MS = 50.0
BAR_SLOWER = 0.10
BAR_FILTERS = 3.0
SECRET = "a secret of the benchmark, long enough"
PARTS = ["way", "filters", "slowing"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--records-per-s", type=float, default=2000.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=30, help="of runs with and without records")
    parser.add_argument("--duration-s", type=float, default=5.0)
    parser.add_argument("--pair-duration-s", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--admins", type=int, default=100)
    parser.add_argument("--attempts", type=int, default=3, help="at a run that is disturbed")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)


class Control:
    """The benchmark's hand on the worker."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), 30)

    def rate(self, records_per_s: float) -> None:
        """Record at this rate from now on."""
        self._socket.sendall(b"rate %f\n" % records_per_s)
        if self._socket.recv(16) != b"ok\n":
            raise RuntimeError("the worker does not answer")


@contextlib.contextmanager
def running() -> Iterator[tuple[Server, Control]]:
    port = peers.free_port()
    settings = {
        "BENCH_CONTROL_PORT": str(port),
        "RT_JWT_SECRET": SECRET,
        "RT_LOG_LEVEL": "warning",
    }
    with worker.rtserver(settings=settings, program=("bench.audit_worker",)) as server:
        yield server, Control(port)


def admin_token(number: int) -> str:
    claims = {"sub": f"admin-{number}", "exp": int(time.time()) + 86400, "roles": ["admin"]}
    return jwt.encode(claims, SECRET, algorithm="HS256")


async def watch(server: Server, number: int, query: str = "") -> ClientConnection:
    client = await connect(
        f"ws://{HOST}:{server.port}/ws/audit{query}",
        additional_headers={"Authorization": f"Bearer {admin_token(number)}"},
        compression=None,
        max_queue=100_000,
    )
    welcome = json.loads(await client.recv())
    if welcome["type"] != "welcome":
        raise RuntimeError(f"not let in: {welcome}")
    return client


async def ways_ms(server: Server, seconds: float) -> list[float]:
    """How long each record took to an admin who watches all."""
    client = await watch(server, 0)
    ways: list[float] = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        message = await client.recv()
        now_us = time.time_ns() // 1000
        details = json.loads(message).get("details", {})
        if "at_us" in details:
            ways.append((now_us - details["at_us"]) / 1000)
    await client.close()
    return ways


@contextlib.contextmanager
def watched(server: Server) -> Iterator[None]:
    """An admin who watches all, and costs the client's core next to nothing."""
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET /ws/audit HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        f"Authorization: Bearer {admin_token(0)}\r\n\r\n"
    )
    admin = socket.create_connection((HOST, server.port), 30)
    admin.sendall(request.encode())
    seen = bytearray(admin.recv(65536))
    if b" 101 " not in seen.partition(b"\r\n")[0]:
        raise RuntimeError(f"not let in: {bytes(seen[:200])!r}")
    received = 0

    def drain() -> None:
        nonlocal received
        with contextlib.suppress(OSError):
            while data := admin.recv(1 << 20):
                received += len(data)

    # It answers no ping, so it lasts for less than 40 s: longer than a run.
    thread = threading.Thread(target=drain)
    thread.start()
    try:
        yield
    finally:
        admin.shutdown(socket.SHUT_RDWR)
        thread.join()
        admin.close()
    if received == 0:
        raise RuntimeError("the admin got nothing")


def filters(count: int) -> list[str]:
    """Different filters, as different people would have them."""
    made = [f"?actor=user-{n}" for n in range(count // 2)]
    made += [f"?target=proposal-{n}" for n in range(count // 4)]
    made += [f"?project_id=p{n}&outcome=denied" for n in range(10)]
    made += [f"?action=connection.*&actor=user-{n}" for n in range(count - len(made))]
    return made[:count]


async def cost_share(server: Server, queries: Sequence[str], seconds: float) -> float:
    """The share of its core that the worker needs while these watch."""
    clients = [await watch(server, number, query) for number, query in enumerate(queries)]

    async def drain(client: ClientConnection) -> None:
        async for _ in client:
            pass

    tasks = [asyncio.create_task(drain(client)) for client in clients]
    await asyncio.sleep(1.0)
    before_s, begin_s = procs.cpu_s(server.pid), time.monotonic()
    await asyncio.sleep(seconds)
    share = (procs.cpu_s(server.pid) - before_s) / (time.monotonic() - begin_s)
    for client, task in zip(clients, tasks, strict=True):
        await client.close()
        await task
    return share


def measure_way(options: argparse.Namespace, server: Server, control: Control) -> dict[str, Any]:
    load.wait_until_quiet()
    control.rate(options.records_per_s)
    ways = asyncio.run(ways_ms(server, options.duration_s * 2))
    control.rate(0)
    cuts = quantiles(ways, n=100)
    result = {"records": len(ways), "p50_ms": cuts[49], "p90_ms": cuts[89], "p99_ms": cuts[98]}
    shown = json.dumps({key: round(value, 1) for key, value in result.items()})
    print(f"  {len(ways)} records: {shown}", flush=True)
    return result


def measure_slowing(
    options: argparse.Namespace, server: Server, control: Control
) -> list[dict[str, Any]]:
    plans = {
        "fan-out": Load(
            connections=options.connections, window=256, duration_s=options.pair_duration_s
        ),
        "latency": Load(
            connections=options.connections,
            rate_per_s=50,
            single=True,
            publish_conns=16,
            duration_s=options.pair_duration_s,
        ),
    }
    runs: list[dict[str, Any]] = []
    for round_ in range(options.pairs):
        for name, plan in plans.items():
            # In turn, and the first of each pair is now the one, now the other.
            for rate in (0.0, options.records_per_s)[:: 1 if round_ % 2 == 0 else -1]:
                result = run_with(server, control, plan, rate, options.attempts)
                runs.append({"plan": name, "records_per_s": rate, "round": round_, **result})
                print(
                    f"  {name:<8} {rate:>6.0f} records/s: {result['deliveries_per_s']:>11,.0f}"
                    f" deliveries/s, p50 {result['p50_ms']:.2f} ms, server"
                    f" {result['server_share']:.0%}, others {result['foreign_share']:.0%}",
                    flush=True,
                )
    return runs


def run_with(
    server: Server, control: Control, plan: Load, rate: float, attempts: int
) -> dict[str, Any]:
    """One run with so many records a second; of some attempts the least disturbed one."""
    best: dict[str, Any] | None = None
    for _ in range(attempts):
        load.wait_until_quiet(10)  # before the records begin: they keep the core busy themselves
        with watched(server) if rate else contextlib.nullcontext():
            control.rate(rate)
            result = load.run(server, plan)
            control.rate(0)
        if best is None or result["foreign_share"] < best["foreign_share"]:
            best = result
        if best["foreign_share"] <= load.FOREIGN_LIMIT:
            break
    assert best is not None
    return best


def ratios(runs: list[dict[str, Any]], plan: str, key: str, records_per_s: float) -> list[float]:
    """With records to without, run by run."""

    def values(rate: float) -> list[float]:
        mine = [run for run in runs if run["plan"] == plan and run["records_per_s"] == rate]
        return [run[key] for run in sorted(mine, key=lambda run: run["round"])]

    return report.ratios(values(records_per_s), values(0.0))


def spread(values: Sequence[float]) -> str:
    """A median, and between what it lies."""
    least, most = report.middle_range(values)
    return f"{report.middle(values):.3f} ({least:.2f} to {most:.2f})"


def measure_filters(
    options: argparse.Namespace, server: Server, control: Control
) -> list[dict[str, float]]:
    found = []
    several = filters(options.admins)
    for _ in range(options.rounds):
        control.rate(options.records_per_s)
        load.wait_until_quiet(busy_share=2.0)
        shares = {
            "none": asyncio.run(cost_share(server, [], options.duration_s)),
            "one": asyncio.run(cost_share(server, [""], options.duration_s)),
            "many": asyncio.run(cost_share(server, several, options.duration_s)),
        }
        found.append(shares)
        print("  " + ", ".join(f"{name} {share:.1%}" for name, share in shares.items()), flush=True)
    control.rate(0)
    return found


def main(options: argparse.Namespace) -> int:
    found: dict[str, Any] = {}
    rows: list[tuple[str, str, str, bool]] = []
    with running() as (server, control):
        if "way" in options.parts:
            found["way"] = measure_way(options, server, control)
            p50_ms = found["way"]["p50_ms"]
            bar = f"< {BAR_P50_MS:g} ms"
            rows.append(("act to admin, p50", f"{p50_ms:.1f} ms", bar, p50_ms < BAR_P50_MS))
        if "filters" in options.parts:
            found["filters"] = measure_filters(options, server, control)
            many = report.middle([share["many"] / share["one"] for share in found["filters"]])
            bar = f"< {BAR_FILTERS:g}"
            rows.append((f"{options.admins} admins : one", f"{many:.2f}", bar, many < BAR_FILTERS))
        if "slowing" in options.parts:
            found["runs"] = runs = measure_slowing(options, server, control)
            least, most = 1 - BAR_SLOWER, 1 + BAR_SLOWER
            slower = ratios(runs, "fan-out", "deliveries_per_s", options.records_per_s)
            met = report.middle(slower) > least
            name = "project fan-out, with : without"
            rows.append((name, spread(slower), f"> {least:g}", met))
            slower = ratios(runs, "latency", "p50_ms", options.records_per_s)
            met = report.middle(slower) < most
            name = "project latency p50, with : without"
            rows.append((name, spread(slower), f"< {most:g}", met))
    table = [[*row[:3], report.verdict(row[3])] for row in rows]
    print(report.table(["what", "measured", "bar", ""], table))
    print("saved:", report.save("audit", found))
    return 0 if all(row[3] for row in rows) else 1
