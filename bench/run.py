"""The benchmarks' command line: `python bench/run.py NAME`, or `all`."""

import argparse
import os
import signal
import sys
from pathlib import Path

if __package__ in {None, ""}:  # run as a file: make `bench` importable
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench import (
    accept,
    attack,
    audit,
    edits,
    fanout,
    iterations,
    latency,
    memory,
    page,
    procs,
    publish,
    worker,
)

BENCHMARKS = {
    "fanout": fanout,
    "latency": latency,
    "memory": memory,
    "accept": accept,
    "publish": publish,
    "iterations": iterations,
    "audit": audit,
    "attack": attack,
    "page": page,
    "edits": edits,
}


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="bench", description="See docs/benchmarks.md.")
    top.add_argument(
        "--without-user", action="store_true", help="on a MongoDB that lets everybody in"
    )
    commands = top.add_subparsers(dest="benchmark", required=True)
    for name, module in BENCHMARKS.items():
        summary = (module.__doc__ or "").splitlines()[0]
        module.add_arguments(commands.add_parser(name, help=summary, description=summary))
    commands.add_parser("all", help="Each of them with its defaults")
    return top


def main(arguments: list[str]) -> int:
    """Returns 0 where every bar is met, 1 where one is missed."""
    procs.require_two_cores()
    # Ends as by Ctrl-C, so that every server that was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parser().parse_args(arguments)
    if options.without_user:
        os.environ[worker.WITHOUT_USER] = "1"
    os.sched_setaffinity(0, {procs.CLIENT_CORE})
    if options.benchmark != "all":
        return int(BENCHMARKS[options.benchmark].main(options))
    failed = False
    for name, module in BENCHMARKS.items():
        print(f"\n## {name}", flush=True)
        failed |= module.main(parser().parse_args([name])) != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
