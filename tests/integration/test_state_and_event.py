"""Workers are killed among changes: in the end each change has its event, and has it once."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.support.api import Api, api
from tests.support.mongo import MongodProcess
from tests.support.outboxes import all_told
from tests.support.workers import Worker, Workers

PROJECT = "p1"
PROPOSALS = ("one", "two")
MOVES = {"draft": "in_review", "in_review": "rejected", "rejected": "draft"}

Act = Callable[[Api, random.Random], Awaitable[None]]


async def _move(ada: Api, chance: random.Random) -> None:
    path = f"/api/v1/proposals/{chance.choice(PROPOSALS)}"
    present = await ada.get(path)
    wanted = {"status": MOVES[present["status"]]}
    if chance.random() < 0.3:
        wanted["title"] = f"Title {chance.random()}"
    # Others may be quicker: then it is another move, and perhaps a wrong one.
    await ada.http.patch(path, json=wanted)


async def _lock(ada: Api, chance: random.Random) -> None:
    path = f"/api/v1/projects/{PROJECT}/lock"
    if chance.random() < 0.5:
        await ada.put(path, {"reason": str(chance.random())})
    else:
        await ada.delete(path, 204)


async def _act(
    worker: Worker, acts: list[Act], seed: int, said: set[str], done: asyncio.Semaphore
) -> None:
    """Make changes until the worker is gone."""
    chance = random.Random(seed)
    try:
        async with api(worker.address, "ada", ()) as ada:
            while True:
                if chance.random() < 0.4:
                    path = f"/api/v1/proposals/{chance.choice(PROPOSALS)}/comments"
                    said.add((await ada.post(path, {"text": "hm"}))["id"])
                else:
                    await chance.choice(acts)(ada, chance)
                done.release()
    except httpx2.TransportError:
        return


async def _everything(ada: Api) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    page: dict[str, Any] = {"more": True, "position": ""}
    while page["more"]:
        after = {"after": page["position"]} if page["position"] else {}
        page = await ada.get(f"/api/v1/projects/{PROJECT}/events", params={"limit": 1000, **after})
        assert page["lost"] == 0
        events += page["events"]
    return events


@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.soak)])
@pytest.mark.gen_test(timeout=600)
async def test_killed_among_changes(
    workers: Workers, mongod: MongodProcess, database: str, kills: int
) -> None:
    chance = random.Random(1)
    said: set[str] = set()
    for kill in range(kills):
        worker = workers.start(lock_lease_s=600)
        async with api(worker.address, "ada", ()) as ada:
            for proposal_id in PROPOSALS if kill == 0 else ():
                await ada.propose(PROJECT, proposal_id)
        done = asyncio.Semaphore(0)
        acting = [
            asyncio.create_task(_act(worker, [_move, _move, _lock], 10 * kill + n, said, done))
            for n in range(6)
        ]
        for _ in range(chance.randint(30, 60)):
            await done.acquire()
        await asyncio.sleep(chance.uniform(0, 0.02))
        worker.kill()
        await asyncio.gather(*acting)
    worker = workers.start(lock_lease_s=600)
    async with api(worker.address, "ada", ()) as ada:
        await all_told(mongod, database)
        events = await _everything(ada)
        for proposal_id in PROPOSALS:
            mine = [event for event in events if event.get("proposal_id") == proposal_id]
            _check_proposal(await ada.get(f"/api/v1/proposals/{proposal_id}"), mine)
            answer = await ada.get(f"/api/v1/proposals/{proposal_id}/comments")
            told = [event["comment"] for event in mine if event["type"] == "comment_created"]
            assert answer["comments"] == told
            said -= {comment["id"] for comment in told}
        assert said == set(), "a comment that was confirmed is gone"
        locks = [event for event in events if event["type"] == "lock_changed"]
        assert all(
            before["locked"] or after["locked"] for before, after in itertools.pairwise(locks)
        ), "a lock was released twice"
        held = await ada.get(f"/api/v1/projects/{PROJECT}/lock")
        assert locks, "there was no lock to look at"
        assert (held["locked"], held.get("reason", locks[-1]["reason"])) == (
            locks[-1]["locked"],
            locks[-1]["reason"],
        )


def _check_proposal(proposal: dict[str, Any], events: list[dict[str, Any]]) -> None:
    """Its events make an unbroken chain of versions up to what it is."""
    assert events[0]["type"] == "proposal_created"
    state = events[0]["proposal"]
    versions = [1]
    for event in events[1:]:
        if event["type"] == "proposal_updated":
            assert event["proposal"]["version"] == versions[-1] + 1
            versions.append(versions[-1] + 1)
            titled = {**event["proposal"], "status": state["status"]}
            state = titled
        elif event["type"] == "status_changed":
            if event["version"] != versions[-1]:  # else it came along with the one before
                assert event["version"] == versions[-1] + 1
                versions.append(event["version"])
            assert event["from"] == state["status"]
            state = {
                **state,
                "status": event["to"],
                "version": event["version"],
                "updated_at": event["updated_at"],
            }
    assert state == proposal
    assert len(versions) > 3, "too little happened to mean anything"
