"""Every close code of the contract, each with a `closing` frame before it."""

import asyncio
import contextlib
import json
import time

import pytest
from bson import Timestamp
from websockets.exceptions import ConnectionClosed

from tests.integration.conftest import Pair
from tests.support.api import Api, api
from tests.support.mongo import MongodProcess
from tests.support.processes import wait_until
from tests.support.raw import Opcode, RawClient, raw_client
from tests.support.sockets import Frame, SocketClient, open_socket, seq_of, session
from tests.support.tokens import token
from tests.support.workers import Workers

RECONNECTS = {1001: True, 1011: True, 4001: False, 4003: False, 4008: True, 4009: False}
RECONNECTS |= {4010: True, 4029: True, 4400: False}


def check_closing(frame: Frame, code: int) -> None:
    assert frame["type"] == "closing"
    assert frame["code"] == code
    assert frame["reason"]
    assert len(frame["reason"].encode()) <= 123
    assert frame["reconnect"] is RECONNECTS[code]
    assert (frame["retry_after_ms"] is not None) is RECONNECTS[code]


async def closed_with(client: SocketClient, code: int) -> Frame:
    seen, closing = await client.closed()
    assert seen == code
    check_closing(closing, code)
    return closing


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "signed",
    [
        "",
        "no-token-at-all",
        "a.b.c",
        token(ttl_s=-1),
        token(secret="another secret, which is not the server's"),
        token(sub=None),
        token(exp=None),
    ],
    ids=["none", "word", "dots", "expired", "other-key", "no-sub", "no-exp"],
)
async def test_4001_without_a_good_token(pair: Pair, project: str, signed: str) -> None:
    async with await open_socket(pair.one.address, project, token=signed) as client:
        closing = await closed_with(client, 4001)
        assert closing["reason"].startswith("Unauthorized")
        assert [frame["type"] for frame in client.frames] == ["closing"]
    if signed:
        assert signed not in pair.one.log_text()


@pytest.mark.gen_test
async def test_4001_of_a_token_that_is_not_valid_yet_says_when_to_come_back(
    pair: Pair, project: str
) -> None:
    early = token("ada", project, nbf=time.time() + 60 + 30)
    async with await open_socket(pair.one.address, project, token=early) as client:
        seen, closing = await client.closed()
    assert (seen, closing["reconnect"]) == (4001, True)
    assert 25_000 <= closing["retry_after_ms"] <= 31_000
    assert "not valid yet" in closing["reason"]
    async with api(pair.one.address, token=early) as who:
        answer = await who.http.get(f"/api/v1/projects/{project}")
    assert (answer.status_code, answer.json()["reason"]) == (401, "not_yet_valid")
    assert 25 <= int(answer.headers["Retry-After"]) <= 31
    soon = token("ada", project, nbf=time.time() + 50)
    async with session(pair.one.address, project, token=soon):
        pass  # within what clocks may differ by


@pytest.mark.gen_test
async def test_4001_when_the_token_expires_in_the_session(pair: Pair, project: str) -> None:
    expires_at = time.time() + 1.5
    async with session(pair.one.address, project, token=token("ada", exp=expires_at)) as client:
        await closed_with(client, 4001)
        assert time.time() >= expires_at
        assert time.time() < expires_at + 5


@pytest.mark.gen_test
async def test_refreshed_token_carries_on(pair: Pair, project: str) -> None:
    expires_at = time.time() + 1.5
    async with session(
        pair.one.address, project, token=token("ada", project, exp=expires_at)
    ) as client:
        for bad, why in (
            (token("ben"), "unauthorized"),
            (token("ada", ttl_s=-1), "unauthorized"),
            ("nonsense", "unauthorized"),
        ):
            answer = await client.ask("refresh_token", token=bad)
            assert (answer["type"], answer["reason"]) == ("error", why)
            assert bad not in json.dumps(answer)
        answer = await client.ask("refresh_token", token=token("ada", ttl_s=600))
        assert answer["type"] == "ack"
        await client.quiet(expires_at - time.time() + 0.5)
        async with api(pair.other.address) as service:
            await service.publish(project, "still here")
            assert (await client.recv_events(1))[0]["data"] == "still here"


