"""`/sockjs/projects` on a real worker: the session is the WebSocket's, whatever carries it."""

import asyncio
import json
import time
import urllib.request
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.api import api
from tests.support.documents import check_frame
from tests.support.event_stream import event_stream
from tests.support.raw_http import raw_http
from tests.support.sockets import session
from tests.support.sockjs_polls import PolledSession, hello, polled
from tests.support.tokens import token
from tests.support.waiting import until
from tests.support.workers import Worker, Workers

ORIGIN = "https://app.example"
PROJECTS = "/sockjs/projects"


@pytest.fixture
def worker(module_workers: Workers) -> Worker:
    if not module_workers.all:
        module_workers.start(
            allowed_origins=ORIGIN,
            ping_interval_s=1,
            pong_timeout_s=3,
            max_connections_per_project=4,
            outbox_bytes=65536,
            lease_s=60,
        )
    return module_workers.all[0]


def gauge(worker: Worker, transport: str) -> int:
    """Open connections of a transport, from `/metrics`."""
    with urllib.request.urlopen(f"http://{worker.address}/metrics", timeout=10) as answer:
        wanted = f'rtserver_connections{{transport="{transport}"}} '
        lines = answer.read().decode().splitlines()
    return int(float(next(line for line in lines if line.startswith(wanted)).split()[1]))


async def nobody(worker: Worker) -> None:
    """Return when those of earlier tests who do not poll any more are forgotten."""
    await until(lambda: asyncio.to_thread(is_empty, worker), "earlier tests' sessions to end")


def is_empty(worker: Worker) -> bool:
    """Whether nobody polls."""
    return gauge(worker, "sockjs") == 0


class Framed:
    """A session over SockJS's WebSocket, or over the raw one."""

    def __init__(self, socket: ClientConnection, *, raw: bool) -> None:
        self.socket = socket
        self._raw = raw
        self.frames: list[dict[str, Any]] = []
        self.sockjs_closed: tuple[int, str] | None = None

    async def send(self, message: object) -> None:
        text = json.dumps(message)
        await self.socket.send(text if self._raw else json.dumps([text]))

    async def _receive(self) -> None:
        async with asyncio.timeout(20):
            text = str(await self.socket.recv())
        if self._raw or text.startswith("a"):
            frames = [json.loads(one) for one in ([text] if self._raw else json.loads(text[1:]))]
            for frame in frames:
                check_frame(frame, "sockjs")
            # Who is there is told at any time.
            self.frames.extend(frame for frame in frames if frame["type"] != "presence")
        elif text.startswith("c"):
            code, reason = json.loads(text[1:])
            self.sockjs_closed = (code, reason)

    async def recv_type(self, wanted: str) -> dict[str, Any]:
        while True:
            for frame in self.frames:
                if frame["type"] == wanted:
                    return frame
            await self._receive()

    async def closed(self) -> int:
        """The code in the WebSocket's close frame."""
        try:
            while True:
                await self._receive()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006


def framed(worker: Worker, *, raw: bool) -> Any:
    path = "/websocket" if raw else "/000/abc/websocket"
    return connect(f"ws://{worker.address}{PROJECTS}{path}", proxy=None, compression=None)


@pytest.mark.gen_test
async def test_polling_client_gets_welcome_events_and_answers(worker: Worker) -> None:
    await nobody(worker)
    async with api(worker.address) as service, polled(worker.address, hello("poll")) as client:
        welcome = await client.recv_type("welcome")
        assert welcome["resume"]["outcome"] == "fresh"
        assert await asyncio.to_thread(gauge, worker, "sockjs") == 1
        event_id = await service.publish("poll", {"text": "zwölf \u2028 </script>"})
        event = await client.recv_type("test.event")
        assert (event["id"], event["data"]) == (event_id, {"text": "zwölf \u2028 </script>"})
        assert all(body.isascii() for body in client.responses)
        await client.send(
            {"type": "view", "proposal_ids": [], "request_id": 1},
            "not json",
            {"type": "nothing", "request_id": 2},
        )
        assert (await client.recv_type("ack"))["request_id"] == 1
        await client.poll()
        errors = [frame for frame in client.frames if frame["type"] == "error"]
        assert [(error["reason"], error.get("request_id")) for error in errors] == [
            ("malformed", None),
            ("unknown_type", 2),
        ]


