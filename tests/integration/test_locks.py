"""The project's lock: one holder, a lease that is renewed in silence, an end that is told once."""

import asyncio
import itertools
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.integration.conftest import Pair
from tests.support.api import Api, api
from tests.support.sockets import session
from tests.support.workers import Workers


def _lock(project: str) -> str:
    return f"/api/v1/projects/{project}/lock"


async def _ended(ada: Api, project: str) -> None:
    async with asyncio.timeout(20):
        while (await ada.get(_lock(project)))["locked"]:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.05)


async def _story(ada: Api, project: str) -> list[tuple[Any, ...]]:
    """The lock's events: locked, by, reason, cause, actor."""
    page = await ada.get(f"/api/v1/projects/{project}/events", params={"type": "lock_changed"})
    keys = ("locked", "by", "reason", "cause", "actor")
    return [tuple(event.get(key) for key in keys) for event in page["events"]]


@pytest.mark.gen_test
async def test_take_renew_release(pair: Pair, project: str) -> None:
    async with AsyncExitStack() as stack:
        ada = await stack.enter_async_context(api(pair.one.address, "ada", ()))
        ben = await stack.enter_async_context(api(pair.other.address, "ben", ()))
        viewer = await stack.enter_async_context(
            session(pair.other.address, project, user="eve", proposal_ids=["some-other"])
        )
        taken = await ada.put(_lock(project), {"reason": "releasing 2.0"})
        assert (taken["locked"], taken["by"], taken["reason"]) == (True, "ada", "releasing 2.0")
        renewed = await ada.put(_lock(project))
        assert renewed.pop("lease_s") == 120
        assert renewed["at"] == taken["at"]
        assert renewed["expires_at"] > taken["expires_at"]
        assert await ben.get(_lock(project)) == renewed
        refused = await ben.put(_lock(project), {"reason": "me too"}, 409)
        assert refused["reason"] == "locked"
        assert refused["lock"] == renewed
        assert refused["detail"] == "The project is locked by ada: releasing 2.0"
        await ben.delete(_lock(project), 409)
        await ada.put(_lock(project), {"reason": "releasing 2.0"})
        other = await ada.put(_lock(project), {"reason": "releasing 2.1"})
        assert other["at"] > taken["at"]
        await ada.delete(_lock(project), 204)
        await ada.delete(_lock(project), 204)
        assert await ben.get(_lock(project)) == {"locked": False}
        await ben.put(_lock(project))
        frames = await viewer.recv_events(4)
        # Whoever holds a lock, everybody sees it, whatever they look at.
        assert [frame["locked"] for frame in frames] == [True, True, False, True]
        assert frames[0]["at"] == taken["at"]
        assert await _story(ada, project) == [
            (True, "ada", "releasing 2.0", None, "ada"),
            (True, "ada", "releasing 2.1", None, "ada"),
            (False, "ada", "releasing 2.1", "released", "ada"),
            (True, "ben", "", None, "ben"),
        ]


@pytest.mark.gen_test
async def test_a_renewal_never_takes_a_lock(pair: Pair, project: str) -> None:
    """So a page that renews can't take anew what its user gave back in another window."""
    async with AsyncExitStack() as stack:
        ada = await stack.enter_async_context(api(pair.one.address, "ada", ()))
        ben = await stack.enter_async_context(api(pair.other.address, "ben", ()))
        refused = await ada.put(_lock(project), {"renew": True}, 409)
        assert refused["reason"] == "not_held"
        taken = await ada.put(_lock(project), {"reason": "mine", "lease_s": 30})
        assert taken["lease_s"] == 30
        renewed = await ada.put(_lock(project), {"renew": True})
        assert renewed["lease_s"] == 120
        assert (renewed["reason"], renewed["at"]) == ("mine", taken["at"])
        assert renewed["expires_at"] > taken["expires_at"]
        refused = await ben.put(_lock(project), {"renew": True}, 409)
        assert (refused["reason"], refused["lock"]["by"]) == ("locked", "ada")
        await ada.put(_lock(project), {"renew": True, "reason": "other"}, 422)
        await ada.put(_lock(project), {"renew": True, "lease_s": 0.1}, 422)
        await ada.delete(_lock(project), 204)
        await ada.put(_lock(project), {"renew": True}, 409)
        assert len(await _story(ada, project)) == 2


@pytest.mark.gen_test
async def test_an_admin_may_release_but_not_take(pair: Pair, project: str) -> None:
    async with AsyncExitStack() as stack:
        ada = await stack.enter_async_context(api(pair.one.address, "ada", ()))
        root = await stack.enter_async_context(api(pair.other.address, "root", ("admin",)))
        await ada.put(_lock(project))
        await root.put(_lock(project), {}, 409)
        await root.delete(_lock(project), 204)
        assert await _story(ada, project) == [
            (True, "ada", "", None, "ada"),
            (False, "ada", "", "released", "root"),
        ]


@pytest.mark.gen_test
@pytest.mark.parametrize("body", [{}, {"reason": "mine"}])
async def test_of_many_one_gets_it(pair: Pair, project: str, body: dict[str, str]) -> None:
    async with AsyncExitStack() as stack:
        people = [
            await stack.enter_async_context(api(address, f"user-{n}", ()))
            for n in range(5)
            for address in (pair.one.address, pair.other.address)
        ]
        answers = await asyncio.gather(
            *(one.http.put(_lock(project), json=body) for one in people * 2)
        )
        won = [answer for answer in answers if answer.status_code == 200]
        assert {answer.json()["by"] for answer in won} == {
            (await people[0].get(_lock(project)))["by"]
        }
        assert len(won) == 4  # the same user, twice on both workers
        assert {answer.status_code for answer in answers} == {200, 409}
        assert len(await _story(people[0], project)) == 1