@pytest.mark.gen_test
async def test_refresh_that_takes_the_project_away_closes_with_4003(
    pair: Pair, project: str
) -> None:
    async with session(pair.one.address, project, token=token("ada", project)) as client:
        await client.send({"type": "refresh_token", "token": token("ada", "another")})
        await closed_with(client, 4003)


@pytest.mark.gen_test
async def test_4003_for_a_project_of_others(pair: Pair, project: str) -> None:
    client = await open_socket(pair.one.address, project, token=token("ada", "another"))
    async with client:
        await closed_with(client, 4003)
    signed = token("root", "another", roles=("admin",))
    async with session(pair.one.address, project, token=signed):
        pass  # an admin's token opens every project


@pytest.mark.gen_test
async def test_ways_that_a_token_may_travel(pair: Pair, project: str) -> None:
    signed = token("ada", project)
    by_query = f"/ws/projects/{project}?token={signed}"
    async with await open_socket(pair.one.address, token="", path=by_query) as client:
        await client.welcome()
        assert client.ws.subprotocol is None
    async with session(
        pair.one.address, project, token="", subprotocols=["bearer", signed]
    ) as client:
        assert client.ws.subprotocol == "bearer"
    assert signed not in pair.one.log_text()


@pytest.mark.gen_test
async def test_4008_for_a_client_that_does_not_read(pair: Pair, project: str) -> None:
    async with (
        session(pair.one.address, project) as slow,
        session(pair.one.address, project, user="ben") as quick,
        api(pair.other.address) as service,
    ):
        # More than the kernel's buffers and the outbox can hold; `quick` reads all the while.
        data = "x" * 60_000
        count = 0
        before = pair.one.metric("rtserver_outbox_overflow_total")
        while pair.one.metric("rtserver_outbox_overflow_total") == before:
            events = [{"type": "test.event", "data": data} for _ in range(50)]
            await service.post(f"/api/v1/projects/{project}/events", {"events": events})
            await quick.recv_events(50)
            count += 50
            assert count < 2000
        await closed_with(slow, 4008)
        got = [seq_of(event["id"]) for event in slow.events]
        assert got == list(range(1, len(got) + 1))
        assert len(got) < count
        async with session(pair.other.address, project, last_event_id=slow.last_event_id) as again:
            assert again.frames[0]["resume"]["replayed"] == count - len(got)
            rest = await again.recv_events(count - len(got))
            assert [seq_of(event["id"]) for event in rest] == list(range(len(got) + 1, count + 1))


@pytest.mark.gen_test
async def test_4009_for_the_oldest_of_a_user_wherever_it_is(pair: Pair, project: str) -> None:
    addresses = [pair.one.address, pair.one.address, pair.other.address] * 2
    user = f"user of {project}"
    clients = []
    try:
        for address in addresses[:5]:
            client = await open_socket(address, project, user=user)
            await client.welcome()
            clients.append(client)
        for oldest in (clients[0], clients[1], clients[2]):
            # From the other worker than the oldest is on, then from the same.
            new = await open_socket(pair.other.address, f"{project}.2", user=user)
            clients.append(new)
            await new.welcome()
            await closed_with(oldest, 4009)
        async with api(pair.one.address) as service:
            await service.publish(project, "to those who are left")
        for client in clients[3:5]:
            assert (await client.recv_events(1))[0]["data"] == "to those who are left"
    finally:
        for client in clients:
            await client.close()


async def answer_pings(client: RawClient, count: int, after_s: float) -> None:
    for _ in range(count):
        await client.receive_until(Opcode.PING)
        await asyncio.sleep(after_s)
        await client.flush()


