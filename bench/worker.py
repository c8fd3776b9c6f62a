"""Starting rtserver itself: one worker on one core, its private MongoDB on the other."""

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jwt

from bench import guarded, peers, procs
from bench.native import HERE
from bench.peers import HOST, Server

PROJECT = "bench"
READY_TIMEOUT_S = 90.0
ROOT = HERE.parent
WITHOUT_USER = "BENCH_WITHOUT_USER"
"""Set in the environment: MongoDB lets everybody in, as the private one does."""


def issue_token(env: dict[str, str], user: str, *, service: bool) -> str:
    """Has the operator's command sign a token."""
    command = [sys.executable, "-m", "rtserver", "token", "--user", user, "--project", PROJECT]
    if service:
        command += ["--role", "service"]
    result = subprocess.run(
        [*command, "--ttl", "86400"],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if result.returncode != 0:
        raise RuntimeError(f"no token: {result.stderr.strip()}")
    return result.stdout.strip()


def tokens_for_users(secret: str, users: int) -> list[str]:
    """Signs tokens for many users: a process for each would take longer than the benchmark."""
    expires = int(time.time()) + 86400
    claims = [
        {"sub": f"user-{n}", "exp": expires, "projects": [PROJECT], "roles": []}
        for n in range(users)
    ]
    return [jwt.encode(claim, secret, algorithm="HS256") for claim in claims]


def wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Waits for /readyz.

    Raises:
        RuntimeError: The server ended or was not ready in READY_TIMEOUT_S; with its last lines.
    """
    deadline = time.monotonic() + READY_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError),
            urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=2),
        ):
            return
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"rtserver was not ready (status {process.poll()}):\n{tail}")


@contextlib.contextmanager
def rtserver(
    users: int = 1,
    settings: dict[str, str] | None = None,
    program: tuple[str, ...] | None = None,
) -> Iterator[Server]:
    """One rtserver worker with raised limits and an empty log, on a MongoDB with a user.

    Args:
        users: How many users the connections belong to, in turn.
        settings: Environment variables on top of those of the benchmark.
        program: The module that is run, with its arguments; None for rtserver itself, or with
            `BENCH_WITHOUT` for `bench.without`.
    """
    if program is None:
        program = ("bench.without" if os.environ.get("BENCH_WITHOUT") else "rtserver", "serve")
    port = peers.free_port()
    secret = (settings or {}).get("RT_JWT_SECRET") or secrets.token_hex(32)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="bench-rtserver-", ignore_cleanup_errors=True)
        )
        env = {key: value for key, value in os.environ.items() if not key.startswith("RT_")}
        env |= {
            "RT_HOST": HOST,
            "RT_PORT": str(port),
            "RT_DATA_DIR": f"{folder}/var",
            "RT_JWT_SECRET": secret,
            # No line a request: none of the peers writes one either.
            "RT_LOG_LEVEL": "warning",
            "RT_MAX_CONNECTIONS_PER_USER": "100000",
            "RT_MAX_CONNECTIONS_PER_PROJECT": "100000",
            "PYTHONPATH": str(ROOT),
            **(settings or {}),
        }
        if not os.environ.get(WITHOUT_USER):
            env["RT_MONGODB_URI"] = stack.enter_context(guarded.mongod(Path(folder) / "mongodb"))
        service = issue_token(env, "bench-publisher", service=True)
        log = Path(folder) / "server.log"
        with peers.pinned([sys.executable, "-m", *program], env, log) as process:
            wait_until_ready(process, port, log)
            server = Server(
                name="rtserver",
                pid=process.pid,
                port=port,
                publisher="rtserver",
                publish_path=f"/api/v1/projects/{PROJECT}/events",
                publish_token=service,
                ready_on="frame",
                helper_pids=procs.pin_helpers(folder, process.pid),
                max_chunk=500,
            )
            path = f"/ws/projects/{PROJECT}"
            tokens = tokens_for_users(secret, users)
            yield replace(server, targets=[(path, token) for token in tokens])
