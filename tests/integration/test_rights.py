"""Who may have a proposal's text changed, on every way in, and what becomes of its approval."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.integration.conftest import Pair
from tests.integration.iteration_case import BEFORE, ENDS, SETTINGS, Case, case_on, reply_with
from tests.support.api import Api, api
from tests.support.llm_server import Gate, LlmThread, hangs, says, says_in_parts
from tests.support.sockets import Frame, session
from tests.support.sockjs_polls import hello, polled
from tests.support.waiting import until
from tests.support.workers import Workers

REPLY = reply_with({"proposal.md": "# New\n"})
NEW = {**BEFORE, "proposal.md": "# New\n"}
ASKED = {"instruction": "Make it new"}


@pytest.fixture(scope="module")
def llm() -> Iterator[LlmThread]:
    thread = LlmThread()
    yield thread
    thread.stop()


@pytest.fixture
def new_case(workers: Workers, llm: LlmThread, project: str) -> Any:
    workers.start_many(2, llm_base_url=llm.base_url, **SETTINGS)

    @asynccontextmanager
    async def make() -> AsyncIterator[Case]:
        async with case_on(workers, llm, project) as case:
            case.answer(says(REPLY))
            yield case

    return make


def _path(case: Case) -> str:
    return f"/api/v1/proposals/{case.proposal_id}"


async def _approved(case: Case) -> None:
    await case.ada.patch(_path(case), {"status": "in_review"})
    async with api(case.there.address, "ben", ()) as ben:
        await ben.approve(case.proposal_id)
    await case.ada.patch(_path(case), {"status": "approved"})


async def _records(root: Api, query: str, count: int) -> list[Frame]:
    """Audit records, once there are so many."""
    found: list[Frame] = []

    async def enough() -> bool:
        found[:] = (await root.get(f"/api/v1/audit?{query}&limit=1000"))["records"]
        return len(found) >= count

    await until(enough, f"{count} records of {query}")
    return found


@pytest.mark.gen_test
async def test_strangers_are_refused_on_every_way_in(new_case: Any) -> None:
    async with new_case() as case, AsyncExitStack() as stack:
        eve = await stack.enter_async_context(api(case.there.address, "eve", ()))
        assert (await eve.post(case.path, ASKED, 403))["reason"] == "forbidden"
        command = {"proposal_id": case.proposal_id, **ASKED}
        async with session(case.here.address, case.project, user="eve") as socket:
            refused = await socket.ask("start_iteration", **command)
        assert (refused["type"], refused["reason"]) == ("error", "forbidden")
        async with polled(case.here.address, hello(case.project, "eve")) as old:
            await old.recv_type("welcome")
            await old.send({"type": "start_iteration", "request_id": "r", **command})
            refused = await old.recv_type("error")
        assert (refused["request_id"], refused["reason"]) == ("r", "forbidden")
        assert case.llm.count(case.proposal_id) == 0
        assert case.files() == BEFORE
        root = await stack.enter_async_context(api(case.here.address, "root", ("admin",)))
        for record in await _records(root, "action=iteration.started&actor=eve", 3):
            assert (record["outcome"], record["details"]["reason"]) == ("denied", "forbidden")
            assert (record["project_id"], record["target"]) == (case.project, case.proposal_id)


@pytest.mark.gen_test
async def test_strangers_are_refused_where_there_is_no_model_too(pair: Pair, project: str) -> None:
    async with AsyncExitStack() as stack:
        ada, eve = [
            await stack.enter_async_context(api(pair.one.address, user, ()))
            for user in ("ada", "eve")
        ]
        await ada.propose(project, project)
        path = f"/api/v1/proposals/{project}/iterations"
        await eve.post(path, ASKED, 403)
        assert (await ada.post(path, ASKED, 503))["reason"] == "llm_not_configured"


@pytest.mark.gen_test
async def test_who_belongs_to_it_may(new_case: Any) -> None:
    async with new_case() as case, AsyncExitStack() as stack:
        people = [("ada", ()), ("ben", ()), ("root", ("admin",)), ("svc", ("service",))]
        for user, roles in people:
            who = await stack.enter_async_context(api(case.there.address, user, roles))
            run = await who.post(case.path, ASKED, 202)
            assert (await who.run_ended(run["run_id"]))["state"] == "completed"
        # Whoever made it known may as well, whose ever it is.
        await case.ada.patch(_path(case), {"author": "zoe", "reviewers": []})
        run = await case.ada.post(case.path, ASKED, 202)
        assert (await case.ada.run_ended(run["run_id"]))["state"] == "completed"
        ben = await stack.enter_async_context(api(case.there.address, "ben", ()))
        await ben.post(case.path, ASKED, 403)


@pytest.mark.gen_test
async def test_what_is_archived_stays_as_it_is(new_case: Any) -> None:
    async with new_case() as case, api(case.there.address, "root", ("admin",)) as root:
        await case.ada.patch(_path(case), {"status": "archived"})
        for who in (case.ada, root):
            assert (await who.post(case.path, ASKED, 409))["reason"] == "archived"
        refused = await case.viewer.ask("start_iteration", proposal_id=case.proposal_id, **ASKED)
        assert (refused["type"], refused["reason"]) == ("error", "archived")
        assert (case.llm.count(case.proposal_id), case.files()) == (0, BEFORE)


@pytest.mark.gen_test
async def test_an_approved_one_goes_back_to_review_as_its_revision_starts(new_case: Any) -> None:
    async with new_case() as case, api(case.there.address, "root", ("admin",)) as root:
        await _approved(case)
        await case.viewer.recv_until(lambda frame: frame.get("to") == "approved")
        case.answer(hangs())
        async with api(case.there.address, "ben", ()) as ben:
            run = await ben.post(case.path, ASKED, 202)
        now = await case.ada.get(_path(case))
        assert (now["status"], now["version"]) == ("in_review", 6)
        moved, started = await case.viewer.recv_events(2)
        assert (moved["type"], started["type"]) == ("status_changed", "iteration_start")
        assert (moved["from"], moved["to"], moved["cause"]) == ("approved", "in_review", "revised")
        assert (moved["actor"], moved["version"]) == ("ben", 6)
        await case.ada.delete(f"/api/v1/runs/{run['run_id']}")
        query = f"action=proposal.status_changed&target={case.proposal_id}&actor=ben"
        (record,) = await _records(root, query, 1)
        assert (record["outcome"], record["details"]["to"]) == ("allowed", "in_review")
        assert (record["details"]["cause"], record["project_id"]) == ("revised", case.project)
        await _records(root, "action=iteration.started&actor=ben&outcome=allowed", 1)


@pytest.mark.gen_test
async def test_no_text_changes_under_an_approval_that_came_meanwhile(new_case: Any) -> None:
    gate = Gate()
    async with new_case() as case:
        case.answer(says_in_parts(gate, ["Well. "], [REPLY]))
        await case.start()
        await case.viewer.recv_type("token")
        await _approved(case)
        gate.open()
        end = await case.end()
        assert (end["type"], case.files()) == ("iteration_complete", NEW)
        moves = [
            (frame["to"], frame.get("cause"))
            for frame in case.seen
            if frame["type"] == "status_changed"
        ]
        assert moves == [("in_review", None), ("approved", None), ("in_review", "revised")]
        assert (await case.ada.get(_path(case)))["status"] == "in_review"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("change", "reason"),
    [({"status": "archived"}, "archived"), ({"reviewers": []}, "forbidden")],
)
async def test_a_right_that_ended_meanwhile(
    new_case: Any, change: dict[str, Any], reason: str
) -> None:
    gate = Gate()
    async with new_case() as case, api(case.there.address, "ben", ()) as ben:
        case.answer(says_in_parts(gate, ["Well. "], [REPLY]))
        await ben.post(case.path, ASKED, 202)
        await case.viewer.recv_type("token")
        await case.ada.patch(_path(case), change)
        gate.open()
        end = await case.end()
        assert (end["type"], end["reason"]) == ("iteration_error", reason)
        assert end["type"] in ENDS
        assert case.files() == BEFORE


@pytest.mark.gen_test
async def test_made_known_as_approved_and_in_the_name_of_others(pair: Pair, project: str) -> None:
    path = f"/api/v1/projects/{project}/proposals"
    async with AsyncExitStack() as stack:
        eve, root, svc = [
            await stack.enter_async_context(api(pair.one.address, user, roles))
            for user, roles in (("eve", ()), ("root", ("admin",)), ("svc", ("service",)))
        ]
        body = {"title": "T", "author": "ada", "status": "approved"}
        assert (await eve.post(path, {"id": f"a-{project}", **body}, 403))["reason"] == "forbidden"
        await eve.get(f"/api/v1/proposals/a-{project}", 404)
        for who, user in ((root, "root"), (svc, "svc")):
            made = await who.post(path, {"id": f"{user}-{project}", **body})
            assert (made["status"], made["author"]) == ("approved", "ada")
            assert made["created_by"] == user
        made = await eve.post(path, {"id": f"b-{project}", **body, "status": "in_review"})
        assert (made["author"], made["created_by"]) == ("ada", "eve")
        assert (await eve.get(f"/api/v1/proposals/{made['id']}"))["created_by"] == "eve"
        snapshot = await eve.get(f"/api/v1/projects/{project}")
        assert [one["created_by"] for one in snapshot["proposals"]] == ["root", "svc", "eve"]
        (record,) = await _records(root, f"action=proposal.created&target=a-{project}", 1)
        assert (record["outcome"], record["project_id"]) == ("denied", project)
