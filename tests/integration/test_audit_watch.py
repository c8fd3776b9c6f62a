"""The audit log as admins see it: `/ws/audit`, `GET /api/v1/audit` and the connections of all."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.exceptions import InvalidStatus

from rtserver.app.server import Server
from rtserver.audit.live import session as audit_session
from rtserver.audit.record.actions import Acting, Action, Outcome
from tests.integration.conftest import Pair
from tests.support.api import Api, api
from tests.support.sockets import Frame, SocketClient, open_socket, seq_of, session
from tests.support.tokens import token
from tests.support.waiting import until

_numbers = itertools.count(1)


@pytest.fixture
def who() -> str:
    """A user whom no other record names."""
    return f"user-{next(_numbers)}"


def admin(user: str = "root", **claims: Any) -> str:
    """An admin's token. Each connection has a user of its own: five of one are the most."""
    return token(f"{user}-{next(_numbers)}", "none", roles=("admin",), **claims)


@asynccontextmanager
async def watching(address: str, *, signed: str = "", **query: Any) -> AsyncIterator[SocketClient]:
    path = f"/ws/audit?{urlencode(query, doseq=True)}"
    async with session(address, path=path, token=signed or admin()) as client:
        yield client


@asynccontextmanager
async def admin_api(address: str) -> AsyncIterator[Api]:
    async with api(address, "root", ("admin",)) as root:
        yield root


async def records(client: SocketClient, count: int) -> list[Frame]:
    """The next so many records, which have to come without anything that tells of a loss."""
    found = await client.recv_events(count)
    assert not [frame for frame in client.frames if frame["type"] == "gap"]
    return found


async def lock(address: str, user: str, times: int = 1) -> None:
    """Acts of a user: so many, each recorded once."""
    async with api(address, user, ()) as one:
        for number in range(times):
            await one.put(f"/api/v1/projects/{user}/lock", {"reason": f"{number}"})


def words(found: list[Frame]) -> list[str]:
    """What the acts of `lock` were done for."""
    return [record["details"]["words"] for record in found]


@pytest.mark.gen_test
async def test_a_record_says_who_did_what_from_where_and_how_it_ended(pair: Pair, who: str) -> None:
    async with watching(pair.other.address, actor=who) as client:
        assert client.frames[0]["filter"] == {"actor": who}
        await lock(pair.one.address, who)
        (record,) = await records(client, 1)
        assert record["type"] == "audit"
        assert record["action"] == "lock.acquired"
        assert (record["actor"], record["outcome"]) == (who, "allowed")
        assert (record["project_id"], record["target"]) == (who, who)
        assert record["ip"] == "127.0.0.1"
        async with api(pair.one.address, who, ()) as one:
            await one.put("/api/v1/projects/x%20y/lock", {"reason": "?"}, 400)
        async with api(pair.one.address, token=token(who, "other")) as one:
            await one.put(f"/api/v1/projects/{who}/lock", {"reason": "?"}, 403)
        found = await records(client, 2)
        assert [one["outcome"] for one in found] == ["failed", "denied"]


@pytest.mark.gen_test
async def test_history_then_what_follows_has_no_seam(pair: Pair, who: str) -> None:
    async with watching(pair.other.address, actor=who) as client:
        await lock(pair.one.address, who, 5)
        await records(client, 5)
    acting = asyncio.create_task(lock(pair.one.address, who, 40))
    seen: list[list[str]] = []
    while not acting.done() or len(seen) < 3:
        async with watching(pair.other.address, actor=who, history=3, action="lock.*") as client:
            assert client.frames[0]["history"] == 3
            found = await records(client, 3)
            if not acting.done():
                found += await records(client, 1)
            numbers = [seq_of(record["id"]) for record in found]
            assert numbers == sorted(set(numbers))
            seen.append(words(found))
    await acting
    expected = [f"{n}" for n in range(5)] + [f"{n}" for n in range(40)]
    for found_words in seen:
        start = _index_of(expected, found_words)
        assert expected[start : start + len(found_words)] == found_words


def _index_of(whole: list[str], part: list[str]) -> int:
    starts = range(len(whole) - len(part) + 1)
    return next((n for n in starts if whole[n : n + len(part)] == part), len(whole))


