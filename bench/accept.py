"""Connections accepted a second: rtserver with token and admission, bare Tornado beside it."""

import argparse
import contextlib
import secrets
import time
from typing import Any

from bench import load, peers, report, worker
from bench.load import Load
from bench.peers import Server


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--users", type=int, nargs="+", default=[200])
    parser.add_argument("--opening", type=int, default=64, help="handshakes under way at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", nargs="*", default=[], help="servers to leave out")


def open_once(server: Server, connections: int, opening: int) -> dict[str, Any]:
    plan = Load(connections=connections, opening=opening, open_timeout_s=300)
    before = load.sample(server)
    with load.client(server, plan, "--publisher", "none", "--hold") as process:
        opened = next(load.messages(process))
        after = load.sample(server)
    if opened["connections"] != connections:
        raise load.LoadError(f"{server.name}: {opened}")
    passed_s = after.at_s - before.at_s
    opened["server"] = server.name
    opened["server_share"] = (after.server_s - before.server_s) / passed_s
    opened["helpers_share"] = (after.helpers_s - before.helpers_s) / passed_s
    return opened


def main(options: argparse.Namespace) -> int:
    secret = secrets.token_hex(32)
    token = worker.tokens_for_users(secret, 1)[0]
    runs, rows = [], []
    with contextlib.ExitStack() as stack:
        running: list[tuple[str, Server]] = []
        if "rtserver" not in options.without:
            running += [
                (f"rtserver, {users} users", stack.enter_context(worker.rtserver(users=users)))
                for users in options.users
            ]
        bare = stack.enter_context(peers.bare_tornado())
        with_jwt = stack.enter_context(peers.bare_tornado(secret, token))
        running += [("bare Tornado", bare), ("bare Tornado with JWT", with_jwt)]
        for connections in options.connections:
            results: dict[str, list[dict[str, Any]]] = {label: [] for label, _ in running}
            for _ in range(options.rounds):
                for label, server in running:
                    load.wait_until_quiet()
                    result = open_once(server, connections, options.opening)
                    results[label].append(result)
                    runs.append({"label": label, **result})
                    time.sleep(2)  # the server sees the last ones close before the next open
            for label, mine in results.items():
                shares = [
                    f"{report.middle([run[key] for run in mine]):.0%}"
                    for key in ("server_share", "helpers_share")
                ]
                rate = report.middle([run["per_s"] for run in mine])
                rows.append([label, connections, f"{rate:,.0f}", *shares])
    header = ["server", "connections", "accepted/s", "server's core", "database"]
    print(report.table(header, rows))
    print("saved:", report.save("accept", {"runs": runs}))
    return 0