@pytest.mark.gen_test
@pytest.mark.parametrize("raw", [False, True])
async def test_websocket_client_gets_the_same(worker: Worker, raw: bool) -> None:
    project_id = f"socket-{raw}"
    async with api(worker.address) as service, framed(worker, raw=raw) as socket:
        client = Framed(socket, raw=raw)
        await client.send(hello(project_id))
        await client.recv_type("welcome")
        assert (
            await asyncio.to_thread(gauge, worker, "websocket" if raw else "sockjs_websocket") == 1
        )
        ids = await service.publish_many(project_id, 20)
        while len(client.frames) < 21:
            await client._receive()
        assert [frame["id"] for frame in client.frames[1:]] == ids
        await client.send({"type": "view", "proposal_ids": [], "request_id": "r"})
        assert (await client.recv_type("ack"))["request_id"] == "r"
        # Past the first ping and its time-out: the client's own answers keep it open.
        await asyncio.sleep(2.5)
        await client.send({"type": "view", "proposal_ids": [], "request_id": "s"})
        while client.frames[-1].get("request_id") != "s":
            await client._receive()


@pytest.mark.gen_test
async def test_a_poll_takes_all_that_has_gathered(worker: Worker) -> None:
    async with api(worker.address) as service, polled(worker.address, hello("gather")) as client:
        await client.recv_type("welcome")
        async with session(worker.address, "gather", user="bob") as witness:
            published = [await service.publish("gather", number) for number in range(30)]
            await witness.recv_events(30)  # so the worker has handed them on
        polls = len(client.responses)
        await client.poll()
        assert [event["id"] for event in client.events] == published
        assert len(client.responses) == polls + 1


@pytest.mark.gen_test
async def test_the_same_id_resumes_on_every_transport(worker: Worker) -> None:
    async with api(worker.address) as service:
        await service.propose("move", "move-1")
        async with polled(worker.address, hello("move")) as client:
            await client.recv_type("welcome")
            seen = await service.publish("move", 1)
            await client.recv_type("test.event")
        second = await service.publish("move", 2)
        async with event_stream(worker.address, "move-1", f"last_event_id={seen}") as stream:
            assert (await stream.recv())["id"] == second
        third = await service.publish("move", 3)
        async with framed(worker, raw=False) as socket:
            client_2 = Framed(socket, raw=False)
            await client_2.send(hello("move", last_event_id=second))
            assert (await client_2.recv_type("welcome"))["resume"]["outcome"] == "replayed"
            assert (await client_2.recv_type("test.event"))["id"] == third
        async with session(worker.address, "move", last_event_id=third) as last:
            assert last.frames[0]["resume"]["outcome"] == "nothing_missed"


@pytest.mark.gen_test
async def test_view_of_the_hello_narrows(worker: Worker) -> None:
    async with (
        api(worker.address) as service,
        polled(worker.address, hello("narrow", proposal_ids=["n-1"])) as client,
    ):
        await service.propose("narrow", "n-1")
        await service.propose("narrow", "n-2")
        await client.recv_type("welcome")
        await service.publish("narrow", "other", proposal_id="n-2")
        await service.publish("narrow", "mine", proposal_id="n-1")
        assert (await client.recv_type("test.event"))["data"] == "mine"
        position = await service.publish("narrow", "other", proposal_id="n-2")
        while {"type": "position", "id": position} not in client.frames:
            await client.poll()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("greeting", "code", "reconnect"),
    [
        (hello(token=""), 4001, False),
        (hello(token="no.to.ken"), 4001, False),
        (hello(token=token("eve", "elsewhere")), 4003, False),
        (hello(project_id="no/project"), 4400, False),
        (hello(proposal_ids=["no proposal"]), 4400, False),
        ({"type": "hello"}, 4400, False),
        ({"type": "hello", "project_id": 7}, 4400, False),
        ({"type": "view", "proposal_ids": []}, 4400, False),
        ("hello", 4400, False),
        (hello(token="x" * 70_000), 4400, False),
    ],
)
async def test_who_is_not_let_in_is_told_why(
    worker: Worker, greeting: Any, code: int, reconnect: bool
) -> None:
    async with polled(worker.address, greeting) as client:
        closing = await client.recv_type("closing")
        assert (closing["code"], closing["reconnect"]) == (code, reconnect)
        assert (await client.recv_closed())[0] == code
        assert closing["reason"] == client.closed[1]  # type: ignore[index]
        assert "no.to.ken" not in closing["reason"]
        await client.send("late", status=404)
    for raw in (False, True):
        async with framed(worker, raw=raw) as socket:
            framed_client = Framed(socket, raw=raw)
            await framed_client.send(greeting)
            assert await framed_client.closed() == code
            assert framed_client.frames == [closing]
            assert raw or framed_client.sockjs_closed == client.closed


