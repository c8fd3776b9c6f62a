"""Fan-out at saturation: rtserver and NATS in turn, with the same messages under way.

The bar: at least 1.5 times NATS over WebSocket in the same run. Bare Tornado and the C
programs that only send stand beside it.
"""

import argparse
import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import product
from typing import Any

from bench import load, peers, report, worker
from bench.load import Load
from bench.peers import Server

BAR_RATIO = 1.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--windows", type=int, nargs="+", default=[64, 256, 1000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration-s", type=float, default=5.0)
    parser.add_argument(
        "--parts",
        type=int,
        nargs="+",
        default=[1, 4],
        help="how many publications the window goes out in",
    )
    parser.add_argument("--publish-conns", type=int, default=4)
    parser.add_argument("--attempts", type=int, default=4, help="at an undisturbed run")
    parser.add_argument("--patience-s", type=float, default=60.0, help="waiting for quiet cores")
    parser.add_argument("--without", nargs="*", default=[], help="servers to leave out")


def servers(stack: contextlib.ExitStack, without: list[str]) -> list[Server]:
    starters: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        "rtserver": worker.rtserver,
        "nats": peers.nats,
        "bare_tornado": peers.bare_tornado,
        "raw_sender_each": lambda: peers.raw_sender("each"),
        "raw_sender_join": lambda: peers.raw_sender("join"),
    }
    return [stack.enter_context(start()) for name, start in starters.items() if name not in without]


def measure(options: argparse.Namespace, running: list[Server]) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []
    shapes = list(product(options.connections, options.windows, options.parts))
    for connections, window, parts in shapes:
        for round_ in range(options.rounds):
            for server in running:
                # What joins nothing has one number, whatever is under way.
                beside = server.name in {"bare_tornado", "raw_sender_each"}
                if beside and (window, parts) != shapes[0][1:]:
                    continue
                plan = Load(
                    connections=connections,
                    window=window,
                    chunk=max(1, window // parts),
                    publish_conns=options.publish_conns,
                    duration_s=options.duration_s,
                )
                result = load.run_undisturbed(server, plan, options.attempts, options.patience_s)
                result |= {"asked_window": window, "parts": parts, "round": round_}
                runs.append(result)
                print(line(result), flush=True)
    return runs


def line(result: dict[str, Any]) -> str:
    return (
        f"  {result['server']:<16} sockets={result['connections']:<5}"
        f" window={result['window']:<5} parts={result['parts']}"
        f" {result['deliveries_per_s']:>11,.0f}/s"
        f"  p99={result['p99_ms']:.1f} ms  core: server {result['server_share']:.0%}"
        f" others {result['foreign_share']:.0%}; client {result['client_share']:.0%}"
        f" database {result['helpers_share']:.0%}"
    )


def rates(
    runs: list[dict[str, Any]],
    server: str,
    connections: int,
    shape: tuple[int, int],
    key: str = "deliveries_per_s",
) -> list[float]:
    return [
        run[key]
        for run in runs
        if (run["server"], run["connections"]) == (server, connections)
        and (run["asked_window"], run["parts"]) == shape
    ]


def summarize(options: argparse.Namespace, runs: list[dict[str, Any]]) -> list[list[object]]:
    rows: list[list[object]] = []
    for connections in options.connections:
        shapes = list(product(options.windows, options.parts))
        for shape in shapes:
            ours = rates(runs, "rtserver", connections, shape)
            theirs = rates(runs, "nats", connections, shape)
            ratio = report.paired_ratio(ours, theirs)
            per_cpu = report.paired_ratio(
                rates(runs, "rtserver", connections, shape, "deliveries_per_cpu_s"),
                rates(runs, "nats", connections, shape, "deliveries_per_cpu_s"),
            )
            beside = [
                report.middle(rates(runs, name, connections, shapes[0]))
                for name in ("bare_tornado", "raw_sender_each")
            ]
            joined = report.middle(rates(runs, "raw_sender_join", connections, shape))
            numbers = [report.middle(ours), report.middle(theirs), *beside, joined]
            outcome = report.verdict(ratio >= BAR_RATIO) if ours and theirs else "-"
            cells = [f"{number:,.0f}" if number else "-" for number in numbers]
            rows.append([connections, *shape, *cells, f"{ratio:.2f}", f"{per_cpu:.2f}", outcome])
    return rows


HEADER = ["sockets", "under way", "published in", "rtserver/s", "NATS/s", "bare Tornado/s"]
HEADER += [
    "C, one send each/s",
    "C, joined/s",
    "rtserver : NATS",
    "the same by CPU time",
    f"bar {BAR_RATIO}",
]


def main(options: argparse.Namespace) -> int:
    with contextlib.ExitStack() as stack:
        running = servers(stack, options.without)
        runs = measure(options, running)
    rows = summarize(options, runs)
    print(report.table(HEADER, rows))
    print("saved:", report.save("fanout", {"runs": runs}))
    return 1 if any(row[-1] == "MISSED" for row in rows) else 0
