"""A mongod with a user, as operators have one: otherwise the private one's, on the same socket."""

import asyncio
import contextlib
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pymongo import MongoClient

from bench import procs
from store.mongod.command import MEMBER_HOST, find_mongod, mongod_argv, mongod_environment
from store.mongod.directory import SOCKET_NAME
from store.mongod.process import become_primary

USER = "bench"
MECHANISM = "SCRAM-SHA-256"
CACHE_MIB = 256  # the private one's
START_TIMEOUT_S = 60.0


@contextlib.contextmanager
def mongod(folder: Path) -> Iterator[str]:
    """Runs one until the end of the block; its URI, with user and password.

    Args:
        folder: Empty; data, socket and log go there.

    Raises:
        RuntimeError: It was not ready in START_TIMEOUT_S; with its last lines.
    """
    folder.mkdir()
    (folder / "db").mkdir()
    keyfile = folder / "keyfile"
    keyfile.touch(mode=0o600)
    keyfile.write_text(secrets.token_hex(60))
    binary = find_mongod()
    command = [*mongod_argv(binary, folder / "db", cache_mib=CACHE_MIB), "--keyFile", str(keyfile)]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            ["taskset", "-c", str(procs.CLIENT_CORE), *command],
            cwd=folder, env=mongod_environment(binary, folder), stdout=log, stderr=log,
        ) as process,
    ):  # fmt: skip
        try:
            yield _make_user(folder, process)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _make_user(folder: Path, process: "subprocess.Popen[bytes]") -> str:
    """Whoever comes from the same host may make the first user."""
    socket = folder / SOCKET_NAME
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline_s:
            words = (folder / "log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"mongod did not start:\n{words}")
        time.sleep(0.05)
    address = quote(str(socket), safe="")
    plain = f"mongodb://{address}/?directConnection=true"
    asyncio.run(become_primary(plain, MEMBER_HOST, timeout_s=START_TIMEOUT_S))
    password = secrets.token_urlsafe(12)
    client: MongoClient[dict[str, Any]] = MongoClient(plain)
    with client:
        client.admin.command(
            {"createUser": USER, "pwd": password, "roles": ["root"], "mechanisms": [MECHANISM]}
        )
    user = f"{USER}:{password}@{address}"
    return f"mongodb://{user}/?directConnection=true&authMechanism={MECHANISM}"
