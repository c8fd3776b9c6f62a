"""Running the load client against a server, and measuring the processor time meanwhile."""

import contextlib
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import native, procs
from bench.peers import Server

FOREIGN_LIMIT = 0.15  # the share of a core that others may take from a run that counts


@dataclass(frozen=True)
class Load:
    """What the client does.

    Attributes:
        window: Messages under way: published, and not yet on every connection.
        chunk: Published at once as soon as so many are free; 0 for a quarter of the window.
        publish_conns: HTTP connections that publish, each with at most one POST under way.
        rate_per_s: Publish one event at fixed times; 0 for as fast as the window allows.
        single: One event a POST, not a batch of one.
        opening: Handshakes under way at once.
    """

    connections: int
    window: int = 256
    chunk: int = 0
    publish_conns: int = 4
    frame_bytes: int = 200
    rate_per_s: float = 0
    single: bool = False
    opening: int = 64
    settle_s: float = 1.0
    warmup_s: float = 1.0
    duration_s: float = 5.0
    open_timeout_s: float = 120.0


class LoadError(RuntimeError):
    """A run that does not count: something was refused, lost, closed or out of order."""


@dataclass(frozen=True)
class Sample:
    """Processor time used so far, in seconds."""

    at_s: float
    server_s: float
    helpers_s: float
    server_core_s: float
    client_core_s: float


def sample(server: Server) -> Sample:
    return Sample(
        at_s=time.monotonic(),
        server_s=procs.cpu_s(server.pid),
        helpers_s=sum(procs.cpu_s(pid) for pid in server.helper_pids),
        server_core_s=procs.core_busy_s(procs.SERVER_CORE),
        client_core_s=procs.core_busy_s(procs.CLIENT_CORE),
    )


def arguments(server: Server, load: Load, targets: Path) -> list[str]:
    window = min(load.window, server.window_cap or load.window)
    chunk = max(1, min(load.chunk or window // 4, server.max_chunk or window, window))
    command = [str(native.program("client"))]
    for name, value in {
        "port": server.port,
        "publish-port": server.publish_port or server.port,
        "publish-path": server.publish_path,
        "targets": targets,
        "wire": server.wire,
        "ready-on": server.ready_on,
        "connections": load.connections,
        "opening": load.opening,
        "window": window,
        "chunk": chunk,
        "http-conns": load.publish_conns,
        "frame-bytes": load.frame_bytes,
        "rate": load.rate_per_s,
        "settle-s": load.settle_s,
        "warmup-s": load.warmup_s,
        "duration-s": load.duration_s,
        "open-timeout-s": load.open_timeout_s,
    }.items():
        command += [f"--{name}", str(value)]
    return command + (["--single"] if load.single else [])


@contextlib.contextmanager
def client(server: Server, load: Load, *extra: str) -> Iterator["subprocess.Popen[str]"]:
    """Starts the client on its core; ends it at the end of the block, or when it hangs."""
    with tempfile.TemporaryDirectory(prefix="bench-client-") as folder:
        targets = Path(folder) / "targets"
        targets.touch(mode=0o600)
        targets.write_text("".join(f"{path}\t{token}\n" for path, token in server.targets))
        process = subprocess.Popen(
            ["taskset", "-c", str(procs.CLIENT_CORE), *arguments(server, load, targets), *extra],
            env={**os.environ, "BENCH_PUBLISH_TOKEN": server.publish_token},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        limit_s = load.open_timeout_s + load.settle_s + load.warmup_s + load.duration_s + 60
        watchdog = threading.Timer(limit_s, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()
            process.communicate()


def messages(process: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def run(server: Server, load: Load) -> dict[str, Any]:
    """Runs the client once and returns its result with the processor shares of the run.

    Raises:
        LoadError: The run does not count.
    """
    opened: dict[str, Any] = {}
    done: dict[str, Any] = {}
    before = after = sample(server)
    with client(server, load, "--publisher", server.publisher) as process:
        for message in messages(process):
            match message["phase"]:
                case "open":
                    opened = message
                case "measure":
                    before = sample(server)
                case "drain":
                    after = sample(server)
                case "done":
                    done = message
    check(server, load, opened, done)
    passed_s = max(after.at_s - before.at_s, 1e-9)
    server_share = (after.server_s - before.server_s) / passed_s
    helpers_share = (after.helpers_s - before.helpers_s) / passed_s
    client_share = done["client_cpu_s"] / done["seconds"]
    server_core = (after.server_core_s - before.server_core_s) / passed_s
    client_core = (after.client_core_s - before.client_core_s) / passed_s
    # Of either core, what belongs to none of the processes that are measured.
    foreign = max(server_core - server_share, client_core - client_share - helpers_share)
    return {
        "server": server.name,
        "window": min(load.window, server.window_cap or load.window),
        **done,
        "open_per_s": opened["per_s"],
        # What a core would deliver that the server had to itself.
        "deliveries_per_cpu_s": done["frames"] / max(after.server_s - before.server_s, 1e-9),
        "server_share": round(server_share, 3),
        "helpers_share": round(helpers_share, 3),
        "client_share": round(client_share, 3),
        "client_core_share": round(client_core, 3),
        "foreign_share": round(max(0.0, foreign), 3),
    }


def run_undisturbed(
    server: Server, load: Load, attempts: int = 4, patience_s: float = 60.0
) -> dict[str, Any]:
    """Runs until other processes took no more than FOREIGN_LIMIT of either core.

    Returns the least disturbed run where none of the attempts was quiet enough; its
    `foreign_share` says how much it was disturbed.
    """
    best: dict[str, Any] | None = None
    for _ in range(attempts):
        wait_until_quiet(patience_s)
        result = run(server, load)
        if best is None or result["foreign_share"] < best["foreign_share"]:
            best = result
        if best["foreign_share"] <= FOREIGN_LIMIT:
            break
    assert best is not None
    return best


def check(server: Server, load: Load, opened: dict[str, Any], done: dict[str, Any]) -> None:
    """Holds a run to what a delivery means: each event once, in order, on every connection."""
    problems = []
    if done.get("error", "the client ended without a result"):
        problems.append(done.get("error", "the client ended without a result"))
    if opened.get("connections") != load.connections:
        problems.append(f"opened {opened.get('connections')} of {load.connections}: {opened}")
    if done.get("closed"):
        problems.append(f"{done['closed']} connections were closed: {done['close_codes']}")
    counts = {done.get(key) for key in ("published", "delivered_least", "delivered_most")}
    if len(counts) != 1:
        problems.append(f"published {done.get('published')}, delivered {counts}")
    if done.get("out_of_order"):
        problems.append(f"{done['out_of_order']} events were out of order")
    if problems:
        raise LoadError(f"{server.name}: " + "; ".join(problems))


def wait_until_quiet(timeout_s: float = 60.0, busy_share: float = 0.1) -> float:
    """Waits until both cores are nearly idle; returns the busier one's share at the end."""
    deadline = time.monotonic() + timeout_s
    while True:
        cores = (procs.SERVER_CORE, procs.CLIENT_CORE)
        before = [procs.core_busy_s(core) for core in cores]
        time.sleep(0.5)
        share = max(procs.core_busy_s(core) - was for core, was in zip(cores, before, strict=True))
        if share / 0.5 <= busy_share or time.monotonic() > deadline:
            return share / 0.5