@pytest.mark.gen_test
async def test_who_comes_too_early_is_told_when_to_come_back(worker: Worker) -> None:
    early = hello(token=token("ada", nbf=time.time() + 60 + 30))
    async with polled(worker.address, early) as client:
        closing = await client.recv_type("closing")
    assert (closing["code"], closing["reconnect"]) == (4001, True)
    assert 25_000 <= closing["retry_after_ms"] <= 31_000


@pytest.mark.gen_test
async def test_who_says_nothing_is_sent_away_after_ten_seconds(worker: Worker) -> None:
    async with polled(worker.address) as client, framed(worker, raw=False) as socket:
        begun_s = asyncio.get_running_loop().time()
        framed_client = Framed(socket, raw=False)
        code, closed = await asyncio.gather(framed_client.closed(), client.recv_closed())
        assert 9.5 < asyncio.get_running_loop().time() - begun_s < 25
        assert (code, closed[0]) == (4001, 4001)
        assert "hello" in closed[1]
        assert "h" in client.responses  # polls are kept warm meanwhile


@pytest.mark.gen_test
async def test_a_full_project_is_4053_and_places_come_back_at_once(worker: Worker) -> None:
    async with (
        session(worker.address, "full", user="w1"),
        session(worker.address, "full", user="w2"),
        polled(worker.address, hello("full", "u1")) as one,
    ):
        await one.recv_type("welcome")
        async with polled(worker.address, hello("full", "u2")) as two:
            await two.recv_type("welcome")
            async with polled(worker.address, hello("full", "u3")) as three:
                closing = await three.recv_type("closing")
                assert (closing["code"], closing["reconnect"]) == (4053, True)
                assert closing["retry_after_ms"] > 0
                assert (await three.recv_closed())[0] == 4053
            waiting = asyncio.create_task(two.poll())  # a poll under way that breaks
            await asyncio.sleep(0.2)
            waiting.cancel()
        # Leases are for a minute here; what a broken poll frees is free now.
        async with asyncio.timeout(10):
            while True:
                async with polled(worker.address, hello("full", "u4")) as four:
                    await four.poll()
                    if four.frames[0]["type"] == "welcome":
                        break
        # And what is not polled any more is free when SockJS's 5 s are over.
        async with asyncio.timeout(25):
            while await asyncio.to_thread(gauge, worker, "sockjs"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


@pytest.mark.gen_test
async def test_the_users_oldest_makes_room_over_all_transports(workers: Workers) -> None:
    worker, other = workers.start_many(2, max_connections_per_user=2)
    async with polled(worker.address, hello()) as oldest:
        await oldest.recv_type("welcome")
        polling = asyncio.create_task(oldest.recv_type("closing"))
        async with session(other.address), session(worker.address):
            closing = await polling
            assert (closing["code"], closing["reconnect"]) == (4009, False)
            assert (await oldest.recv_closed())[0] == 4009


@pytest.mark.gen_test
async def test_who_does_not_fetch_is_cut_off_and_can_resume(worker: Worker) -> None:
    await nobody(worker)
    async with api(worker.address) as service, polled(worker.address, hello("slow")) as client:
        position = (await client.recv_type("welcome"))["position"]
        published = []
        while await asyncio.to_thread(gauge, worker, "sockjs"):
            published += [await service.publish("slow", "x" * 20_000) for _ in range(4)]
            assert len(published) < 100
        assert len(published) >= 4
        closing = await client.recv_type("closing")
        assert (closing["code"], closing["reconnect"]) == (4008, True)
        assert (await client.recv_closed())[0] == 4008
        assert sum(map(len, client.responses)) < 4 * 65536
        got = [event["id"] for event in client.events]
        assert got == published[: len(got)]
        async with polled(
            worker.address, hello("slow", last_event_id=got[-1] if got else position)
        ) as again:
            while len(again.events) < len(published) - len(got):
                await again.poll()
            assert got + [event["id"] for event in again.events] == published


@pytest.mark.gen_test
async def test_a_session_that_stops_polling_while_something_waits_is_forgotten(
    worker: Worker,
) -> None:
    async with api(worker.address) as service, polled(worker.address, hello("left")) as client:
        await client.recv_type("welcome")
        await service.publish("left", 1)
        async with asyncio.timeout(25):
            while await asyncio.to_thread(gauge, worker, "sockjs"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert await client.poll() == "o"  # the id begins a new session


@pytest.mark.gen_test
async def test_too_many_messages_and_messages_before_the_welcome(worker: Worker) -> None:
    view = {"type": "view", "proposal_ids": []}
    async with polled(worker.address) as client:
        early = [{**view, "request_id": number} for number in range(8)]
        await client.send(hello("flood"), *early)
        while len([frame for frame in client.frames if frame["type"] == "ack"]) < 8:
            await client.poll()
        await client.send(*[view] * 300)
        assert (await client.recv_type("closing"))["code"] == 4029
        assert (await client.recv_closed())[0] == 4029
    async with polled(worker.address) as client:
        await client.send(hello("flood"), *[view] * 100)
        assert (await client.recv_closed())[0] == 4029


@pytest.mark.gen_test
async def test_large_messages(worker: Worker) -> None:
    async with polled(worker.address, hello("large")) as client:
        await client.recv_type("welcome")
        await client.send({"type": "view", "proposal_ids": ["x" * 70_000], "request_id": 1})
        assert (await client.recv_type("error"))["reason"] == "too_large"
        answer = await client.http.post(f"{client.url}/xhr_send", content=b"x" * 2_000_000)
        assert answer.status_code == 413
    async with framed(worker, raw=False) as socket:
        big = Framed(socket, raw=False)
        await big.send(hello("large"))
        await big.recv_type("welcome")
        await big.send({"type": "view", "pad": "x" * 2_000_000})
        assert await big.closed() == 4400


@pytest.mark.gen_test
async def test_the_token_ends_the_session(worker: Worker) -> None:
    greeting = hello("expiry", token=token("ada", ttl_s=1.5))
    async with polled(worker.address, greeting) as client:
        closing = await client.recv_type("closing")
        assert (closing["code"], closing["reconnect"]) == (4001, False)
        assert (await client.recv_closed())[0] == 4001


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": ORIGIN}, 200),
        ({"Origin": "http://test.example"}, 200),
        ({"Referer": "http://test.example/legacy"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Referer": "https://evil.example/page"}, 403),
    ],
)
async def test_pages_of_allowed_origins_only(
    worker: Worker, headers: dict[str, str], status: int
) -> None:
    session_path = f"{PROJECTS}/000/{headers!r}".replace("/", "_").replace(".", "_")
    requests = [
        ("GET", "/info"),
        ("OPTIONS", "/info"),
        ("GET", "/iframe.html"),
        ("POST", f"/000/{abs(hash(session_path))}/xhr"),
        ("GET", "/000/cors/jsonp?c=x"),
    ]
    for method, path in requests:
        async with raw_http(worker.address) as http:
            await http.send(method, PROJECTS + path, headers)
            await http.read_head()
            body = await http.read_body()
        expected = 204 if (status, method) == (200, "OPTIONS") else status
        assert http.status == expected, (method, path, body)
        if "Origin" in headers and "iframe" not in path and "jsonp" not in path:
            allowed = http.headers.get("access-control-allow-origin")
            assert allowed == (headers["Origin"] if status == 200 else None)
        if "iframe" in path and status == 200:
            assert http.headers["content-security-policy"] == f"frame-ancestors 'self' {ORIGIN}"
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    if "Referer" not in headers:
        async with raw_http(worker.address) as http:
            await http.send(
                "GET",
                f"{PROJECTS}/000/cors/websocket",
                {**upgrade, "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==", **headers},
            )
            assert (await http.read_head()).status == (101 if status == 200 else 403)


@pytest.mark.gen_test
async def test_session_ids_and_tokens_stay_out_of_the_log(worker: Worker) -> None:
    greeting = hello("secret")
    async with polled(worker.address, greeting) as client:
        await client.recv_type("welcome")
        session_id = client.url.rpartition("/")[2]
    log = worker.log_text()
    assert "/sockjs/projects/000/" in log
    assert session_id not in log
    assert greeting["token"] not in log


@pytest.mark.gen_test
async def test_sessions_are_told_when_the_worker_stops(workers: Workers) -> None:
    worker = workers.start(shutdown_grace_s=5)
    async with polled(worker.address, hello()) as client, framed(worker, raw=False) as socket:
        await client.recv_type("welcome")
        framed_client = Framed(socket, raw=False)
        await framed_client.send(hello(user="bob"))
        await framed_client.recv_type("welcome")
        told = asyncio.create_task(_poll_to_the_end(client))
        await asyncio.sleep(0.2)
        worker.terminate()
        closing = await told
        assert (closing["code"], closing["reconnect"]) == (1001, True)
        assert await framed_client.closed() == 1001
        assert framed_client.sockjs_closed is not None


async def _poll_to_the_end(client: PolledSession) -> dict[str, Any]:
    try:
        return await client.recv_type("closing")
    except httpx2.HTTPError:
        return client.frames[-1]
