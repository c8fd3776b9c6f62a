"""Publishing into one worker: durable events a second, in batches, one a request, on a socket."""

import argparse
from dataclasses import replace
from typing import Any

from bench import load, report, worker
from bench.load import Load
from bench.peers import Server


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 10, 100, 500])
    parser.add_argument("--publish-conns", type=int, nargs="+", default=[1, 8])
    parser.add_argument(
        "--under-way", type=int, nargs="*", default=[1, 64, 256], help="on one socket, events"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration-s", type=float, default=5.0)


def by_request(server: Server, options: argparse.Namespace) -> list[tuple[list[Any], Server, Load]]:
    """What is measured of HTTP, each with the first cells of its row."""
    return [
        (
            [f"{batch} a POST", conns],
            server,
            Load(
                connections=1,
                window=batch * conns * 2,
                chunk=batch,
                publish_conns=conns,
                single=batch == 1,
                duration_s=options.duration_s,
            ),
        )
        for batch in options.batches
        for conns in options.publish_conns
    ]


def by_socket(server: Server, options: argparse.Namespace) -> list[tuple[list[Any], Server, Load]]:
    """The same of the command `publish`."""
    path = f"/ws/projects/{worker.PROJECT}"
    on_socket = replace(server, publisher="socket", publish_path=path)
    return [
        (
            [f"command, {window} under way", 1],
            on_socket,
            Load(connections=1, window=window, chunk=1, duration_s=options.duration_s),
        )
        for window in options.under_way
    ]


def main(options: argparse.Namespace) -> int:
    runs, rows = [], []
    with worker.rtserver() as server:
        for cells, target, plan in (*by_request(server, options), *by_socket(server, options)):
            mine = []
            for _ in range(options.rounds):
                result = load.run_undisturbed(target, plan)
                mine.append(result)
                runs.append({"shape": cells[0], "publish_conns": cells[1], **result})
            medians = {
                key: report.middle([run[key] for run in mine])
                for key in ("events_per_s", "p50_ms", "p99_ms", "server_share", "helpers_share")
            }
            rows.append(
                [
                    *cells,
                    f"{medians['events_per_s']:,.0f}",
                    f"{medians['p50_ms']:.1f}",
                    f"{medians['p99_ms']:.1f}",
                    f"{medians['server_share'] / medians['events_per_s'] * 1e6:,.0f}",
                    f"{medians['server_share']:.0%}",
                    f"{medians['helpers_share']:.0%}",
                ]
            )
    header = ["published", "connections", "events/s", "p50 ms", "p99 ms", "µs of the core each"]
    print(report.table([*header, "server's core", "database"], rows))
    print("saved:", report.save("publish", {"runs": runs}))
    return 0
