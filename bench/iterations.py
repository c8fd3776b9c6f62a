"""50 iterations at once, each with its viewers: from a model's chunk to a viewer's socket."""

import argparse
import asyncio
import contextlib
import itertools
import json
import secrets
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import uvloop

from bench import load, peers, procs, report, worker
from bench.native import HERE
from bench.peers import HOST, Server
from bench.watchers import Watcher

BAR_P50_MS, BAR_P99_MS = 20.0, 100.0
PER_PROJECT = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--viewers", type=int, default=5, help="sockets for each iteration")
    parser.add_argument("--rate-per-s", type=float, default=50.0, help="tokens of each reply")
    parser.add_argument("--tokens", type=int, default=1000, help="of each reply")
    parser.add_argument("--rounds", type=int, default=3)


@contextlib.contextmanager
def model(tokens: int, rate_per_s: float) -> Iterator[str]:
    """The endpoint, on the client's core; its base address."""
    port = peers.free_port()
    command = [sys.executable, str(HERE / "model.py"), str(port), str(tokens), str(rate_per_s)]
    process = subprocess.Popen(["taskset", "-c", str(procs.CLIENT_CORE), *command])
    try:
        peers.wait_for_port(process, port)
        yield f"http://{HOST}:{port}"
    finally:
        process.terminate()
        process.wait(10)


def propose(server: Server, secret: str, project: str, proposal: str, workspaces: Path) -> None:
    folder = workspaces / project / "openspec" / "changes" / proposal
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "proposal.md").write_text("# Why\n")
    request = urllib.request.Request(
        f"http://{HOST}:{server.port}/api/v1/projects/{project}/proposals",
        # The first of its watchers has it revised.
        data=json.dumps(
            {"id": proposal, "title": proposal, "reviewers": [f"{proposal}-0"]}
        ).encode(),
        headers={"Authorization": f"Bearer {token(secret, 'author')}"},
    )
    urllib.request.urlopen(request, timeout=30).close()


def token(secret: str, user: str) -> str:
    claims = {"sub": user, "exp": 4_000_000_000, "projects": ["*"]}
    return jwt.encode(claims, secret, algorithm="HS256")


async def watch(
    server: Server, secret: str, proposals: dict[str, str], viewers: int
) -> dict[str, list[Watcher]]:
    """Starts every iteration, and returns its watchers when it has ended."""
    loop = asyncio.get_running_loop()
    watchers: dict[str, list[Watcher]] = {}
    for proposal, project in proposals.items():
        path = f"/ws/projects/{project}?proposal_id={proposal}"
        for number in range(viewers):
            user = token(secret, f"{proposal}-{number}")
            watcher = Watcher(path, user)
            await loop.create_connection(lambda made=watcher: made, HOST, server.port)  # type: ignore[misc]
            await watcher.welcomed
            watchers.setdefault(proposal, []).append(watcher)
    for proposal, mine in watchers.items():
        mine[0].send({"type": "start_iteration", "proposal_id": proposal, "instruction": "Go on"})
    await asyncio.gather(*(one.ended for mine in watchers.values() for one in mine))
    for mine in watchers.values():
        for one in mine:
            one.close()
    return watchers


def measure(
    server: Server, secret: str, base: str, proposals: dict[str, str], viewers: int
) -> dict[str, Any]:
    before = used_s(server.pid)
    watchers, seconds = uvloop.run(timed(watch(server, secret, proposals, viewers)))
    after = used_s(server.pid)
    for one in itertools.chain.from_iterable(watchers.values()):
        one.read()
        if one.end != "iteration_complete":
            raise RuntimeError(f"an iteration was not completed: {one.end}")
    sums = json.loads(urllib.request.urlopen(base, timeout=10).read())
    for proposal, mine in watchers.items():
        for one in mine:
            if one.sha.hexdigest() != sums[proposal]:
                raise RuntimeError(f"a viewer of {proposal} has another text than was sent")
    everyone = [one for mine in watchers.values() for one in mine]
    latencies = sorted(ns for one in everyone for ns in one.latencies_ns)
    at = {key: latencies[int(len(latencies) * part)] / 1e6 for key, part in PARTS.items()}
    share, validators, busy = (
        (new - old) / seconds for old, new in zip(before, after, strict=True)
    )
    return {
        **{key: round(value, 2) for key, value in at.items()},
        "max_ms": round(latencies[-1] / 1e6, 2),
        "seconds": round(seconds, 2),
        "tokens": len(latencies),
        "frames": sum(one.frames for one in everyone),
        "server_share": round(share, 3),
        "validators_share": round(validators, 3),
        "foreign_share": round(max(0.0, busy - share - validators), 3),
        "server_rss_kib": procs.memory(server.pid).rss_kib,
    }


def used_s(pid: int) -> tuple[float, float, float]:
    """Processor time so far: the server's, that of its validators, and its whole core's."""
    return procs.cpu_s(pid), procs.children_cpu_s(pid), procs.core_busy_s(procs.SERVER_CORE)


PARTS = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p999_ms": 0.999}


def undisturbed(run: Callable[[], dict[str, Any]], attempts: int = 4) -> dict[str, Any]:
    """Runs until other processes left the server's core alone; else the least disturbed run."""
    best: dict[str, Any] | None = None
    for _ in range(attempts):
        load.wait_until_quiet()
        result = run()
        print(json.dumps(result), flush=True)
        if best is None or result["foreign_share"] < best["foreign_share"]:
            best = result
        if best["foreign_share"] <= load.FOREIGN_LIMIT:
            break
    assert best is not None
    return best


async def timed(work: Any) -> tuple[dict[str, list[Watcher]], float]:
    now_s = asyncio.get_running_loop().time
    began_s = now_s()
    return await work, now_s() - began_s


def main(options: argparse.Namespace) -> int:
    secret = secrets.token_hex(32)
    with (
        tempfile.TemporaryDirectory(prefix="bench-iterations-") as folder,
        model(options.tokens, options.rate_per_s) as base,
        worker.rtserver(
            settings={
                "RT_JWT_SECRET": secret,
                "RT_WORKSPACE_ROOT": folder,
                "RT_VALIDATION_COMMAND": "true",
                "RT_VALIDATION_REPORT_COMMAND": "",
                "RT_LLM_BASE_URL": f"{base}/v1",
                "RT_LLM_MODEL": "bench",
                "RT_MAX_RUNS_PER_WORKER": str(options.iterations),
            }
        ) as server,
    ):
        proposals = {f"p{n}": f"project-{n // PER_PROJECT}" for n in range(options.iterations)}
        for proposal, project in proposals.items():
            propose(server, secret, project, proposal, Path(folder))
        runs = [
            undisturbed(lambda: measure(server, secret, base, proposals, options.viewers))
            for _ in range(options.rounds)
        ]
    keys = [*PARTS, "max_ms"]
    middles = {key: report.middle([run[key] for run in runs]) for key in keys}
    shares = [
        f"{report.middle([run[key] for run in runs]):.0%}"
        for key in ("server_share", "foreign_share")
    ]
    row = [options.iterations, options.viewers, *[f"{middles[key]:.2f}" for key in keys], *shares]
    header = ["iterations", "viewers each", *keys, "server's core", "disturbed by"]
    print(report.table(header, [row]))
    met = middles["p50_ms"] < BAR_P50_MS and middles["p99_ms"] < BAR_P99_MS
    print(
        f"bar: every text equal, p50 < {BAR_P50_MS} ms and p99 < {BAR_P99_MS} ms: "
        f"{report.verdict(met)}"
    )
    print("saved:", report.save("iterations", {"runs": runs}))
    return 0 if met else 1
