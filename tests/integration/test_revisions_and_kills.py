"""Workers are killed among edits of all kinds: revisions stay dense, true, and told once each.

An author sends texts, puts old ones back and has a model revise; somebody edits on disk; a reviewer
approves and lets the status follow. All at once, on two workers of which one is killed again and
again. What must hold in the end is written down here once more, from the events alone.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rtserver.demo.completions_server import Answer, CompletionRequest
from tests.integration.conftest import VALIDATION_COMMAND
from tests.integration.iteration_case import reply_with
from tests.integration.test_reviewing import digest_of, on_disk
from tests.support.api import Api, api
from tests.support.llm_server import KEY, LlmThread, says
from tests.support.mongo import MongodProcess
from tests.support.outboxes import all_told
from tests.support.sockets import Frame
from tests.support.workers import Worker, Workers

PROJECT, PROPOSAL = "p1", "passes.change"
PATH = f"/api/v1/proposals/{PROPOSAL}"
FILES = ("proposal.md", "tasks.md", "specs/a/spec.md", "specs/b/spec.md")
REFUSED = {403, 404, 409, 503}
"""Others were quicker, the text has moved on, or the worker is just being killed."""
ACTS_BETWEEN_KILLS = (15, 25)
ACTS_FOR_AN_EDIT = 3
END_S = 60.0


@dataclass
class Team:
    """Who edits and decides, on whichever workers there are.

    Attributes:
        workers: those that live; the tasks go on with another when theirs is killed.
        folder: of the proposal.
        done: released for each act.
        made: the acts of which a revision has come.
        over: set when nobody is to begin another.
        others: released for each act but the editor's, whom nothing else would hold up.
    """

    workers: list[Worker]
    folder: Path
    llm: LlmThread
    done: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    over: asyncio.Event = field(default_factory=asyncio.Event)
    made: set[str] = field(default_factory=set)
    others: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def live(self, act: Callable[[Api, random.Random], Awaitable[object]], seed: int) -> None:
        """Act until it is over; the author is ada, the reviewer ben."""
        chance = random.Random(seed)
        user = "ben" if act is approve else "ada"
        while not self.over.is_set():
            try:
                async with api(chance.choice(self.workers).address, user, ()) as who:
                    while not self.over.is_set():
                        if await act(who, chance) == 201:
                            self.made.add(act.__name__)
                        self.done.release()
                        if act != self.edit:
                            self.others.release()
            except httpx2.TransportError:
                await asyncio.sleep(0.02)  # it was killed under us

    async def edit(self, _who: Api, chance: random.Random) -> None:
        """As an editor does, once for some acts of the others: else no text would last for one."""
        for _ in range(ACTS_FOR_AN_EDIT):
            await self.others.acquire()
        path = self.folder / chance.choice(FILES)
        if chance.random() < 0.2:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text_by(chance))


def text_by(chance: random.Random) -> str:
    """Of a few, so that a text often comes back that was there before."""
    return f"# {chance.randint(1, 4)}\n"


async def newest_of(who: Api) -> int:
    shown = await who.http.get(PATH)
    return int(shown.json()["revision"]["number"]) if shown.status_code == 200 else 1


def check_status(answer: httpx2.Response, *good: int) -> int:
    assert answer.status_code in {*good, *REFUSED}, answer.text
    return answer.status_code


async def upload(who: Api, chance: random.Random) -> int:
    """Send some files, or take some away."""
    files = {path: text_by(chance) for path in chance.sample(FILES, 2)}
    base = await newest_of(who)
    answer = await who.http.post(f"{PATH}/revisions", json={"base": base, "files": files})
    return check_status(answer, 200, 201)


async def restore(who: Api, chance: random.Random) -> int:
    """Put an earlier text back."""
    number = chance.randint(1, await newest_of(who))
    return check_status(await who.http.post(f"{PATH}/revisions/{number}/restore"), 200, 201)


async def iterate(who: Api, chance: random.Random) -> None:
    """Have a model write."""
    await asyncio.sleep(chance.uniform(0, 0.1))
    answer = await who.http.post(f"{PATH}/iterations", json={"instruction": "Make it new"})
    check_status(answer, 202, 429)


async def approve(who: Api, chance: random.Random) -> None:
    """Approve what is there, and say so in the status; sometimes take the status back."""
    verdict = chance.choice(["approve", "approve", "approve", "request_changes"])
    body = {"verdict": verdict, "revision": await newest_of(who)}
    check_status(await who.http.post(f"{PATH}/reviews", json=body), 201)
    status = chance.choice(["approved", "approved", "in_review"])
    check_status(await who.http.patch(PATH, json={"status": status}), 200)


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.soak)])
@pytest.mark.gen_test(timeout=900)
async def test_killed_among_edits(
    workers: Workers, mongod: MongodProcess, database: str, kills: int
) -> None:
    chance = random.Random(7)
    llm = LlmThread()

    async def respond(request: CompletionRequest, answer: Answer) -> None:
        await says(reply_with({chance.choice(FILES): text_by(chance)}))(request, answer)

    llm.answers[PROPOSAL] = respond
    options: dict[str, object] = {
        "lease_s": 2,
        "validation_command": VALIDATION_COMMAND,
        "validation_report_command": "",
        "llm_base_url": llm.base_url,
        "llm_model": "model-1",
        "llm_api_key": KEY,
        "workspace_watch": "on",
    }
    folder = workers.directory / "workspaces" / PROJECT / "openspec" / "changes" / PROPOSAL
    folder.mkdir(parents=True)
    (folder / "proposal.md").write_text("# First\n")
    team = Team(workers.start_many(2, **options), folder, llm)
    living: list[asyncio.Task[None]] = []
    try:
        async with api(team.workers[0].address, "ada", ()) as ada:
            await ada.propose(PROJECT, PROPOSAL, reviewers=["ben"], status="in_review")
        acts = (upload, restore, iterate, approve, team.edit)
        living = [asyncio.create_task(team.live(act, seed)) for seed, act in enumerate(acts)]
        for _ in range(kills):
            for _ in range(chance.randint(*ACTS_BETWEEN_KILLS)):
                await team.done.acquire()
            team.workers.pop(0).kill()
            team.workers.append(await asyncio.to_thread(workers.start, **options))
        async with asyncio.timeout(END_S):
            while not {"upload", "restore"} <= team.made:
                await team.done.acquire()
        team.over.set()  # what is asked for already is still done, and counts
        for _ in range(ACTS_FOR_AN_EDIT):
            team.others.release()
        await asyncio.gather(*living)
        async with api(team.workers[0].address, "ada", ()) as ada:
            await settled(ada, mongod, database)
            await check_all(ada, folder)
    finally:
        for task in living:
            task.cancel()
        await asyncio.gather(*living, return_exceptions=True)
        llm.stop()


async def settled(ada: Api, mongod: MongodProcess, database: str) -> None:
    """Until all runs have ended, and every change has its event in the log."""
    async with asyncio.timeout(END_S):
        while (await ada.get(f"/api/v1/projects/{PROJECT}"))["active_runs"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    # Who lists revisions looks at the folder first.
    await ada.get(f"{PATH}/revisions")
    await all_told(mongod, database)


async def check_all(ada: Api, folder: Path) -> None:
    """What must hold, by what is told and what can be read."""
    events: list[Frame] = []
    page: dict[str, Any] = {"more": True, "position": ""}
    while page["more"]:
        after = {"after": page["position"]} if page["position"] else {}
        page = await ada.get(f"/api/v1/projects/{PROJECT}/events", params={"limit": 500, **after})
        events += page["events"]
    told = [event["revision"] for event in events if event["type"] == "revision_created"]
    assert [revision["number"] for revision in told] == list(range(1, len(told) + 1))
    assert len({revision["cause"] for revision in told}) >= 4, "too little happened"
    for revision in told:
        assert await contents_digest(ada, revision) == revision["digest"]
    proposal = await ada.get(PATH)
    assert proposal["revision"]["number"] == told[-1]["number"]
    assert proposal["revision"]["digest"] == told[-1]["digest"] == digest_of(on_disk(folder))
    check_approvals(events)
    for review in proposal["reviews"]:
        assert review["digest"] == told[review["revision"] - 1]["digest"]
        assert review["stale"] == (review["digest"] != proposal["revision"]["digest"])


async def contents_digest(ada: Api, revision: dict[str, Any]) -> str:
    contents = {}
    for file in revision["files"]:
        answer = await ada.http.get(f"{PATH}/revisions/{revision['number']}/files/{file['path']}")
        assert answer.status_code == 200
        contents[file["path"]] = answer.content
    return digest_of(contents)


def check_approvals(events: list[Frame]) -> None:
    """No approval ever stands on another text than the one that was approved."""
    status, digest, owed = "", "", False
    verdicts: dict[str, tuple[str, str]] = {}
    for event in events:
        match event["type"]:
            case "proposal_created":
                status = event["proposal"]["status"]
            case "revision_created":
                owed |= status == "approved" and event["revision"]["digest"] != digest
                digest = event["revision"]["digest"]
            case "review_submitted":
                review = event["review"]
                assert review["digest"] == digest, "a verdict on a text that is not the newest"
                verdicts[review["reviewer"]] = (review["verdict"], review["digest"])
            case "status_changed":
                # Before the status is anything else again, it is told that the text put it back.
                # The start of an iteration does so too: its text is still to come.
                assert not owed or event.get("cause") == "revised"
                owed, status = False, event["to"]
                if status == "approved":
                    assert ("approve", digest) in verdicts.values(), "nobody approved this text"
                    assert "request_changes" not in {verdict for verdict, _ in verdicts.values()}
    assert not owed, "an approved text has changed, and is approved still"
