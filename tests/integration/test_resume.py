"""Positions, and the four outcomes of a resume, on two workers."""

import pytest

from tests.integration.conftest import Pair
from tests.support.api import api
from tests.support.sockets import SocketClient, seq_of, session


def data_of(events: list[dict[str, object]]) -> list[object]:
    return [event["data"] for event in events]


@pytest.mark.gen_test
async def test_ids_are_dense_and_the_same_on_every_worker(pair: Pair, project: str) -> None:
    async with (
        session(pair.one.address, project) as here,
        session(pair.other.address, project, user="ben") as there,
        api(pair.one.address) as one,
        api(pair.other.address) as other,
    ):
        ids = [await (one if n % 3 else other).publish(project, n) for n in range(10)]
        epoch = here.frames[0]["position"].partition("-")[0]
        assert ids == [f"{epoch}-{seq}" for seq in range(1, 11)]
        for client in (here, there):
            events = await client.recv_events(10)
            assert [event["id"] for event in events] == ids
            assert data_of(events) == list(range(10))


@pytest.mark.gen_test
async def test_stored_event_says_what_it_is(pair: Pair, project: str) -> None:
    async with session(pair.one.address, project) as client, api(pair.one.address) as service:
        event_id = await service.publish(project, {"k": "v"}, type="build.finished")
        event = await client.recv_type("build.finished")
    ts = event.pop("ts")
    assert ts.endswith("Z")
    assert "T" in ts
    assert event == {
        "id": event_id,
        "type": "build.finished",
        "project_id": project,
        "data": {"k": "v"},
        "actor": "svc",
    }


@pytest.mark.gen_test
async def test_welcome_of_a_fresh_client(pair: Pair, project: str) -> None:
    async with session(pair.one.address, project, user="ada") as client:
        welcome = client.frames[0]
        assert welcome["type"] == "welcome"
        assert welcome["user_id"] == "ada"
        assert welcome["project_id"] == project
        assert seq_of(welcome["position"]) == 0
        assert welcome["resume"] == {
            "outcome": "fresh",
            "requested": None,
            "replayed": 0,
            "lost": 0,
        }
        assert welcome["heartbeat"] == {"ping_interval_s": 30, "pong_timeout_s": 10}
        assert welcome["limits"]["max_message_bytes"] == 64 * 1024
        assert welcome["limits"]["outbox_bytes"] == 1024 * 1024
        assert welcome["active_runs"] == []
        assert welcome["connection_id"]


@pytest.mark.gen_test
async def test_fresh_client_gets_nothing_old(pair: Pair, project: str) -> None:
    async with api(pair.one.address) as service:
        await service.publish_many(project, 3)
        async with session(pair.other.address, project) as client:
            assert seq_of(client.frames[0]["position"]) == 3
            await service.publish(project, "new")
            assert data_of(await client.recv_events(1)) == ["new"]


async def drop_and_resume(
    pair: Pair, project: str, missed: int, *, across: bool
) -> tuple[SocketClient, str]:
    """A client that saw one event, was away while `missed` came, and is back."""
    async with api(pair.one.address) as service:
        async with session(pair.one.address, project) as client:
            await service.publish(project, "seen")
            await client.recv_events(1)
            last = str(client.last_event_id)
            await client.vanish()
        if missed:
            await service.publish_many(project, missed)
    address = (pair.other if across else pair.one).address
    async with session(address, project, last_event_id=last) as client:
        await client.recv_events(missed)
        assert client.events == client.frames[1:]
        async with api(pair.one.address) as service:
            await service.publish(project, "live")
        assert data_of(await client.recv_events(1)) == ["live"]
    return client, last