@pytest.mark.gen_test
async def test_4010_without_a_pong_and_only_then(workers: Workers) -> None:
    # A machine that stands still for a moment must not be taken for a mute client.
    worker = workers.start(ping_interval_s=0.4, pong_timeout_s=3)
    async with (
        session(worker.address, "p1") as alive,
        raw_client(worker.address, "p1") as mute,
        raw_client(worker.address, "p1", user="late") as late,
    ):
        answering = asyncio.create_task(answer_pings(late, 4, after_s=0.3))
        await mute.receive_until(Opcode.PING)
        pinged_s = time.monotonic()
        close = await mute.receive_until(Opcode.CLOSE)
        assert time.monotonic() - pinged_s > 2.8
        texts = [
            json.loads(bytes(frame.data)) for frame in mute.frames if frame.opcode is Opcode.TEXT
        ]
        kinds = [text["type"] for text in texts if text["type"] != "presence"]
        assert kinds == ["welcome", "closing"]
        check_closing(texts[-1], 4010)
        assert int.from_bytes(close.data[:2], "big") == 4010
        await answering  # a pong that comes before the time-out is good
        assert all(frame.opcode is not Opcode.CLOSE for frame in late.frames)
        await alive.quiet(0.1)


@pytest.mark.gen_test
async def test_1001_when_the_worker_is_stopped(workers: Workers) -> None:
    one, other = workers.start_many(2)
    async with (
        api(one.address) as service,
        session(one.address, "p1") as client,
        session(one.address, "p1", user="ben", proposal_ids=["a"]) as narrow,
    ):
        await service.publish("p1", 1)
        await client.recv_events(1)
        await narrow.recv_events(1)
        one.terminate()
        for each in (client, narrow):
            closing = await closed_with(each, 1001)
            assert 0 <= closing["retry_after_ms"] <= 10_000
    wait_until(lambda: one.process.poll() is not None, "the worker has ended")
    assert one.process.returncode == 0
    async with api(other.address) as service:
        await service.publish("p1", 2)
    async with session(other.address, "p1", last_event_id=client.last_event_id) as client:
        assert (await client.recv_events(1))[0]["data"] == 2


@pytest.mark.gen_test
async def test_1011_for_a_fault_in_one_session(
    pair: Pair, project: str, mongod: MongodProcess
) -> None:
    name = str(pair.one.settings["mongodb_database"])
    healthy = f"{project}.2"
    async with session(pair.one.address, healthy) as neighbour, api(pair.other.address) as service:
        # Nobody writes such a pack. It is too old for the tail, so only who resumes meets it.
        pack = {"project_id": project, "first": 1, "last": 1, "stamp": Timestamp(1, 1)}
        with mongod.client() as client:
            client[name].events.insert_one({**pack, "events": ["no event"]})
        epoch = neighbour.frames[0]["position"].partition("-")[0]
        pair.expect("session_failed")
        broken = await open_socket(pair.one.address, project, last_event_id=f"{epoch}-0")
        async with broken:
            closing = await closed_with(broken, 1011)
            assert closing["reason"] == "Internal error"
            # What was missed is counted without a look into it, so it shows when it is to be sent.
            assert [frame["type"] for frame in broken.frames] == ["welcome", "closing"]
        assert pair.one.logged("session_failed")
        await service.publish(healthy, "as ever")
        assert (await neighbour.recv_events(1))[0]["data"] == "as ever"


@pytest.mark.gen_test
async def test_4029_for_too_many_messages(pair: Pair, project: str) -> None:
    async with (
        session(pair.one.address, project) as client,
        session(pair.one.address, project, user="ben") as neighbour,
    ):
        closing = asyncio.create_task(closed_with(client, 4029))
        with contextlib.suppress(ConnectionClosed):
            for _ in range(5_000):
                await client.send({"type": "view", "proposal_ids": []})
        await closing
        answers = [frame for frame in client.frames if frame["type"] in ("ack", "error")]
        assert len(answers) >= 90  # the burst, but for commands that were under way
        assert (await neighbour.ask("view", proposal_ids=[]))["type"] == "ack"


