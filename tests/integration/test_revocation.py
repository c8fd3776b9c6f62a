"""Revocation: sessions end everywhere at once, and tokens of before are refused for good."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from rtserver.sessions import revocation
from store.base.client import connect
from store.documents.revocations import MongoRevocations
from tests.integration.conftest import Pair
from tests.support.api import Api, api
from tests.support.event_stream import event_stream, events_path, request_stream
from tests.support.lateness import lateness
from tests.support.mongo import MongodProcess
from tests.support.raw_http import raw_http
from tests.support.sockets import open_socket, session
from tests.support.sockjs_polls import hello, polled
from tests.support.tokens import bearer, token
from tests.support.waiting import until
from tests.support.workers import Workers


def _path(user: str) -> str:
    return f"/api/v1/users/{user}/revoke"


def _issued(user: str, *projects: str, ago_s: float = 0.0, **claims: Any) -> str:
    """A token that says when it was issued, in whole seconds as most do."""
    return token(user, *projects, iat=int(time.time() - ago_s), **claims)


@pytest.mark.gen_test
async def test_all_sessions_end_at_once_on_all_workers_and_transports(
    pair: Pair, project: str
) -> None:
    user = f"u-{project}"
    old = _issued(user, ago_s=5)
    async with (
        api(pair.one.address, "root", ("admin",)) as root,
        api(pair.other.address, token=old) as mine,
    ):
        await mine.propose(project, project)
        watcher = _issued(user, roles=("admin",), ago_s=5)
        async with (
            session(pair.one.address, project, token=old) as here,
            session(pair.other.address, project, token=old) as there,
            session(pair.other.address, path="/ws/audit", token=watcher) as audit,
            event_stream(pair.other.address, project, token=old) as stream,
            polled(pair.other.address, hello(project, token=old)) as sockjs,
            session(pair.other.address, project, user=f"b-{user}") as stays,
        ):
            await sockjs.recv_type("welcome")
            with lateness() as late_s:
                began_s = time.monotonic()
                answer = await root.post(_path(user), None, 200)
                assert answer["user_id"] == user
                assert len(answer["disconnected"]) == 5
                for client in (here, there, audit):
                    code, closing = await client.closed()
                    assert (code, closing["reconnect"]) == (4001, False)
                    assert "revoked" in closing["reason"]
                assert (await stream.ended())["code"] == 4001
                assert (await sockjs.recv_closed())[0] == 4001
                assert time.monotonic() - began_s < 3 + 10 * late_s()
            assert (await stays.ask("view", proposal_ids=[]))["type"] == "ack"
            # Nobody comes in with a token of before, also one that was verified before.
            for address in (pair.one.address, pair.other.address):
                async with api(address, token=old) as again:
                    problem = await again.get(f"/api/v1/proposals/{project}", 401)
                    assert problem["reason"] == "revoked"
                client = await open_socket(address, project, token=old)
                assert (await client.closed())[0] == 4001
                refused = await request_stream(address, events_path(project), token=old)
                assert refused.status == 401
                await refused.close()
            unsaid = await open_socket(pair.one.address, project, token=token(user))
            assert (await unsaid.closed())[0] == 4001
            # And whoever has a new one does at once, though it says whole seconds only.
            async with session(pair.other.address, project, token=_issued(user)) as back:
                answer = await back.ask("refresh_token", token=old)
                assert (answer["type"], answer["reason"]) == ("error", "unauthorized")
                answer = await back.ask("refresh_token", token=_issued(user))
                assert answer["type"] == "ack"


@pytest.mark.gen_test
async def test_who_may_and_what_is_recorded(pair: Pair, project: str) -> None:
    user = f"u-{project}"
    quoted = user + "%2F%C3%BC"
    async with (
        api(pair.one.address, user, ()) as nobody,
        api(pair.one.address, user, ("service",)) as service,
        api(pair.one.address, "root", ("admin",)) as root,
    ):
        for who in (nobody, service):
            assert (await who.post(_path(user), None, 403))["reason"] == "not_admin"
        await root.post(_path("a%0Ab"), None, 422)
        answer = await root.post(_path(quoted), None, 200)
        assert (answer["user_id"], answer["disconnected"]) == (f"{user}/ü", [])
        await root.post(_path(user), None, 200)
        await service.get(f"/api/v1/projects/{project}", 401)

        found: list[dict[str, Any]] = []

        async def recorded() -> bool:
            found[:] = (await root.get("/api/v1/audit?action=user.revoked&limit=1000"))["records"]
            found[:] = [one for one in found if project in str(one["target"])]
            return len(found) >= 4

        await until(recorded, "the records")
        assert [(one["target"], one["outcome"], one["actor"]) for one in found] == [
            (user, "denied", user),
            (user, "denied", user),
            (f"{user}/ü", "allowed", "root"),
            (user, "allowed", "root"),
        ]
        assert found[3]["details"]["connections"] == 0
        assert found[3]["details"]["tokens_before"].endswith("Z")


@pytest.mark.gen_test
async def test_an_ended_connection_may_come_back_and_the_answer_says_so(
    pair: Pair, project: str
) -> None:
    async with api(pair.one.address, "root", ("admin",)) as root:
        async with session(pair.one.address, project, user=project) as client:
            answer = await root.delete(f"/api/v1/connections/{client.frames[0]['connection_id']}")
            assert "still valid" in answer["note"]
            assert "/revoke" in answer["note"]
            assert (await client.closed())[0] == 4003
        answer = await root.delete(f"/api/v1/connections?user_id={project}")
        assert "/revoke" in answer["note"]
        async with session(pair.one.address, project, user=project):
            pass


async def _is_refused(who: Api, path: str) -> bool:
    return (await who.http.get(path)).status_code == 401


@pytest.mark.gen_test
async def test_a_request_whose_body_came_too_late_is_not_carried_out(
    pair: Pair, project: str
) -> None:
    user = f"u-{project}"
    old = _issued(user, ago_s=5)
    async with api(pair.one.address, "root", ("admin",)) as root:
        await root.propose(project, project)
        async with raw_http(pair.other.address) as connection:
            body = b'{"text": "still here"}'
            head = {**bearer(old), "Host": "x", "Content-Length": str(len(body))}
            path = f"/api/v1/proposals/{project}/comments"
            await connection.send("POST", path, head, body[:4].decode())
            await root.post(_path(user), None, 200)
            async with api(pair.other.address, token=old) as late:
                await until(lambda: _is_refused(late, path), "the other worker knows of it")
            await connection.write(body[4:])
            assert (await connection.read_head()).status == 401
        assert (await root.get(path))["comments"] == []


@pytest.mark.gen_test(timeout=90)
async def test_it_outlives_workers(workers: Workers, project: str) -> None:
    one = workers.start()
    old = _issued("ada", ago_s=5)
    async with api(one.address, "root", ("admin",)) as root:
        await root.post(_path("ada"), None, 200)
    await asyncio.to_thread(one.stop)
    again = workers.start()
    async with api(again.address, token=old) as ada:
        assert (await ada.get(f"/api/v1/projects/{project}", 401))["reason"] == "revoked"


@pytest.mark.gen_test
async def test_a_worker_that_missed_the_message_looks_for_it(
    workers: Workers, mongod: MongodProcess, database: str, project: str
) -> None:
    one = workers.start()
    old = _issued("ada", ago_s=5)
    async with session(one.address, project, token=old) as client:
        # As another worker would store it, whose message is lost.
        mongo = connect(mongod.uri)
        try:
            await MongoRevocations(mongo[database]).revoke("ada", datetime.now(UTC), "root")
        finally:
            mongo.close()
        code, _ = await client.closed(timeout_s=revocation.POLL_S * 3)
        assert code == 4001