@pytest.mark.gen_test
async def test_a_watcher_resumes_where_it_was_on_another_worker(pair: Pair, who: str) -> None:
    async with watching(pair.one.address, actor=who) as client:
        await lock(pair.one.address, who, 3)
        (first, *_) = await records(client, 3)
        await client.vanish()
    await lock(pair.other.address, who, 2)
    # The other worker reads the log in its own time: what it has shown it can replay.
    async with watching(pair.other.address, actor=who, history=5) as client:
        assert words(await records(client, 5)) == ["0", "1", "2", "0", "1"]
    async with watching(pair.other.address, actor=who, last_event_id=first["id"]) as client:
        assert client.frames[0]["resume"]["outcome"] == "replayed"
        assert client.frames[0]["resume"]["replayed"] == 4
        assert words(await records(client, 4)) == ["1", "2", "0", "1"]
    path = f"/ws/audit?last_event_id=beef-{seq_of(first['id'])}"
    async with session(pair.one.address, path=path, token=admin()) as client:
        assert client.frames[0]["resume"]["outcome"] == "lost"
        gap = await client.recv_type("gap")
        assert gap["lost"] is None


@pytest.mark.gen_test
async def test_a_filter_is_changed_in_band_and_a_mistake_is_named(pair: Pair, who: str) -> None:
    async with watching(pair.one.address, actor="nobody") as client:
        answer = await client.ask("filter", action=["lock.*", "api.called"], actor=who)
        assert answer["type"] == "ack"
        await lock(pair.one.address, who)
        assert (await records(client, 1))[0]["action"] == "lock.acquired"
        for mistake, said in (
            ({"action": "lcok.*"}, "did you mean lock.*"),
            ({"outcome": "maybe"}, "outcome is one of allowed, denied, failed"),
            ({"since": "yesterday"}, "RFC 3339"),
            ({"project_id": "a b"}, "project_id"),
            ({"acter": who}, "acter"),
        ):
            answer = await client.ask("filter", **mistake)
            assert answer["type"] == "error"
            assert said in answer["error"]
        await lock(pair.one.address, who)
        assert len(await records(client, 1)) == 1  # a mistake changes nothing
    client = await open_socket(pair.one.address, path="/ws/audit?acter=x", token=admin())
    code, closing = await client.closed()
    assert code == 4400
    assert "'acter'; did you mean actor?" in closing["reason"]
    async with admin_api(pair.one.address) as root:
        answer = await root.get("/api/v1/audit?outcome=maybe", 422)
        assert "allowed, denied, failed" in answer["detail"]
        answer = await root.get(f"/api/v1/audit?action=audit.watched&actor={_user(client)}")
        assert answer["records"] == []


def _user(client: SocketClient) -> str:
    return str(client.frames[0].get("user_id", "nobody"))


@pytest.mark.gen_test
async def test_pages_go_through_the_log_once(pair: Pair, who: str) -> None:
    async with watching(pair.one.address, actor=who) as client:
        await lock(pair.one.address, who, 7)
        expected = await records(client, 7)
    async with admin_api(pair.other.address) as root:
        found: list[Frame] = []
        after = ""
        while True:
            page = await root.get(f"/api/v1/audit?actor={who}&limit=3{after}")
            assert len(page["records"]) <= 3
            found += page["records"]
            after = f"&after={page['position']}"
            if not page["more"]:
                break
        assert found == expected
        answer = await root.get("/api/v1/audit?after=beef-3", 409)
        assert answer["reason"] == "lost"
        for query in ("limit=0", "limit=1001", "limit=x", "after=x"):
            await root.get(f"/api/v1/audit?{query}", 400)


@pytest.mark.gen_test
async def test_a_pause_costs_nothing_and_loses_nothing(pair: Pair, who: str) -> None:
    async with watching(pair.one.address, actor=who) as client:
        assert (await client.ask("pause"))["paused"] is True
        await lock(pair.one.address, who, 5)
        await client.quiet()
        answer = await client.ask("replay", **{"from": client.frames[0]["position"]})
        assert (answer["type"], answer["reason"]) == ("error", "paused")
        assert (await client.ask("resume"))["paused"] is False
        assert words(await records(client, 5)) == ["0", "1", "2", "3", "4"]
        await lock(pair.one.address, who)
        await records(client, 1)