@pytest.mark.gen_test
async def test_what_nobody_renews_ends_and_is_told_once(pair: Pair, project: str) -> None:
    """Both workers look for lapsed locks; each of many is ended by one of them."""
    projects = [f"{project}-{n}" for n in range(8)]
    async with AsyncExitStack() as stack:
        ada = await stack.enter_async_context(api(pair.one.address, "ada", ()))
        viewer = await stack.enter_async_context(session(pair.other.address, projects[0]))
        for one in projects:
            await ada.put(_lock(one), {"reason": "soon over", "lease_s": 1})
        frames = await viewer.recv_events(2)
        assert [(frame["locked"], frame.get("cause")) for frame in frames] == [
            (True, None),
            (False, "expired"),
        ]
        for one in projects:
            await _ended(ada, one)
        await viewer.quiet(1.5)  # longer than either worker waits before it looks again
        for one in projects:
            assert await _story(ada, one) == [
                (True, "ada", "soon over", None, "ada"),
                (False, "ada", "soon over", "expired", None),
            ]


@pytest.mark.gen_test
async def test_who_renews_keeps_it(pair: Pair, project: str) -> None:
    """For two leases; where a renewal came too late, as on a busy machine, from the beginning."""
    lease_s = 2
    loop = asyncio.get_running_loop()
    async with api(pair.one.address, "ada", ()) as ada:
        for number in itertools.count():
            one = f"{project}-{number}"
            taken_s = asked_s = loop.time()
            await ada.put(_lock(one), {"lease_s": lease_s})
            in_time = True
            while in_time and asked_s < taken_s + 2 * lease_s:
                await asyncio.sleep(0.3)
                now_s = loop.time()
                await ada.put(_lock(one), {"lease_s": lease_s})
                in_time = loop.time() < asked_s + lease_s
                asked_s = now_s
            if in_time:
                assert await _story(ada, one) == [(True, "ada", "", None, "ada")]
                return


@pytest.mark.gen_test
async def test_the_next_need_not_wait_for_the_sweep(pair: Pair, project: str) -> None:
    async with AsyncExitStack() as stack:
        ada = await stack.enter_async_context(api(pair.one.address, "ada", ()))
        ben = await stack.enter_async_context(api(pair.other.address, "ben", ()))
        await ada.put(_lock(project), {"lease_s": 1})
        async with asyncio.timeout(20):
            while (await ben.http.put(_lock(project), json={})).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert await _story(ada, project) == [
            (True, "ada", "", None, "ada"),
            (False, "ada", "", "expired", None),
            (True, "ben", "", None, "ben"),
        ]


@pytest.mark.gen_test
async def test_what_a_lock_keeps_others_from(pair: Pair, project: str) -> None:
    async with AsyncExitStack() as stack:
        ada = await stack.enter_async_context(api(pair.one.address, "ada", ()))
        ben = await stack.enter_async_context(api(pair.other.address, "ben", ()))
        proposal = f"/api/v1/proposals/{project}"
        await ben.propose(project, project, reviewers=["ada"])
        pair.workspace(project)
        await ada.put(_lock(project), {"reason": "releasing"})
        for change in ({"status": "in_review"}, {"title": "Other"}):
            refused = await ben.patch(proposal, change, 409)
            assert (refused["reason"], refused["lock"]["by"]) == ("locked", "ada")
        await ben.get(proposal)
        await ben.post(f"{proposal}/comments", {"text": "When will it be over?"})
        await ben.post(f"{proposal}/validations", {}, 202)
        await ada.patch(proposal, {"status": "in_review"})
        await ada.delete(_lock(project), 204)
        await ben.patch(proposal, {"title": "Other"})


@pytest.mark.gen_test
async def test_what_cannot_be_used(pair: Pair, project: str) -> None:
    async with api(pair.one.address, "ada", ()) as ada:
        bad: list[object] = [
            {"reason": "x" * 501},
            {"reason": "a\nb"},
            {"reason": 1},
            {"lease_s": 0.5},
            {"lease_s": 3601},
            {"lease_s": "long"},
            [],
        ]
        for body in bad:
            await ada.put(_lock(project), body, 422)
        await ada.put(_lock(project), status=400, content=b"{")
        assert await ada.get(_lock(project)) == {"locked": False}


@pytest.mark.gen_test
async def test_texts_that_look_like_expressions_are_texts(pair: Pair, project: str) -> None:
    async with api(pair.one.address, "$ada", ()) as ada:
        taken = await ada.put(_lock(project), {"reason": "$$NOW"})
        assert (taken["by"], taken["reason"]) == ("$ada", "$$NOW")
        await ada.propose(project, project, reviewers=["$ben"], title="$title")
        comment = await ada.post(f"/api/v1/proposals/{project}/comments", {"text": "$author"})
        assert (comment["author"], comment["text"]) == ("$ada", "$author")
        story = await ada.get(
            f"/api/v1/projects/{project}/events", params={"type": "comment_created"}
        )
        assert story["events"][0]["comment"] == comment


@pytest.mark.gen_test
async def test_locks_outlive_workers_and_end_without_their_holder(workers: Workers) -> None:
    first = workers.start()
    async with api(first.address, "ada", ()) as ada:
        await ada.put(_lock("p1"), {"reason": "long", "lease_s": 600})
        await ada.put(_lock("p2"), {"reason": "short", "lease_s": 1})
    first.kill()
    second = workers.start()
    async with api(second.address, "ada", ()) as ada:
        async with asyncio.timeout(20):
            while len(story := await _story(ada, "p2")) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert [locked for locked, *_ in story] == [True, False]
        assert (await ada.get(_lock("p1")))["reason"] == "long"
        assert (await ada.get(_lock("p2")))["locked"] is False