@pytest.mark.gen_test
async def test_nothing_follows_the_close_frame(pair: Pair, project: str) -> None:
    # The answers of commands that were under way used to follow it (RFC 6455 section 5.5.1).
    async with raw_client(pair.one.address, project) as client:
        await client.receive_until(Opcode.TEXT)
        for _ in range(300):
            client.protocol.send_text(b'{"type":"view","proposal_ids":[]}')
        await client.flush()
        await client.receive_until(Opcode.CLOSE)
        with pytest.raises(TimeoutError):  # the server waits for an answer, and says nothing more
            await client.receive_all(0.5)
        await client.flush()
        await client.receive_all()
        close = client.frames[-1]
        assert close.opcode is Opcode.CLOSE
        assert json.loads(bytes(client.frames[-2].data))["type"] == "closing"
        assert client.received.endswith(bytes(close.data))


@pytest.mark.gen_test
async def test_4400_for_one_who_keeps_sending_what_cannot_be_used(pair: Pair, project: str) -> None:
    async with session(pair.one.address, project) as client:
        for _ in range(9):
            await client.send("nonsense")
            assert (await client.recv())["type"] == "error"
        assert (await client.ask("view", proposal_ids=[]))["type"] == "ack"  # counts anew
        for _ in range(10):
            await client.send("nonsense")
        await closed_with(client, 4400)


@pytest.mark.gen_test
async def test_4400_for_a_message_that_is_far_too_large(pair: Pair, project: str) -> None:
    async with raw_client(pair.one.address, project) as client:
        await client.receive_until(Opcode.TEXT)
        client.protocol.send_text(b"y" * 8_000_000)
        sending = asyncio.create_task(client.flush())
        close = await client.receive_until(Opcode.CLOSE)
        assert int.from_bytes(close.data[:2], "big") == 4400
        texts = [frame for frame in client.frames if frame.opcode is Opcode.TEXT]
        frames = [json.loads(bytes(frame.data)) for frame in texts]
        _, error, closing = [frame for frame in frames if frame["type"] != "presence"]
        assert (error["type"], error["reason"]) == ("error", "too_large")
        check_closing(closing, 4400)
        await sending  # all of it is taken, so that the client gets to read the answer


@pytest.mark.gen_test
async def test_1001_reaches_also_who_is_behind(workers: Workers) -> None:
    worker = workers.start(outbox_bytes=4 * 1024 * 1024)
    both = ("service", "admin")
    async with (
        raw_client(worker.address, "p1") as behind,
        api(worker.address, roles=both) as service,
    ):
        await behind.receive_until(Opcode.TEXT)
        # More than the kernel holds, less than the outbox does.
        size = 60_000
        count = 0
        while not (waiting := await behind_bytes(service)) or waiting < 300_000:
            events = [{"type": "test.event", "data": "x" * size} for _ in range(5)]
            await service.post("/api/v1/projects/p1/events", {"events": events})
            count += 5
            assert count < 1000
        # What is acknowledged may still be on its way to the connection.
        await asyncio.to_thread(
            wait_until,
            lambda: worker.metric("rtserver_events_delivered_total") >= count,
            "all is handed to it",
        )
        worker.terminate()
        await asyncio.to_thread(wait_until, lambda: bool(worker.logged("stopping")), "it stops")
        close = await behind.receive_until(Opcode.CLOSE)
        await behind.flush()
        assert int.from_bytes(close.data[:2], "big") == 1001
        *_, last, closing = [
            json.loads(bytes(frame.data)) for frame in behind.frames if frame.opcode is Opcode.TEXT
        ]
        check_closing(closing, 1001)
        assert seq_of(last["id"]) == count
    assert worker.stop() == []


async def behind_bytes(admin: Api) -> int:
    """How much waits for the only connection."""
    (connection,) = (await admin.get("/api/v1/connections"))["connections"]
    return int(connection["behind_bytes"])