@pytest.mark.gen_test
async def test_watching_and_reading_are_recorded_with_the_filter(pair: Pair, who: str) -> None:
    async with (
        watching(pair.one.address, action="audit.*", actor=f"{who}-root") as observer,
        watching(pair.other.address, signed=token(f"{who}-root", roles=("admin",)), target=who),
        api(pair.other.address, f"{who}-root", ("admin",)) as root,
    ):
        (watched,) = await records(observer, 1)
        assert watched["action"] == "audit.watched"
        assert watched["details"]["filter"] == {"target": who}
        await root.get(f"/api/v1/audit?target={who}&outcome=denied")
        (read,) = await records(observer, 1)
        assert read["action"] == "audit.read"
        assert read["details"] == {"filter": {"target": who, "outcome": "denied"}, "records": 0}


@pytest.mark.gen_test
async def test_who_is_no_admin_sees_nothing_and_that_is_recorded(pair: Pair, who: str) -> None:
    async with watching(pair.one.address, actor=who) as observer:
        client = await open_socket(pair.one.address, path="/ws/audit", token=token(who))
        code, closing = await client.closed()
        assert (code, closing["reconnect"]) == (4003, False)
        assert [frame["type"] for frame in client.frames] == ["closing"]
        async with api(pair.one.address, who, ("service",)) as service:
            for path in ("/api/v1/audit", "/api/v1/connections"):
                assert (await service.get(path, 403))["reason"] == "not_admin"
            await service.delete("/api/v1/connections/0123456789abcdef", 403)
            await service.delete(f"/api/v1/connections?user_id={who}", 403)
        found = await records(observer, 5)
        assert [(record["action"], record["outcome"]) for record in found] == [
            ("connection.denied", "denied"),
            ("audit.read", "denied"),
            ("connection.listed", "denied"),
            ("connection.disconnected", "denied"),
            ("connection.disconnected", "denied"),
        ]


@pytest.mark.gen_test
async def test_the_role_is_asked_for_again_at_a_refresh_and_the_token_at_its_end(
    pair: Pair, who: str
) -> None:
    address = pair.one.address
    async with watching(address, signed=token(who, roles=("admin",), ttl_s=30)) as client:
        answer = await client.ask("refresh_token", token=token(who, roles=("admin",), ttl_s=60))
        assert answer["type"] == "ack"
        answer = await client.ask("refresh_token", token=token("other", roles=("admin",)))
        assert (answer["type"], answer["reason"]) == ("error", "unauthorized")
        await client.send({"type": "refresh_token", "token": token(who, "none")})
        code, _ = await client.closed()
        assert code == 4003
    async with watching(address, signed=token(who, roles=("admin",), ttl_s=1.5)) as client:
        code, closing = await client.closed()
        assert (code, closing["reason"]) == (4001, "Unauthorized: the token expired")


@pytest.mark.gen_test
async def test_connections_of_all_workers_are_seen_and_ended(pair: Pair, who: str) -> None:
    async with (
        session(pair.one.address, who, user=who) as here,
        session(pair.other.address, who, user=who) as there,
        watching(pair.other.address, signed=token(who, roles=("admin",))) as audit,
        session(pair.other.address, who, user=f"{who}-b") as stays,
        watching(pair.one.address, action="connection.*", actor="root") as observer,
        admin_api(pair.one.address) as root,
    ):
        listed = (await root.get(f"/api/v1/connections?user_id={who}"))["connections"]
        by_id = {one["id"]: one for one in listed}
        ids = [client.frames[0]["connection_id"] for client in (here, there, audit)]
        assert set(by_id) == set(ids)
        first = by_id[ids[0]]
        assert (first["project_id"], first["transport"], first["ip"]) == (
            who,
            "websocket",
            "127.0.0.1",
        )
        assert first["behind_bytes"] == 0
        assert 0 <= first["age_s"] < 60
        assert by_id[ids[0]]["worker"] != by_id[ids[1]]["worker"]
        assert (by_id[ids[2]]["audit"], by_id[ids[2]]["project_id"]) == (True, None)
        of_project = await root.get(f"/api/v1/connections?project_id={who}")
        assert len(of_project["connections"]) == 3

        await root.delete(f"/api/v1/connections/{ids[1]}")
        code, closing = await there.closed()
        assert (code, closing["reconnect"]) == (4003, False)
        await root.delete(f"/api/v1/connections/{ids[1][::-1]}", 404)

        async def is_gone() -> bool:
            left = (await root.get(f"/api/v1/connections?user_id={who}"))["connections"]
            return {one["id"] for one in left} == {ids[0], ids[2]}

        await until(is_gone, "the worker has let it go")
        answer = await root.delete(f"/api/v1/connections?user_id={who}")
        assert sorted(answer["disconnected"]) == sorted([ids[0], ids[2]])
        for client in (here, audit):
            assert (await client.closed())[0] == 4003
        await root.delete("/api/v1/connections", 400)
        assert (await stays.ask("view", proposal_ids=[]))["type"] == "ack"

        found = [await _next(observer, "connection.disconnected") for _ in range(5)]
        assert [(one["outcome"], one["target"]) for one in found[:1]] == [("allowed", ids[1])]
        assert found[1]["outcome"] == "failed"
        assert {one["target"] for one in found[2:4]} == {ids[0], ids[2]}
        assert {one["details"]["user_id"] for one in found[2:4]} == {who}
        assert found[4]["outcome"] == "failed"


