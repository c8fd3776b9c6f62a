"""`python -m tests.chaos [--seed N] [--minutes M] [--runs K]`: runs under faults, by seeds.

Ends with 1 where a promise was broken; the history is left on disk, and its path printed. A history
that was kept is judged again with `--check PATH`.
"""

import argparse
import asyncio
import multiprocessing
import secrets
import shutil
import sys
from pathlib import Path

from tests.chaos.checker import Violation, check
from tests.chaos.cluster import mongods, networked
from tests.chaos.history import read_history
from tests.chaos.play import Plan, play
from tests.support.network import enter_alone
from tests.support.processes import ROOT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=1, help="so many seeds, one after another")
    parser.add_argument("--check", type=Path, help="judge a history that was kept")
    parser.add_argument("--keep", action="store_true", help="leave also histories that are clean")
    asked = parser.parse_args()
    if asked.check is not None:
        return _tell(check(read_history(asked.check)), asked.check)
    apart = enter_alone()
    if not apart:
        print("No network namespaces can be made here: nothing is cut off, only killed and stopped")
    broken = 0
    for seed in range(asked.seed, asked.seed + asked.runs):
        directory = ROOT / "var" / "chaos" / f"seed-{seed}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        print(f"seed {seed}, {asked.minutes:g} minutes of faults", flush=True)
        with networked(apart=apart) as network, mongods(network) as three:
            plan = Plan(seed, asked.minutes * 60)
            found = asyncio.run(play(plan, three, network, directory))
        broken |= _tell(found, directory / "history.jsonl")
        if not found and not asked.keep:
            shutil.rmtree(directory)
    return broken


def _tell(violations: list[Violation], history: Path) -> int:
    for one in violations:
        print(f"BROKEN {one.promise}: {one.words}")
    if violations:
        print(f"The history is in {history}; judge it again with --check {history}")
    else:
        print("Every promise was kept", flush=True)
    return int(bool(violations))


if __name__ == "__main__":
    multiprocessing.freeze_support()
    sys.exit(main())
