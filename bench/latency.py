"""Publish to delivery at a low rate, durability included.

The clock starts at an event's scheduled time, before its POST is written, and stops when the
client has the frame; so a publish that had to wait counts with its wait.
"""

import argparse

from bench import load, report, worker
from bench.load import Load

BAR_P50_MS, BAR_P99_MS = 10.0, 50.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--rate-per-s", type=float, default=20.0)
    parser.add_argument("--duration-s", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)


def main(options: argparse.Namespace) -> int:
    plan = Load(
        connections=options.connections,
        rate_per_s=options.rate_per_s,
        duration_s=options.duration_s,
        warmup_s=3.0,
        publish_conns=32,
        single=True,
    )
    runs = []
    with worker.rtserver() as server:
        for _ in range(options.rounds):
            load.wait_until_quiet()
            runs.append(load.run(server, plan))
    keys = ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"]
    middles = {key: report.middle([run[key] for run in runs]) for key in keys}
    rows = [[n, *(f"{run[key]:.2f}" for key in keys)] for n, run in enumerate(runs, 1)]
    rows.append(["median", *(f"{middles[key]:.2f}" for key in keys)])
    met = middles["p50_ms"] < BAR_P50_MS and middles["p99_ms"] < BAR_P99_MS
    print(report.table(["run", *keys], rows))
    print(f"bar: p50 < {BAR_P50_MS} ms and p99 < {BAR_P99_MS} ms: {report.verdict(met)}")
    print("saved:", report.save("latency", {"runs": runs}))
    return 0 if met else 1