async def _next(client: SocketClient, action: str) -> Frame:
    while True:
        (record,) = await records(client, 1)
        if record["action"] == action:
            return record


@pytest.mark.gen_test
async def test_a_refused_upgrade_is_recorded(pair: Pair) -> None:
    # The log of users shows the first of a stranger's refusals too, for those who watch that one.
    async with watching(pair.one.address, action=["token.*", "connection.denied"]) as observer:
        with pytest.raises(InvalidStatus):
            await open_socket(
                pair.one.address,
                path="/ws/audit",
                headers={"Origin": "https://evil.example", "X-Forwarded-For": "198.51.100.77"},
            )
        (denied,) = await records(observer, 1)
        assert (denied["action"], denied["outcome"]) == ("connection.denied", "denied")
        assert denied["details"]["reason"] == "origin"
        assert denied["ip"] == "198.51.100.77"


@pytest.fixture
def server_settings() -> dict[str, object]:
    return {"outbox_bytes": 64 * 1024}


@pytest.mark.gen_test
async def test_a_long_pause_ends_with_a_count_and_a_slow_admin_is_cut_and_resumes(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_session, "MAX_PAUSED_RECORDS", 100)
    address = f"127.0.0.1:{server.port}"

    def act(count: int, **details: Any) -> None:
        for number in range(count):
            outcome = Outcome.DENIED if number % 2 else Outcome.ALLOWED
            by = Acting(actor="busy")
            server.features.audit.auditor.record(
                Action.API_CALLED, outcome, by=by, number=number, **details
            )

    async with (
        watching(address, actor="busy", outcome="denied") as client,
        watching(address, actor="busy") as slow,
    ):
        await client.ask("pause")
        act(1000)
        await server.features.audit.auditor.flush()
        await asyncio.wait_for(slow.recv_events(1000), 30)
        await client.ask("resume")
        gap = await client.recv_type("gap")
        assert (gap["reason"], gap["lost"]) == ("paused", 400)
        found = await client.recv_events(100)
        assert [record["details"]["number"] for record in found] == list(range(801, 1000, 2))
        assert seq_of(gap["oldest_available"]) <= seq_of(found[0]["id"])
        page = await _page(address, gap["refetch"], "actor=busy&outcome=denied&limit=400")
        assert [record["details"]["number"] for record in page] == list(range(1, 801, 2))

        # The other is not read from any more: the kernel's buffers fill, then its outbox.
        before = slow.events[-1]["id"]
        overflows = server.metrics.sessions.outbox_overflow_total
        for _ in range(200):
            act(40, words=["x" * 900] * 16)
            await server.features.audit.auditor.flush()
            if overflows._value.get():
                break
        await server.features.audit.auditor.flush()
        assert await _limits_hit(address) == {"outbox_bytes"}
        code, closing = await slow.closed()
        assert (code, closing["reconnect"]) == (4008, True)
        last = slow.events[-1]["id"]
        assert seq_of(last) > seq_of(before)
    async with watching(address, actor="busy", last_event_id=last) as resumed:
        assert resumed.frames[0]["resume"]["outcome"] == "replayed"
        (following, *_) = await records(resumed, 1)
        page = await _page(address, f"/api/v1/audit?after={last}", "actor=busy&limit=1")
        assert following["id"] == page[0]["id"]


async def _page(address: str, path: str, query: str) -> list[Frame]:
    async with admin_api(address) as root:
        found: list[Frame] = (await root.get(f"{path}&{query}"))["records"]
        return found


async def _limits_hit(address: str) -> set[str]:
    found = await _page(address, "/api/v1/audit?action=limit.hit", "limit=10")
    return {record["details"]["limit"] for record in found}
