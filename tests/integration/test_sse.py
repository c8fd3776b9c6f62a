"""`/api/v1/proposals/{id}/events` on a real worker."""

import asyncio
import json
import urllib.request

import pytest

from tests.support.api import api
from tests.support.event_stream import (
    EventStreamClient,
    StreamEndedError,
    event_stream,
    events_path,
    request_stream,
)
from tests.support.sockets import session
from tests.support.tokens import token
from tests.support.workers import Worker, Workers

ORIGIN = "https://app.example"


@pytest.fixture
def worker(module_workers: Workers) -> Worker:
    """One for all tests here, which take proposals and projects of their own."""
    if not module_workers.all:
        module_workers.start(
            allowed_origins=ORIGIN,
            ping_interval_s=0.3,
            pong_timeout_s=3,
            max_connections_per_project=3,
            outbox_bytes=65536,
        )
    return module_workers.all[0]


def open_connections(worker: Worker, transport: str = "sse") -> int:
    """The gauge in `/metrics`."""
    address = f"http://{worker.address}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        wanted = f'rtserver_connections{{transport="{transport}"}} '
        lines = answer.read().decode().splitlines()
    return int(float(next(line for line in lines if line.startswith(wanted)).split()[1]))


async def gauge_reaches(worker: Worker, count: int) -> None:
    """Wait until so many streams are open."""
    async with asyncio.timeout(20):
        while await asyncio.to_thread(open_connections, worker) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.gen_test
async def test_stream_is_what_the_contract_says(worker: Worker) -> None:
    async with api(worker.address) as service:
        await service.propose("head", "head-1")
        async with event_stream(worker.address, "head-1") as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            assert "no-store" in stream.headers["cache-control"]
            assert "no-transform" in stream.headers["cache-control"]
            assert stream.headers["x-accel-buffering"] == "no"
            assert "content-length" not in stream.headers
            assert stream.headers["transfer-encoding"] == "chunked"
            assert stream.headers["connection"] == "close"
            first, welcome = stream.blocks
            assert first.event is None
            assert 1000 <= int(first.fields["retry"]) <= 3000
            assert "id" not in welcome.fields
            assert welcome.frame["resume"]["outcome"] == "fresh"

            event_id = await service.publish("head", {"text": "line 1\nline 2\u2028\r"})
            frame = await stream.recv("test.event")
            assert stream.blocks[-1].fields.keys() == {"id", "event", "data"}
            assert stream.blocks[-1].fields["id"] == frame["id"] == event_id
            assert frame["data"] == {"text": "line 1\nline 2\u2028\r"}

            while not stream.blocks[-1].comments:
                await stream.recv_block()
            assert stream.blocks[-1].fields == {}


@pytest.mark.gen_test
async def test_http_1_0_has_no_chunks_and_the_connection_is_the_end(worker: Worker) -> None:
    async with api(worker.address) as service:
        await service.propose("old", "old-1")
        keep = {"Connection": "keep-alive"}
        async with (
            event_stream(worker.address, "old-1", http="1.0", headers=keep) as old,
            event_stream(worker.address, "old-1") as new,
        ):
            assert "transfer-encoding" not in old.headers
            assert old.headers["connection"] == "close"
            event_id = await service.publish("old", "a\u2028b")
            assert (await old.recv("test.event"))["id"] == event_id
            assert (await new.recv("test.event"))["id"] == event_id
            assert [block.fields for block in old.blocks if block.event == "test.event"] == [
                block.fields for block in new.blocks if block.event == "test.event"
            ]
            assert await asyncio.to_thread(open_connections, worker) == 2
        await gauge_reaches(worker, 0)


@pytest.mark.gen_test
async def test_a_fresh_client_learns_where_it_stands_before_anything_happens(
    worker: Worker,
) -> None:
    async with api(worker.address) as service:
        await service.propose("quiet", "quiet-1")
        async with event_stream(worker.address, "quiet-1") as stream:
            position = stream.blocks[1].frame["position"]
            await stream.recv_until_id(position)
            assert stream.blocks[-1].event is None
        missed = await service.publish("quiet", 1)
        async with event_stream(
            worker.address, "quiet-1", headers={"Last-Event-ID": position}
        ) as stream:
            assert stream.blocks[-1].frame["resume"] == {
                "outcome": "replayed",
                "requested": position,
                "replayed": 1,
                "lost": 0,
            }
            assert (await stream.recv("test.event"))["id"] == missed


@pytest.mark.gen_test
async def test_the_header_wins_over_the_query_that_a_browser_repeats(worker: Worker) -> None:
    async with api(worker.address) as service:
        await service.propose("resume", "resume-1")
        ids = await service.publish_many("resume", 5)
        async with event_stream(
            worker.address,
            "resume-1",
            f"last_event_id={ids[0]}",
            headers={"Last-Event-ID": ids[2]},
        ) as stream:
            assert [(await stream.recv())["id"] for _ in range(2)] == ids[3:]
        async with event_stream(worker.address, "resume-1", f"last_event_id={ids[0]}") as stream:
            assert [(await stream.recv())["id"] for _ in range(4)] == ids[1:]


