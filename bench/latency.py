"""Publish to delivery at a low rate, durability included; peers without it beside.

The clock starts at an event's scheduled time, before its POST is written, and stops when the
client has the frame; so a publish that had to wait counts with its wait. The program that
only sends tells how much of that is the kernel's, for as many sends as there are sockets, and
the least that Tornado and Motor need, with the same durability, how much of it is the stack's.
"""

import argparse
import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from bench import load, peers, report, worker
from bench.load import Load
from bench.peers import Server

BAR_P50_MS, BAR_P99_MS = 10.0, 50.0
KEYS = ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--rate-per-s", type=float, default=20.0)
    parser.add_argument("--duration-s", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", nargs="*", default=[], help="servers to leave out")


def try_peer(server: Server, plan: Load) -> dict[str, Any] | None:
    """Runs a peer; None where it cannot keep up with the rate, which only rtserver must."""
    try:
        return load.run_undisturbed(server, plan)
    except load.LoadError as error:
        print(f"  {error}", flush=True)
        return None


def main(options: argparse.Namespace) -> int:
    plan = Load(
        connections=options.connections,
        rate_per_s=options.rate_per_s,
        duration_s=options.duration_s,
        warmup_s=3.0,
        publish_conns=32,
        single=True,
    )
    starters: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        "rtserver": worker.rtserver,
        "nats": peers.nats,
        "bare_tornado": peers.bare_tornado,
        "bare_stack": peers.bare_stack,
        "raw_sender_each": lambda: peers.raw_sender("each"),
    }
    runs: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(start())
            for name, start in starters.items()
            if name not in options.without
        ]
        for _ in range(options.rounds):
            for server in running:
                ours = server.name == "rtserver"
                result = load.run_undisturbed(server, plan) if ours else try_peer(server, plan)
                runs += [result] if result else []
    rows, met = [], None
    for server in running:
        mine = [run for run in runs if run["server"] == server.name]
        middles = {key: report.middle([run[key] for run in mine]) for key in KEYS}
        cells = [f"{middles[key]:.2f}" for key in KEYS] if mine else ["can't keep up"] * len(KEYS)
        shares = [
            f"{report.middle([run[key] for run in mine]):.0%}"
            for key in ("server_share", "foreign_share")
        ]
        rows.append([server.name, *cells, *shares])
        if server.name == "rtserver":
            met = middles["p50_ms"] < BAR_P50_MS and middles["p99_ms"] < BAR_P99_MS
    print(report.table(["server", *KEYS, "server's core", "disturbed by"], rows))
    if met is not None:
        print(f"bar: p50 < {BAR_P50_MS} ms and p99 < {BAR_P99_MS} ms: {report.verdict(met)}")
    print("saved:", report.save("latency", {"runs": runs}))
    return 1 if met is False else 0
