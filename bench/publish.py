"""Publishing into one worker: durable events a second, in batches and one a request."""

import argparse

from bench import load, report, worker
from bench.load import Load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 10, 100, 500])
    parser.add_argument("--publish-conns", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration-s", type=float, default=5.0)


def main(options: argparse.Namespace) -> int:
    runs, rows = [], []
    with worker.rtserver() as server:
        for batch in options.batches:
            for conns in options.publish_conns:
                mine = []
                for _ in range(options.rounds):
                    plan = Load(
                        connections=1,
                        window=batch * conns * 2,
                        chunk=batch,
                        publish_conns=conns,
                        single=batch == 1,
                        duration_s=options.duration_s,
                    )
                    result = load.run_undisturbed(server, plan)
                    mine.append(result)
                    runs.append({"batch": batch, "publish_conns": conns, **result})
                medians = {
                    key: report.middle([run[key] for run in mine])
                    for key in ("events_per_s", "p50_ms", "p99_ms", "server_share", "helpers_share")
                }
                rows.append(
                    [
                        batch,
                        conns,
                        f"{medians['events_per_s']:,.0f}",
                        f"{medians['p50_ms']:.1f}",
                        f"{medians['p99_ms']:.1f}",
                        f"{medians['server_share']:.0%}",
                        f"{medians['helpers_share']:.0%}",
                    ]
                )
    header = ["events a POST", "connections", "events/s", "p50 ms", "p99 ms"]
    print(report.table([*header, "server's core", "database"], rows))
    print("saved:", report.save("publish", {"runs": runs}))
    return 0