@pytest.mark.gen_test
async def test_an_id_of_another_transport_is_taken(worker: Worker) -> None:
    async with api(worker.address) as service:
        await service.propose("change", "change-1")
        async with session(worker.address, "change") as client:
            seen = await service.publish("change", 1)
            await client.recv_type("test.event")
        missed = await service.publish("change", 2)
        async with event_stream(worker.address, "change-1", f"last_event_id={seen}") as stream:
            assert (await stream.recv())["id"] == missed
            assert stream.last_event_id == missed
        last = await service.publish("change", 3)
        async with session(worker.address, "change", last_event_id=missed) as client:
            assert (await client.recv())["id"] == last


@pytest.mark.gen_test
async def test_a_position_that_is_lost_gives_a_gap_and_then_live_events(worker: Worker) -> None:
    async with api(worker.address) as service:
        await service.propose("lost", "lost-1")
        async with event_stream(worker.address, "lost-1", "last_event_id=elsewhere-7") as stream:
            assert stream.blocks[-1].frame["resume"]["outcome"] == "lost"
            gap = await stream.recv()
            assert (gap["type"], gap["refetch"]) == ("gap", "/api/v1/projects/lost")
            await stream.recv_until_id(stream.blocks[1].frame["position"])
            event_id = await service.publish("lost", 1)
            assert (await stream.recv())["id"] == event_id


@pytest.mark.gen_test
async def test_viewer_of_one_proposal_sees_it_and_the_project_and_is_moved_past_others(
    worker: Worker,
) -> None:
    async with api(worker.address) as service:
        await service.propose("view", "view-1")
        await service.propose("view", "view-2")
        async with event_stream(worker.address, "view-1") as stream:
            mine = await service.publish("view", "mine", proposal_id="view-1")
            await service.publish("view", "other", proposal_id="view-2")
            wide = await service.publish("view", "wide")
            other = await service.publish("view", "other", proposal_id="view-2")
            assert [(await stream.recv())["id"] for _ in range(2)] == [mine, wide]
            await stream.recv_until_id(other)
            assert stream.blocks[-1].fields == {"id": other}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("proposal_id", "options", "status", "reason"),
    [
        ("doors-1", {"token": ""}, 401, "missing"),
        ("doors-1", {"token": "no.to.ken"}, 401, None),
        ("doors-1", {"token": token("eve", "elsewhere")}, 403, "forbidden"),
        ("doors-1", {"headers": {"Origin": "https://evil.example"}}, 403, "origin"),
        ("nowhere", {}, 404, "not_found"),
        ("doors-1", {"headers": {"Accept": "application/json"}}, 406, "not_acceptable"),
        ("doors-1", {"headers": {"Accept": "text/event-stream;q=0, */*"}}, 406, "not_acceptable"),
        ("doors-1", {"method": "POST", "headers": {"Content-Length": "0"}}, 405, None),
    ],
)
async def test_refusals(
    worker: Worker, proposal_id: str, options: dict[str, object], status: int, reason: str | None
) -> None:
    async with api(worker.address) as service:
        created = await service.http.post(
            "/api/v1/projects/doors/proposals", json={"id": "doors-1", "title": "d"}
        )
        assert created.status_code in (201, 409)
    answer = await request_stream(worker.address, events_path(proposal_id), **options)  # type: ignore[arg-type]
    problem = json.loads(await answer.body())
    await answer.close()
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert reason is None or problem["reason"] == reason
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    if status == 405:
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.gen_test
async def test_head_answers_as_get_without_a_stream_or_a_place(worker: Worker) -> None:
    async with api(worker.address) as service:
        await service.propose("heads", "heads-1")
        for _ in range(5):  # more than there are places
            answer = await service.http.head(events_path("heads-1"))
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/event-stream"
            assert answer.headers["x-accel-buffering"] == "no"
            assert "content-length" not in answer.headers
        assert (await service.http.head(events_path("nowhere"))).status_code == 404


