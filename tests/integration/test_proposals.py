"""Proposals over HTTP: who may change what, entity tags, and the events that tell of it."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.integration.conftest import Pair
from tests.support.api import Api, api
from tests.support.sockets import SocketClient, session
from tests.support.tokens import token

Body = dict[str, Any]

DESCRIPTION = {"title": "A fair queue", "author": "ada", "reviewers": ["ben", "cleo"]}


async def _people(stack: AsyncExitStack, pair: Pair, *names: str) -> list[Api]:
    """An API for each of them, on the two workers in turn."""
    addresses = (pair.one.address, pair.other.address)
    return [
        await stack.enter_async_context(api(addresses[n % 2], name, ()))
        for n, name in enumerate(names)
    ]


def _path(proposal_id: str) -> str:
    return f"/api/v1/proposals/{proposal_id}"


@pytest.mark.gen_test
async def test_a_review_from_draft_to_archive(pair: Pair, project: str) -> None:
    async with AsyncExitStack() as stack:
        ada, ben = await _people(stack, pair, "ada", "ben")
        viewer = await stack.enter_async_context(session(pair.other.address, project, user="eve"))
        folder = pair.workspace(project) / "openspec" / "changes" / project
        folder.mkdir(parents=True)
        made = await ada.post(
            f"/api/v1/projects/{project}/proposals", {"id": project, **DESCRIPTION}
        )
        assert (made["status"], made["version"], made["author"]) == ("draft", 1, "ada")
        way: list[tuple[Api, str]] = [
            (ada, "in_review"),
            (ben, "rejected"),
            (ada, "in_review"),
            (ben, "approved"),
            (ada, "in_review"),
            (ada, "archived"),
        ]
        version = 1
        for who, status in way:
            if status == "approved":
                (folder / "proposal.md").write_text("# Why\n")
                await ben.approve(project)
                version += 2
            changed = await who.patch(_path(project), {"status": status})
            version += 1
            assert (changed["status"], changed["version"]) == (status, version)
        frames = await viewer.recv_events(11)
    assert frames[0]["type"] == "proposal_created"
    assert frames[0]["proposal"] == made
    reviewed = [frame["type"] for frame in frames[4:8]]
    assert reviewed == [
        *("proposal_updated", "revision_created"),
        *("proposal_updated", "review_submitted"),
    ]
    moves = [*frames[1:4], *frames[8:]]
    assert [(frame["from"], frame["to"], frame["actor"]) for frame in moves] == [
        ("draft", "in_review", "ada"),
        ("in_review", "rejected", "ben"),
        ("rejected", "in_review", "ada"),
        ("in_review", "approved", "ben"),
        ("approved", "in_review", "ada"),
        ("in_review", "archived", "ada"),
    ]
    for frame in moves:
        assert frame["type"] == "status_changed"
        assert frame["proposal_id"] == project
        assert frame["project_id"] == project


@pytest.mark.gen_test
async def test_a_wrong_move_names_those_that_are_allowed(pair: Pair, project: str) -> None:
    async with api(pair.one.address, "ada", ()) as ada:
        await ada.propose(project, project)
        problem = await ada.patch(_path(project), {"status": "approved"}, 409)
        assert (problem["reason"], problem["current"]) == ("wrong_move", "draft")
        assert problem["allowed"] == ["in_review", "archived"]
        assert "in_review, archived" in problem["detail"]
        await ada.patch(_path(project), {"status": "archived"})
        problem = await ada.patch(_path(project), {"status": "draft"}, 409)
        assert problem["allowed"] == []
        assert (await ada.get(_path(project)))["version"] == 2


@pytest.mark.gen_test
async def test_who_may_change_what(pair: Pair, project: str) -> None:
    async with AsyncExitStack() as stack:
        ada, ben, eve, maker = await _people(stack, pair, "ada", "ben", "eve", "maker")
        root = await stack.enter_async_context(api(pair.one.address, "root", ("admin",)))
        service = await stack.enter_async_context(api(pair.one.address))
        await maker.propose(project, project, author="ada", reviewers=["ben"])
        path = _path(project)
        await eve.patch(path, {"status": "in_review"}, 403)
        await eve.patch(path, {"title": "Mine"}, 403)
        await ben.patch(path, {"status": "in_review"})
        changes: list[Body] = [{"title": "Mine"}, {"author": "ben"}, {"reviewers": []}]
        for change in changes:
            await ben.patch(path, change, 403)
        for n, who in enumerate((ada, maker, root, service)):
            await who.patch(path, {"title": f"Title {n}", "reviewers": ["ben", f"r{n}"]})
        await ada.patch(path, {"author": "eve"})
        await ada.patch(path, {"title": "Not mine any more"}, 403)
        changed = await eve.patch(path, {"title": "Mine"})
        assert changed["reviewers"] == ["ben", "r3"]
        assert changed["version"] == 8


@pytest.mark.gen_test
async def test_what_cannot_be_used_is_named(pair: Pair, project: str) -> None:
    async with api(pair.one.address, "ada", ()) as ada:
        proposals = f"/api/v1/projects/{project}/proposals"
        bad: list[Body] = [
            {"id": project},
            {"id": project, "title": ""},
            {"id": project, "title": "x" * 257},
            {"id": project, "title": "a\nb"},
            {"id": project, "title": "x", "author": ""},
            {"id": project, "title": "x", "author": "a\x00"},
            {"id": project, "title": "x", "reviewers": "ben"},
            {"id": project, "title": "x", "reviewers": [f"r{n}" for n in range(101)]},
            {"id": project, "title": "x", "status": "done"},
            {"title": "…"},
        ]
        for body in bad:
            assert (await ada.post(proposals, body, 422))["detail"]
        await ada.post(proposals, {"id": "../up", "title": "x"}, 400)
        await ada.get(_path(project), 404)
        await ada.patch(_path(project), {"title": "x"}, 404)
        await ada.post(proposals, {"id": project, "title": "x"})
        await ada.post(proposals, {"id": project, "title": "x"}, 409)
        bad = [{"status": "done"}, {"title": ""}, {"id": "other"}, {"reviewers": [1]}]
        for body in bad:
            await ada.patch(_path(project), body, 422)
        same = await ada.patch(_path(project), {"id": project, "title": "x", "status": "draft"})
        assert same["version"] == 1


@pytest.mark.gen_test
async def test_an_id_is_made_of_the_title(pair: Pair, project: str) -> None:
    async with api(pair.one.address, "ada", ()) as ada:
        path = f"/api/v1/projects/{project}/proposals"
        made = await ada.post(path, {"title": f"  Überraschung! {project} (2) "})
        assert made["id"] == f"berraschung-{project.replace('_', '-')}-2"
        assert made["title"] == f"Überraschung! {project} (2)"


@pytest.mark.gen_test
async def test_a_proposal_of_another_project_is_not_there(pair: Pair, project: str) -> None:
    async with AsyncExitStack() as stack:
        ada = await stack.enter_async_context(api(pair.one.address, "ada", ()))
        await ada.propose(project, project)
        outsider = await stack.enter_async_context(
            api(pair.one.address, token=token("ada", "another"))
        )
        for ask in (
            outsider.get(_path(project), 404),
            outsider.patch(_path(project), {"title": "x"}, 404),
            outsider.get(f"{_path(project)}/comments", 404),
            outsider.post(f"{_path(project)}/comments", {"text": "x"}, 404),
            outsider.get(f"/api/v1/projects/{project}/lock", 403),
            outsider.put(f"/api/v1/projects/{project}/lock", {}, 403),
            outsider.delete(f"/api/v1/projects/{project}/lock", 403),
            outsider.get(f"/api/v1/projects/{project}/events", 403),
        ):
            await ask


@pytest.mark.gen_test
async def test_entity_tags(pair: Pair, project: str) -> None:
    async with AsyncExitStack() as stack:
        ada, again = await _people(stack, pair, "ada", "ada")
        await ada.propose(project, project, reviewers=["ben"])
        seen = await ada.http.get(_path(project))
        etag = seen.headers["ETag"]
        assert (await again.http.get(_path(project))).headers["ETag"] == etag
        unchanged = await again.http.get(_path(project), headers={"If-None-Match": etag})
        assert (unchanged.status_code, unchanged.content) == (304, b"")

        changed = await again.http.patch(
            _path(project), json={"title": "Newer"}, headers={"If-Match": etag}
        )
        assert changed.status_code == 200
        assert changed.headers["ETag"] not in ("", etag)
        stale = await ada.patch(_path(project), {"title": "Older"}, 412, headers={"If-Match": etag})
        assert (stale["reason"], stale["version"]) == ("stale", 2)
        weak = f"W/{changed.headers['ETag']}"
        await ada.patch(_path(project), {"title": "Weak"}, 412, headers={"If-Match": weak})
        await ada.patch(_path(project), {"title": "Any"}, headers={"If-Match": "*"})
        await ada.patch(_path(project), {"title": "Bad"}, 400, headers={"If-Match": "3"})
        # Stale comes before wrong: what was seen may have allowed the move.
        await ada.patch(_path(project), {"status": "approved"}, 412, headers={"If-Match": etag})
        assert (await ada.get(_path(project)))["title"] == "Any"


@pytest.mark.gen_test
async def test_of_many_who_saw_one_version_one_may_change_it(pair: Pair, project: str) -> None:
    async with AsyncExitStack() as stack:
        people = await _people(stack, pair, *["ada"] * 8)
        await people[0].propose(project, project)
        answers = await asyncio.gather(
            *(
                ada.http.patch(
                    _path(project), json={"title": f"Mine {n}"}, headers={"If-Match": '"1"'}
                )
                for n, ada in enumerate(people)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
        [won] = [answer.json()["title"] for answer in answers if answer.status_code == 200]
        assert (await people[0].get(_path(project)))["title"] == won


@pytest.mark.gen_test
async def test_changes_without_if_match_all_happen_one_after_the_other(
    pair: Pair, project: str
) -> None:
    async with AsyncExitStack() as stack:
        people = await _people(stack, pair, *["ada"] * 6)
        await people[0].propose(project, project)
        viewer = await stack.enter_async_context(session(pair.one.address, project))
        await asyncio.gather(
            *(
                ada.patch(_path(project), {"title": f"Title {n}-{m}"})
                for n, ada in enumerate(people)
                for m in range(3)
            )
        )
        proposals = [frame["proposal"] for frame in await viewer.recv_events(18)]
        assert [proposal["version"] for proposal in proposals] == list(range(2, 20))
        assert len({proposal["title"] for proposal in proposals}) == 18
        assert await people[0].get(_path(project)) == proposals[-1]


@pytest.mark.gen_test
async def test_status_goes_to_viewers_and_the_rest_to_the_project(pair: Pair, project: str) -> None:
    other_id = f"{project}-b"
    async with AsyncExitStack() as stack:
        [ada] = await _people(stack, pair, "ada")
        for proposal_id in (project, other_id):
            await ada.propose(project, proposal_id)

        async def view(*proposal_ids: str) -> SocketClient:
            client = session(pair.other.address, project, user="eve", proposal_ids=proposal_ids)
            return await stack.enter_async_context(client)

        viewers = [await view(), await view(project), await view(other_id)]
        await ada.patch(_path(project), {"status": "in_review", "title": "Both at once"})
        await ada.put(f"/api/v1/projects/{project}/lock", {"reason": "the end"})
        seen: list[list[dict[str, Any]]] = []
        for viewer in viewers:
            frames = await viewer.recv_until("lock_changed")
            seen.append(
                [frame for frame in frames if "id" in frame and frame["type"] != "position"]
            )
    everything = ["proposal_updated", "status_changed", "lock_changed"]
    assert [[frame["type"] for frame in frames] for frames in seen] == [
        everything,
        everything,
        ["proposal_updated", "lock_changed"],
    ]
    assert seen[0][0]["proposal"]["status"] == "in_review"
    assert seen[0][0]["proposal"]["version"] == seen[0][1]["version"] == 2
