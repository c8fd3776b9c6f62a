"""Memory of an idle connection: a server's memory before and after it holds N of them.

The slope between two numbers of connections is given too, since the first connections pay
for what is made once.
"""

import argparse
import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from bench import load, peers, procs, report, worker
from bench.load import Load
from bench.peers import Server

BAR_KIB = 18.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, nargs="+", default=[1000, 2000])
    parser.add_argument("--users", type=int, default=200, help="whose the connections are, in turn")
    parser.add_argument("--settle-s", type=float, default=3.0)
    parser.add_argument("--without", nargs="*", default=[], help="servers to leave out")


def warm_up(server: Server) -> None:
    """Pays once for what is made at the first connections (caches, pools, code)."""
    with held(server, 50):
        pass
    time.sleep(1)


@contextlib.contextmanager
def held(server: Server, connections: int) -> Any:
    plan = Load(connections=connections, open_timeout_s=300)
    with load.client(server, plan, "--publisher", "none", "--hold") as process:
        opened = next(load.messages(process))
        if opened["connections"] != connections:
            raise load.LoadError(f"{server.name}: {opened}")
        yield opened


def measure(
    start: Callable[[], AbstractContextManager[Server]], connections: int, settle_s: float
) -> dict[str, Any]:
    with start() as server:
        warm_up(server)
        before = procs.memory(server.pid)
        with held(server, connections):
            time.sleep(settle_s)
            after = procs.memory(server.pid)
    grown = {
        key: (getattr(after, key) - getattr(before, key)) / connections
        for key in ("rss_kib", "pss_kib", "uss_kib")
    }
    return {
        "server": server.name,
        "connections": connections,
        "before": vars(before),
        "after": vars(after),
        "each": grown,
    }


def main(options: argparse.Namespace) -> int:
    starters: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        "rtserver": lambda: worker.rtserver(users=options.users),
        "bare_tornado": peers.bare_tornado,
    }
    runs, rows = [], []
    met: bool | None = None
    for name, start in starters.items():
        if name in options.without:
            continue
        mine = [measure(start, count, options.settle_s) for count in options.connections]
        runs += mine
        for run in mine:
            each = run["each"]
            rows.append([name, run["connections"], *(f"{each[key]:.1f}" for key in each)])
        if len(mine) > 1:
            more = mine[-1]["connections"] - mine[0]["connections"]
            slope = [
                (mine[-1]["after"][key] - mine[-1]["before"][key]
                 - mine[0]["after"][key] + mine[0]["before"][key]) / more
                for key in ("rss_kib", "pss_kib", "uss_kib")
            ]  # fmt: skip
            rows.append([name, "slope", *(f"{value:.1f}" for value in slope)])
        if name == "rtserver":
            met = max(run["each"]["rss_kib"] for run in mine) < BAR_KIB
    print(report.table(["server", "connections", "RSS KiB", "PSS KiB", "USS KiB"], rows))
    if met is not None:
        print(f"bar: an idle connection of rtserver under {BAR_KIB} KiB: {report.verdict(met)}")
    print("saved:", report.save("memory", {"runs": runs}))
    return 1 if met is False else 0