@pytest.mark.gen_test
async def test_pages_of_listed_origins_only(worker: Worker) -> None:
    async with api(worker.address) as service:
        await service.propose("cors", "cors-1")
        asked = {"Access-Control-Request-Method": "GET", "Origin": ORIGIN}
        preflight = await service.http.options(events_path("cors-1"), headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == ORIGIN
        assert "GET" in preflight.headers["access-control-allow-methods"]
        assert "Last-Event-ID" in preflight.headers["access-control-allow-headers"]
        asked["Origin"] = "https://evil.example"
        preflight = await service.http.options(events_path("cors-1"), headers=asked)
        assert "access-control-allow-origin" not in preflight.headers
        async with event_stream(
            worker.address, "cors-1", headers={"Origin": ORIGIN}, http="1.0"
        ) as stream:
            assert stream.headers["access-control-allow-origin"] == ORIGIN
            assert "Origin" in stream.headers["vary"]


@pytest.mark.gen_test
async def test_a_full_project_is_said_before_the_stream_and_places_come_back(
    worker: Worker,
) -> None:
    async with api(worker.address) as service:
        await service.propose("full", "full-1")
        path = events_path("full-1")
        async with (
            event_stream(worker.address, "full-1", token=token("u1")),
            event_stream(worker.address, "full-1", token=token("u2")),
            session(worker.address, "full", user="u3"),
        ):
            refused = await request_stream(worker.address, path, token=token("u4"))
            assert refused.status == 503
            assert int(refused.headers["retry-after"]) > 0
            assert json.loads(await refused.body())["reason"] == "project_full"
            await refused.close()
        async with asyncio.timeout(20):
            while True:
                again = await request_stream(worker.address, path, token=token("u4"))
                await again.close()
                if again.status == 200:
                    break


@pytest.mark.gen_test
async def test_the_users_oldest_stream_makes_room_and_is_told_to_stay_away(
    workers: Workers,
) -> None:
    worker = workers.start(max_connections_per_user=2)
    async with api(worker.address) as service:
        await service.propose("p1", "evict-1")
    async with (
        event_stream(worker.address, "evict-1") as oldest,
        session(worker.address, "p1") as client,
        event_stream(worker.address, "evict-1") as newest,
    ):
        closing = await oldest.ended()
        assert (closing["code"], closing["reconnect"]) == (4009, False)
        assert int(oldest.blocks[-1].fields["retry"]) >= 3600 * 1000
        await client.ask("view", proposal_ids=[])
        assert not newest.events


@pytest.mark.gen_test
async def test_the_stream_ends_with_the_token(worker: Worker) -> None:
    async with api(worker.address) as service:
        await service.propose("expiry", "expiry-1")
    short = token("ada", ttl_s=1.5)
    async with event_stream(worker.address, "expiry-1", token=short) as stream:
        closing = await stream.ended()
        assert (closing["code"], closing["reconnect"]) == (4001, False)
        assert "expired" in closing["reason"]


@pytest.mark.gen_test
async def test_who_does_not_read_is_cut_off_and_can_resume(worker: Worker) -> None:
    async with api(worker.address) as service:
        await service.propose("slow", "slow-1")
        async with event_stream(worker.address, "slow-1", receive_buffer_bytes=4096) as slow:
            seen = slow.last_event_id = slow.blocks[1].frame["position"]
            published = []
            while await asyncio.to_thread(open_connections, worker):
                published += [await service.publish("slow", "x" * 30_000) for _ in range(10)]
            try:
                while True:
                    await slow.recv_block()
            except StreamEndedError:
                seen = slow.last_event_id or seen
        assert len(published) > 10
        async with event_stream(worker.address, "slow-1", f"last_event_id={seen}") as again:
            got = [event["id"] for event in slow.events]
            while not got or got[-1] != published[-1]:
                got.append((await again.recv("test.event"))["id"])
            assert got == published


@pytest.mark.gen_test
async def test_a_peer_that_takes_nothing_more_is_found_by_the_keep_alives(worker: Worker) -> None:
    async with api(worker.address) as service:
        await service.propose("dead", "dead-1")
        async with event_stream(worker.address, "dead-1", receive_buffer_bytes=2048) as dead:
            dead.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await gauge_reaches(worker, 1)
            # It fits into the server's socket buffer, so that the outbox is empty; the peer's
            # window is closed, and nothing is acknowledged any more.
            await service.publish("dead", "x" * 20_000)
            await gauge_reaches(worker, 0)


@pytest.mark.gen_test
async def test_a_client_that_goes_frees_its_place_at_once(worker: Worker) -> None:
    async with api(worker.address) as service:
        await service.propose("gone", "gone-1")
        async with event_stream(worker.address, "gone-1"):
            assert await asyncio.to_thread(open_connections, worker) == 1
        await gauge_reaches(worker, 0)


@pytest.mark.gen_test
async def test_a_client_that_talks_is_cut_off(worker: Worker) -> None:
    async with api(worker.address) as service:
        await service.propose("talk", "talk-1")
        async with event_stream(worker.address, "talk-1") as stream:
            with pytest.raises((StreamEndedError, ConnectionError)):
                await _talk(stream)


async def _talk(stream: EventStreamClient) -> None:
    while True:
        stream.writer.write(b"x" * 8192)
        await stream.writer.drain()
        await stream.recv_block()


@pytest.mark.gen_test
async def test_streams_are_drained_when_the_worker_stops(workers: Workers) -> None:
    worker, other = workers.start_many(2, max_connections_per_project=1, lease_s=30)
    async with api(worker.address) as service:
        await service.propose("p1", "drain-1")
        async with event_stream(worker.address, "drain-1") as stream:
            await service.publish("p1", 1)
            await stream.recv("test.event")
            worker.terminate()
            closing = await stream.ended()
            assert (closing["code"], closing["reconnect"]) == (1001, True)
            assert 0 < int(stream.blocks[-1].fields["retry"]) <= 2000
    await asyncio.to_thread(worker.process.wait, 20)
    async with event_stream(other.address, "drain-1"):
        pass  # the place was given back, long before its lease is over
