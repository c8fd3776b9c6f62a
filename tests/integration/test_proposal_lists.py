"""Lists of proposals and comments in pages, and the removal of a proposal, over HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rtserver.app.server import Server
from rtserver.model.moments import present_moment
from store.base.client import connect
from tests.integration.conftest import Pair
from tests.support.api import Api, api
from tests.support.lateness import lateness
from tests.support.mongo import MongodProcess
from tests.support.raw_http import raw_http
from tests.support.reducer import from_snapshot, reduce_all
from tests.support.sockets import session
from tests.support.tokens import bearer, token

PAGE_BYTES = 300_000
"""More than a page may have, and its envelope."""
MANY = 3_000
GAP_S = 0.05
"""As long may the loop be busy at a stretch, however many proposals there are."""


async def _all(who: Api, project: str, **query: Any) -> list[dict[str, Any]]:
    """All proposals, page by page; each page has to be bounded."""
    path = f"/api/v1/projects/{project}"
    answer = await who.http.get(path, params=query)
    page = answer.json()
    found, after = page["proposals"], page["proposals_next"]
    while True:
        assert len(answer.content) < PAGE_BYTES
        if after is None:
            return list(found)
        answer = await who.http.get(f"{path}/proposals", params={**query, "after": after})
        page = answer.json()
        assert page["proposals"]
        found += page["proposals"]
        after = page["next"]


@pytest.mark.gen_test
async def test_proposals_come_in_pages_bounded_in_number_and_bytes(
    pair: Pair, project: str
) -> None:
    reviewers = [f"{number:03}" + "ü" * 200 for number in range(100)]  # 40 KB each
    names = [f"{project}-{number}" for number in range(12)]
    async with api(pair.one.address, "ada", ()) as ada, api(pair.other.address, "b", ()) as ben:
        for name in names:
            await ada.propose(project, name, reviewers=reviewers)
        for who in (ada, ben):
            assert [one["id"] for one in await _all(who, project)] == names
        assert [one["id"] for one in await _all(ada, project, limit=1)] == names
        first = await ada.get(f"/api/v1/projects/{project}/proposals?limit=5")
        assert [one["id"] for one in first["proposals"]] == names[:5]
        assert first["proposals"][0] == await ada.get(f"/api/v1/proposals/{names[0]}")
        for query in ("limit=0", "limit=501", "after=", "after=x", "after=1-..", "limit=many"):
            await ada.get(f"/api/v1/projects/{project}/proposals?{query}", 400)
        await ada.get(f"/api/v1/projects/{project}?limit=0", 400)
        async with api(pair.one.address, token=token("eve", "other")) as eve:
            await eve.get(f"/api/v1/projects/{project}/proposals", 403)


@pytest.mark.gen_test
async def test_comments_come_in_pages_bounded_in_bytes(pair: Pair, project: str) -> None:
    async with api(pair.one.address, "ada", ()) as ada:
        await ada.propose(project, project)
        path = f"/api/v1/proposals/{project}/comments"
        made = [
            (await ada.post(path, {"text": f"{number} " + "ü" * 9_990}))["id"]
            for number in range(30)
        ]
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            answer = await ada.http.get(path, params={"after": after} if after else {})
            assert len(answer.content) < PAGE_BYTES
            page = answer.json()
            assert page["more"] is (page["next"] is not None)
            found += [comment["id"] for comment in page["comments"]]
            after = page["next"]
        assert found == made


@pytest.mark.gen_test
async def test_pages_and_the_events_after_the_snapshot_are_the_state(
    pair: Pair, project: str
) -> None:
    """Proposals are made, changed, removed and made anew between the pages."""
    names = [f"{project}-{number}" for number in range(8)]
    async with (
        api(pair.one.address, "ada", ()) as ada,
        session(pair.other.address, project, user="viewer") as viewer,
    ):
        for name in names:
            await ada.propose(project, name)
        before = await ada.get(f"/api/v1/projects/{project}?limit=3")
        await ada.delete(f"/api/v1/proposals/{names[1]}", 204)  # on the first page
        await ada.patch(f"/api/v1/proposals/{names[0]}", {"title": "New"})
        after = before["proposals_next"]
        page = await ada.get(f"/api/v1/projects/{project}/proposals?limit=3&after={after}")
        await ada.delete(f"/api/v1/proposals/{names[4]}", 204)  # on the second, which was read
        await ada.delete(f"/api/v1/proposals/{names[7]}", 204)  # on the third, which was not
        await ada.propose(project, names[4], title="Anew")
        await ada.patch(f"/api/v1/proposals/{names[5]}", {"status": "in_review"})
        last = await ada.get(f"/api/v1/projects/{project}/proposals?limit=9&after={page['next']}")
        assert last["next"] is None
        await ada.patch(f"/api/v1/proposals/{names[6]}", {"title": "Last"})
        proposals = before["proposals"] + page["proposals"] + last["proposals"]
        state = from_snapshot({**before, "proposals": proposals})
        events = await viewer.recv_events(len(names) + 7)
        state = reduce_all(state, events)
        now = await ada.get(f"/api/v1/projects/{project}")
        assert sorted(state["proposals"].values(), key=lambda one: str(one["id"])) == sorted(
            now["proposals"], key=lambda one: str(one["id"])
        )


@pytest.mark.gen_test
async def test_a_proposal_is_removed_by_who_may(pair: Pair, project: str) -> None:
    path = f"/api/v1/proposals/{project}"
    async with AsyncExitStack() as stack:
        ada, ben, eve = [
            await stack.enter_async_context(api(pair.one.address, user, ()))
            for user in ("ada", "ben", "eve")
        ]
        root = await stack.enter_async_context(api(pair.other.address, "root", ("admin",)))
        service = await stack.enter_async_context(api(pair.other.address))
        viewer = await stack.enter_async_context(session(pair.other.address, project, user="eve"))
        await ada.propose(project, project, reviewers=["ben"])
        await ben.post(f"{path}/comments", {"text": "Why?"})
        etag = (await ada.http.get(path)).headers["ETag"]
        for who in (ben, eve, service):
            assert (await who.delete(path, 403))["reason"] == "forbidden"
        await ada.patch(path, {"title": "Other"})
        await ada.delete(path, 412, headers={"If-Match": etag})
        lock = f"/api/v1/projects/{project}/lock"
        await eve.put(lock)
        assert (await ada.delete(path, 409))["reason"] == "locked"
        await eve.delete(lock, 204)

        await ada.delete(path, 204, headers={"If-Match": '"2"'})
        *_, told = await viewer.recv_until("proposal_deleted")
        assert (told["proposal_id"], told["version"], told["actor"]) == (project, 3, "ada")
        for who in (ada, root):
            await who.get(path, 404)
            await who.get(f"{path}/comments", 404)
            await who.post(f"{path}/validations", None, 404)
            await who.delete(path, 404)
        assert (await ada.get(f"/api/v1/projects/{project}"))["proposals"] == []

        # The id is free, for whatever project, and nothing is left of what was said.
        other = f"{project}-2"
        await ben.propose(other, project)
        made = await root.get(path)
        assert (made["version"], made["project_id"], made["author"]) == (4, other, "ben")
        assert (await root.get(f"{path}/comments"))["comments"] == []
        await root.delete(path, 204)


@pytest.mark.gen_test
async def test_what_is_under_way_is_cancelled_with_its_proposal(pair: Pair, project: str) -> None:
    pair.workspace(project)
    name = f"never-ends.{project}"
    async with (
        api(pair.one.address, "ada", ()) as ada,
        api(pair.other.address, "ada", ()) as there,
        session(pair.other.address, project, user="eve") as viewer,
    ):
        await ada.propose(project, name)
        run = await ada.post(f"/api/v1/proposals/{name}/validations", None, 202)
        await viewer.recv_type("validation_start")
        await there.delete(f"/api/v1/proposals/{name}", 204)
        end = await viewer.recv_type("validation_cancelled")
        assert (end["run_id"], end["actor"]) == (run["run_id"], "ada")
        assert [frame["type"] for frame in viewer.events if "proposal" in frame["type"]] == [
            "proposal_created",
            "proposal_deleted",
        ]


@asynccontextmanager
async def _longest_gap() -> AsyncIterator[list[float]]:
    """How long the loop was busy at a stretch, in seconds; the only entry of the list."""
    worst = [0.0]

    async def look() -> None:
        last_s = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now_s = time.perf_counter()
            worst[0] = max(worst[0], now_s - last_s - 0.001)
            last_s = now_s

    task = asyncio.ensure_future(look())
    try:
        yield worst
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.gen_test
async def test_a_great_many_proposals_hold_nobody_up(
    server: Server, mongod: MongodProcess, database: str
) -> None:
    address = f"127.0.0.1:{server.port}"
    now = present_moment()
    client = connect(mongod.uri)
    try:
        await client[database]["proposals"].insert_many(
            {
                "_id": f"p-{number}",
                "project_id": "p1",
                "title": f"Proposal {number}",
                "author": "ada",
                "reviewers": [f"reviewer-{each:02}-{'x' * 20}" for each in range(20)],
                "status": "draft",
                "version": 1,
                "created_by": "ada",
                "created_at": now + timedelta(milliseconds=number),
                "updated_at": datetime.now(UTC),
                "outbox": [],
            }
            for number in range(MANY)
        )
    finally:
        client.close()
    signed = bearer(token("ada", "p1"))

    async def fetch() -> None:
        async with raw_http(address) as http:
            await http.send("GET", "/api/v1/projects/p1", signed)
            assert (await http.read_head()).status == 200
            await http.read_body()

    await fetch()
    async with session(address, "p2", token=token("ada", "p2")):
        pass  # what is only done for the first of all is done now
    with lateness() as late_s:
        async with _longest_gap() as gap_s:
            await asyncio.gather(*(fetch() for _ in range(5)))
            async with session(address, "p1", token=token("ada", "p1")):
                pass
        assert gap_s[0] < GAP_S + 2 * late_s(), "the loop was busy for too long"
