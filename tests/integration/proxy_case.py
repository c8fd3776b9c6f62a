"""What tests of proxies share: one in front of two workers, and a worker killed behind it."""

import json
import os
import shutil
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.api import api
from tests.support.event_stream import events_path
from tests.support.line_process import LineProcess, line_process, node_client
from tests.support.processes import ROOT, end, spawn, wait_until
from tests.support.publisher import Publisher
from tests.support.sockjs_polls import hello, polled
from tests.support.tokens import token
from tests.support.waiting import until
from tests.support.workers import Worker

SOCKJS_TRANSPORTS = ("websocket", "xhr-streaming", "eventsource", "xhr-polling")
FEWEST_SESSIONS = 3
MOST_SESSIONS = 60
"""All of so many go to one of two workers once in a million years of runs."""


@dataclass(frozen=True)
class Front:
    """A proxy's address, and the workers behind it."""

    address: str
    workers: list[Worker]


def find_program(name: str) -> str:
    """Where a daemon of Debian's is; skips the test where it is not installed."""
    found = shutil.which(name) or shutil.which(f"/usr/sbin/{name}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def free_address() -> str:
    """Where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def sample_of(file: str, workers: list[Worker], *others: tuple[str, str]) -> str:
    """A documented configuration, for these workers and other addresses; else as it stands."""
    sample = (ROOT / "docs" / file).read_text(encoding="utf-8")
    replaced = [
        (f"127.0.0.1:{8000 + number}", worker.address) for number, worker in enumerate(workers)
    ]
    for documented, used in (*replaced, *others):
        assert documented in sample
        sample = sample.replace(documented, used)
    return sample


@contextmanager
def running(argv: list[str], address: str, directory: Path) -> Iterator[Callable[[], str]]:
    """A proxy process; gives a function for what it wrote."""
    process = spawn(
        argv, environ=dict(os.environ), stdout=directory / "out", stderr=directory / "err"
    )

    def written() -> str:
        files = (directory / name for name in ("out", "err", "error.log"))
        return "\n".join(file.read_text(errors="replace") for file in files if file.exists())

    def is_up() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(address.partition(":")[2]))) == 0

    try:
        wait_until(is_up, "the proxy listens", explain=written)
        yield written
    finally:
        end(process)


def ride_out_a_killed_worker(front: Front, directory: Path, project: str) -> None:
    """Kill the worker that has more clients: each client gets each event once, in order.

    The clients are sockjs-client on each transport and `eventsource`; they come back by themselves.
    """
    proposal = f"stream-of-{project}"
    post(front.address, f"/api/v1/projects/{project}/proposals", {"id": proposal, "title": "T"})
    stream = f"http://{front.address}{events_path(proposal)}?token={token('ada')}"
    with ExitStack() as stack:
        clients: dict[str, LineProcess] = {}
        for transport in SOCKJS_TRANSPORTS:
            greeting = json.dumps(hello(project, f"user-{transport}"))
            url = f"http://{front.address}/sockjs/projects"
            command = node_client("sockjs_client.cjs", url, transport, greeting)
            clients[transport] = stack.enter_context(line_process(command, directory))
        command = node_client("event_source.mjs", stream, "test.event")
        clients["sse"] = stack.enter_context(line_process(command, directory))
        for client in clients.values():
            client.wait(lambda line: line.get("frame", {}).get("type") == "welcome")
        have: list[float] = []

        def have_only_these() -> bool:
            have[:] = [worker.metric("rtserver_connections") for worker in front.workers]
            return sum(have) == len(clients)

        wait_until(have_only_these, "clients of earlier tests are gone")
        killed, survivor = sorted(
            front.workers, key=lambda worker: -have[front.workers.index(worker)]
        )
        publisher = stack.enter_context(Publisher(lambda: survivor.address, project))
        _expect(clients, publisher.count + 20)
        killed.kill()
        _expect(clients, publisher.count + 100)
        count = publisher.finish()
        _expect(clients, count)
        again = 0
        for name, client in clients.items():
            frames = [line["frame"] for line in client.lines() if "frame" in line]
            numbers = [frame["data"] for frame in frames if frame["type"] == "test.event"]
            assert numbers == list(range(count)), name
            again += [frame["type"] for frame in frames].count("welcome") - 1
        assert again >= max(have)


async def sessions_stick_and_spread(front: Front) -> None:
    """Open polling sessions until each worker has one; all of a session goes to its worker.

    Each session's name is drawn, and decides where it goes: of any fixed number all may go to one.
    """

    def served(worker: Worker) -> int:
        lines = worker.logged("http_request")
        return sum("/xhr_send" in line.fields["path"] for line in lines)

    before = [served(worker) for worker in front.workers]
    taken = [0 for _ in front.workers]
    async with api(front.address) as service:
        for number in range(MOST_SESSIONS):
            project_id = f"stick-{number}"
            async with polled(front.address, hello(project_id, f"user-{number}")) as client:
                await client.recv_type("welcome")
                event_id = await service.publish(project_id, number)
                assert (await client.recv_type("test.event"))["id"] == event_id
                await client.send({"type": "view", "proposal_ids": [], "request_id": 1})
                await client.recv_type("ack")

            def all_are_logged(sent: int = 2 * (number + 1)) -> bool:
                taken[:] = [
                    served(worker) - count
                    for worker, count in zip(front.workers, before, strict=True)
                ]
                return sum(taken) >= sent

            await until(all_are_logged, "the access log")
            # A session's requests at another worker would have been answered with 404.
            assert sum(taken) == 2 * (number + 1)
            if number >= FEWEST_SESSIONS and all(taken):
                return
    raise AssertionError("all sessions went to one worker")


def _expect(clients: dict[str, LineProcess], count: int) -> None:
    for client in clients.values():
        client.wait(lambda line: line.get("frame", {}).get("data") == count - 1, timeout_s=90)


def post(address: str, path: str, body: object) -> None:
    """A call that makes something."""
    bearer = {"Authorization": f"Bearer {token('ada')}"}
    request = urllib.request.Request(f"http://{address}{path}", json.dumps(body).encode(), bearer)
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 201