@pytest.mark.gen_test
@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("missed", [0, 1, 500])
async def test_resume_gets_what_was_missed_then_live(
    pair: Pair, project: str, missed: int, across: bool
) -> None:
    client, last = await drop_and_resume(pair, project, missed, across=across)
    outcome = "replayed" if missed else "nothing_missed"
    assert client.frames[0]["resume"] == {
        "outcome": outcome,
        "requested": last,
        "replayed": missed,
        "lost": 0,
    }
    assert data_of(client.events) == [*range(missed), "live"]
    assert [seq_of(event["id"]) for event in client.events] == list(range(2, missed + 3))


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "asked", ["zzzzzzzz-1", "not an id", "-", "{epoch}-999999999999", "{epoch}-01", "{epoch}--1"]
)
async def test_position_of_no_log_here_is_lost(pair: Pair, project: str, asked: str) -> None:
    async with api(pair.one.address) as service:
        last = await service.publish(project, 1)
        asked = asked.replace("{epoch}", last.partition("-")[0])
        async with session(pair.other.address, project, last_event_id=asked) as client:
            welcome, gap = client.frames[0], await client.recv()
            assert welcome["position"] == last
            assert welcome["resume"] == {
                "outcome": "lost",
                "requested": asked,
                "replayed": 0,
                "lost": None,
            }
            assert gap == {
                "type": "gap",
                "requested": asked,
                "oldest_available": last,
                "lost": None,
                "refetch": f"/api/v1/projects/{project}",
            }
            await service.publish(project, "live")
            assert data_of(await client.recv_events(1)) == ["live"]
            assert [frame["type"] for frame in client.frames].count("gap") == 1


@pytest.mark.gen_test
async def test_zero_is_the_place_before_the_first_event(pair: Pair, project: str) -> None:
    async with session(pair.one.address, project) as client:
        before = client.frames[0]["position"]
    async with api(pair.one.address) as service:
        await service.publish_many(project, 3)
    async with session(pair.other.address, project, last_event_id=before) as client:
        assert client.frames[0]["resume"]["replayed"] == 3
        assert data_of(await client.recv_events(3)) == [0, 1, 2]


@pytest.mark.gen_test
async def test_empty_position_asks_for_nothing(pair: Pair, project: str) -> None:
    async with session(pair.one.address, project, last_event_id="") as client:
        assert client.frames[0]["resume"]["outcome"] == "fresh"


@pytest.mark.gen_test
async def test_replayed_counts_only_what_the_client_may_see(pair: Pair, project: str) -> None:
    async with api(pair.one.address) as service:
        first = await service.publish(project, "first")
        await service.publish(project, "a", proposal_id="a")
        await service.publish(project, "b", proposal_id="b")
        await service.publish(project, "for ben", audience={"users": ["ben"]})
        await service.publish(project, "for ada", audience={"users": ["ada"]})
    for worker in (pair.one, pair.other):
        async with session(
            worker.address, project, last_event_id=first, proposal_ids=["b"]
        ) as client:
            assert client.frames[0]["resume"]["replayed"] == 2
            assert data_of(await client.recv_events(2)) == ["b", "for ada"]
            await client.quiet()


@pytest.mark.gen_test
async def test_replay_command_sends_again_from_a_position(pair: Pair, project: str) -> None:
    async with session(pair.one.address, project) as client, api(pair.other.address) as service:
        ids = await service.publish_many(project, 5)
        await client.recv_events(5)
        answer = await client.ask("replay", **{"from": ids[1]})
        assert answer["type"] == "ack"
        assert answer["position"] == ids[4]
        assert [event["id"] for event in await client.recv_events(3)] == ids[2:]
        await service.publish(project, "live")
        assert data_of(await client.recv_events(1)) == ["live"]


@pytest.mark.gen_test
@pytest.mark.parametrize("asked", ["nonsense", "zzzzzzzz-1", "{epoch}-7"])
async def test_replay_command_from_nowhere_is_refused(pair: Pair, project: str, asked: str) -> None:
    async with session(pair.one.address, project) as client, api(pair.one.address) as service:
        last = await service.publish(project, 1)
        await client.recv_events(1)
        asked = asked.replace("{epoch}", last.partition("-")[0])
        answer = await client.ask("replay", **{"from": asked})
        assert (answer["type"], answer["reason"]) == ("error", "invalid")
        await service.publish(project, "live")
        assert data_of(await client.recv_events(1)) == ["live"]
