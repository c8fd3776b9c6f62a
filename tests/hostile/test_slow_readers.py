"""Readers that read nothing, and many that come back at once: what they take of a worker."""

import asyncio
import contextlib
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bson import ObjectId

from rtserver.model.events import pack_item
from store.log.collection import EVENTS, pack_document
from tests.support.fakes import draft
from tests.support.lateness import lateness
from tests.support.mongo import MongodProcess
from tests.support.raw_http import RawHttp, raw_http
from tests.support.tokens import bearer, token
from tests.support.waiting import until
from tests.support.workers import Worker, Workers

MIB = 1 << 20
LOG_BYTES = 64 * MIB
PACKS, PACK_EVENTS, EVENT_BYTES = 200, 250, 800
LAST = PACKS * PACK_EVENTS
BACK = 2_000
"""So many events do those miss who come back."""
ROOM_MIB = 150
WRITE_TIMEOUT_S = 3.0
ANSWER_S = 2.0
"""As long may others wait for an answer meanwhile, where the machine itself has time."""


@pytest.fixture
def worker(module_workers: Workers, mongod: MongodProcess) -> Worker:
    """The one that all of these are tried on; its log was full before it started."""
    if module_workers.all:
        return module_workers.all[0]
    _fill(mongod, str(module_workers.settings["mongodb_database"]))
    return module_workers.start(
        event_log_bytes=LOG_BYTES,
        max_connections_per_project=200,
        write_timeout_s=WRITE_TIMEOUT_S,
        max_unread_bytes=256 * 1024,
    )


def _fill(mongod: MongodProcess, name: str) -> None:
    item = pack_item(draft(text="x" * EVENT_BYTES))
    with mongod.client() as client:
        events = client[name].create_collection(EVENTS, capped=True, size=LOG_BYTES)
        events.insert_many(
            pack_document(ObjectId(), "p1", number * PACK_EVENTS + 1, [item] * PACK_EVENTS, None)
            for number in range(PACKS)
        )


def _resident_mib(worker: Worker) -> float:
    status = Path(f"/proc/{worker.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextlib.asynccontextmanager
async def _watched(worker: Worker) -> AsyncIterator[None]:
    """Hold the worker to its memory and others' answers to their time, meanwhile and after."""
    quiet_mib = _resident_mib(worker)
    most_mib, longest_s = [quiet_mib], [0.0]

    async def watch() -> None:
        async with raw_http(worker.address) as http:
            while True:
                begun_s = time.monotonic()
                await http.send("GET", "/healthz")
                await (await http.read_head()).read_body()
                longest_s.append(time.monotonic() - begun_s)
                most_mib.append(_resident_mib(worker))
                await asyncio.sleep(0.02)

    with lateness() as late_s:
        watching = asyncio.ensure_future(watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        assert len(longest_s) > 5
        assert max(longest_s) < ANSWER_S + 5 * late_s()
    assert max(most_mib) - quiet_mib < ROOM_MIB
    await until(lambda: _resident_mib(worker) - quiet_mib < ROOM_MIB / 2, "memory that came back")


def _ask(worker: Worker, user: str, path: str, *headers: str, times: int = 1) -> socket.socket:
    """Ask for something; what comes is not read by itself."""
    asked = socket.socket()
    asked.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    asked.connect(("127.0.0.1", worker.port))
    lines = [f"GET {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {token(user)}", *headers]
    asked.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() * times)
    return asked


def _resume(worker: Worker, user: str, position: str) -> socket.socket:
    return _ask(
        worker,
        user,
        f"/ws/projects/p1?last_event_id={position}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )


def _stream(worker: Worker, user: str, proposal_id: str, position: str) -> socket.socket:
    path = f"/api/v1/proposals/{proposal_id}/events?last_event_id={position}"
    return _ask(worker, user, path, "Accept: text/event-stream")


async def _epoch(worker: Worker) -> str:
    async with raw_http(worker.address) as http:
        await http.send("GET", "/api/v1/projects/p1", bearer(token("ada")))
        snapshot = json.loads(await (await http.read_head()).read_body())
    epoch, _, seq = snapshot["position"].rpartition("-")
    assert int(seq) >= LAST
    return str(epoch)


async def _read_all(connection: socket.socket, epoch: str, first: int) -> None:
    """Read up to the log's end; each event has to come once, in order."""
    connection.setblocking(False)
    pattern = re.compile(rb'\{"id":"' + epoch.encode() + rb'-(\d+)",')
    rest, following = b"", first
    while following <= LAST:
        part = await asyncio.get_running_loop().sock_recv(connection, 1 << 18)
        assert part, f"the connection ended before {following}"
        rest += part
        end = 0
        for found in pattern.finditer(rest):
            assert int(found[1]) == following
            following, end = following + 1, found.end()
        rest = rest[end:]


@pytest.mark.gen_test
async def test_sockets_and_streams_that_do_not_read_take_little(worker: Worker) -> None:
    epoch = await _epoch(worker)
    async with raw_http(worker.address) as http:
        signed = bearer(token("ada"))
        await http.send("POST", "/api/v1/projects/p1/proposals", signed, '{"id":"a","title":"A"}')
        assert (await http.read_head()).status == 201
        await http.read_body()
    async with _watched(worker):
        stuck = [_resume(worker, f"stuck-{n // 5}", f"{epoch}-{n}") for n in range(15)]
        stuck += [_stream(worker, f"stream-{n // 5}", "a", f"{epoch}-{n}") for n in range(15)]

        async def have_resumed() -> bool:
            await asyncio.sleep(0.2)
            return worker.metric("rtserver_resume_total") >= len(stuck)

        await until(have_resumed, "all that resume")
        await asyncio.sleep(0.5)  # for what a worker might do for them
        for one in stuck:
            one.close()


@pytest.mark.gen_test
async def test_many_that_come_back_at_once_get_everything_and_take_little(worker: Worker) -> None:
    epoch = await _epoch(worker)
    async with _watched(worker):
        firsts = [LAST - BACK + n for n in range(40)]
        back = [
            _resume(worker, f"back-{n // 5}", f"{epoch}-{first - 1}")
            for n, first in enumerate(firsts)
        ]
        async with asyncio.timeout(40):
            await asyncio.gather(
                *(_read_all(one, epoch, first) for one, first in zip(back, firsts, strict=True))
            )
        for one in back:
            one.close()


async def _history(http: RawHttp, user: str) -> int:
    await http.send("GET", "/api/v1/projects/p1/events?limit=1000", bearer(token(user)))
    await (await http.read_head()).read_body()
    return http.status


@pytest.mark.gen_test
async def test_answers_that_are_not_read_are_few_and_end(worker: Worker) -> None:
    path = "/api/v1/projects/p1/events?limit=1000"
    async with raw_http(worker.address) as http, _watched(worker):
        # Of a first few the kernel takes all off the worker's hands.
        stuck = [_ask(worker, "unread", path, times=20) for _ in range(3)]
        stuck += [_ask(worker, f"unread-{n}", path, times=20) for n in range(4)]

        async def is_refused() -> bool:
            return await _history(http, "unread") == 429

        await until(is_refused, "an end of patience")
        assert int(http.headers["retry-after"]) > 0
        assert await _history(http, "other") == 200

        async def have_ended() -> bool:
            await asyncio.sleep(0.2)
            return worker.metric("rtserver_http_write_timeouts_total") >= 5

        await until(have_ended, "the end of all that stood still")
        for one in stuck:
            one.close()

        async def is_served() -> bool:
            return await _history(http, "unread") == 200

        await until(is_served, "another answer")
