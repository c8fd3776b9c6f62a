"""State and the events after its position are the later state, whatever happens in between.

Several clients act on two workers. Meanwhile others fetch snapshots, follow from each snapshot's
position, vanish and come back elsewhere. In the end what each made of its snapshot and the events
is what a fresh fetch gives, by the Python twin of the browser client's reducer and by the reducer
itself.
"""

import asyncio
import itertools
import json
import random
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tornado.ioloop import IOLoop

from tests.support.api import Api, api
from tests.support.mongo import MongodProcess
from tests.support.node import find_node
from tests.support.outboxes import all_told
from tests.support.reducer import State, as_snapshot, from_snapshot, reduce_all, seq_of
from tests.support.sockets import Frame, is_event, open_socket
from tests.support.workers import Worker, Workers

CLIENT = Path(__file__).parents[2] / "static" / "client"
PEOPLE = ("ada", "ben", "cleo")
WAIT_S = 60.0
END = "the end"

_numbers = itertools.count(1)

# Who acts, what, and a number that decides the rest.
Step = tuple[int, str, int]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(
            [
                "status", "status", "title", "people", "people", "comment", "comment", "comment",
                "propose", "lock", "unlock", "publish", "validate",
            ]
        ),
        st.integers(0, 2**16),
    ),
    min_size=10,
    max_size=60,
)  # fmt: skip


@dataclass
class Follower:
    """One that fetched a snapshot and follows from there.

    Attributes:
        user: whose view it is.
        snapshot: as it was fetched.
        last_event_id: how far it has come.
        events: what came after the snapshot's position.
    """

    user: str
    snapshot: Frame
    last_event_id: str
    events: list[Frame] = field(default_factory=list)

    async def follow(self, addresses: list[str], project: str) -> None:
        """Collect events up to the one that says END; drop off now and then."""
        chance = random.Random(self.last_event_id)
        while True:
            client = await open_socket(
                chance.choice(addresses),
                project,
                user=self.user,
                last_event_id=self.last_event_id,
            )
            try:
                welcome = await client.welcome()
                assert welcome["resume"]["outcome"] in ("replayed", "nothing_missed")
                stay = chance.choice([1, 2, 4, 8, 1000])
                while stay > 0:
                    frame = await client.recv(timeout_s=WAIT_S)
                    if is_event(frame):
                        self.events.append(frame)
                        stay -= 1
                    if "id" in frame:
                        self.last_event_id = frame["id"]
                    if frame.get("data") == END:
                        return
            finally:
                await client.vanish()

    @property
    def state(self) -> State:
        """What it knows now."""
        return as_snapshot(reduce_all(from_snapshot(self.snapshot), self.events))


async def _act(who: Api, project: str, what: str, number: int) -> None:
    """Make a change; a refusal is as good: others were quicker, or have locked the project."""
    chance = random.Random(number)
    proposal = f"/api/v1/proposals/{project}-{number % 3}"
    lock = f"/api/v1/projects/{project}/lock"
    acts: dict[str, Callable[[], Awaitable[Any]]] = {
        "status": lambda: who.http.patch(
            proposal,
            json={"status": chance.choice(["draft", "in_review", "approved", "rejected"])},
        ),
        "title": lambda: who.http.patch(proposal, json={"title": f"Title {number}"}),
        "people": lambda: who.http.patch(
            proposal, json={"reviewers": [name for name in PEOPLE if chance.random() < 0.5]}
        ),
        "comment": lambda: who.http.post(f"{proposal}/comments", json={"text": f"no. {number}"}),
        "propose": lambda: who.http.post(
            f"/api/v1/projects/{project}/proposals",
            json={"id": f"{project}-{number % 6}", "title": "New", "reviewers": ["ben"]},
        ),
        "lock": lambda: who.http.put(lock, json={"reason": str(number % 4)}),
        "unlock": lambda: who.http.delete(lock),
        "publish": lambda: who.http.post(
            f"/api/v1/projects/{project}/events",
            json={"type": "a.b", "data": number, "audience": {"users": [chance.choice(PEOPLE)]}},
        ),
        "validate": lambda: who.http.post(f"{proposal}/validations", json={}),
    }
    response = await acts[what]()
    assert response.status_code in (200, 201, 202, 204, 403, 404, 409), response.text


async def _scenario(
    addresses: list[str],
    project: str,
    steps: list[Step],
    told: Callable[[], Awaitable[None]],
) -> list[Follower]:
    async with AsyncExitStack() as stack:

        async def person(number: int) -> Api:
            roles = ("service",) if number == 3 else ("admin",) if number == 4 else ()
            name = PEOPLE[number % 3]
            return await stack.enter_async_context(api(addresses[number % 2], name, roles))

        people = [await person(number) for number in range(6)]
        for number in range(2):
            await people[number].propose(
                project, f"{project}-{number}", author="ada", reviewers=["ben"]
            )
        following: list[asyncio.Task[None]] = []
        followers: list[Follower] = []

        async def begin_to_follow(number: int) -> None:
            reader = people[number % 6]
            user = PEOPLE[number % 3]
            snapshot = await reader.get(f"/api/v1/projects/{project}")
            followers.append(Follower(user, snapshot, snapshot["position"]))
            following.append(asyncio.create_task(followers[-1].follow(addresses, project)))

        async def act_in_turn(mine: list[Step]) -> None:
            for who, what, number in mine:
                await _act(people[who], project, what, number)
                if number % 5 == 0:
                    await begin_to_follow(number)

        try:
            for number in range(3):
                await begin_to_follow(number)
            lanes = [[step for step in steps if step[0] == who] for who in range(6)]
            await asyncio.gather(*(act_in_turn(lane) for lane in lanes))
            await _runs_over(people[0], project)
            await told()
            await people[3].publish(project, END)
            async with asyncio.timeout(WAIT_S):
                await asyncio.gather(*following)
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
        fresh = as_snapshot(from_snapshot(await people[1].get(f"/api/v1/projects/{project}")))
        for follower in followers:
            seqs = [seq_of(event["id"]) for event in follower.events]
            assert seqs == sorted(set(seqs)), "an event came twice, or out of order"
            assert follower.state == fresh
        await _compare_comments(people, project, followers)
        return followers


async def _runs_over(reader: Api, project: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while (await reader.get(f"/api/v1/projects/{project}"))["active_runs"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _compare_comments(people: list[Api], project: str, followers: list[Follower]) -> None:
    """Who was a member throughout heard every comment made since; nobody heard one that is not."""
    for number in range(6):
        answer = await people[0].http.get(f"/api/v1/proposals/{project}-{number}/comments")
        if answer.status_code == 404:
            continue
        known = {comment["id"]: comment for comment in answer.json()["comments"]}
        for follower in followers:
            for event in follower.events:
                if event["type"] == "comment_created" and event["comment"]["id"] in known:
                    assert event["comment"] == known[event["comment"]["id"]]
                    assert event["proposal_id"] == f"{project}-{number}"


def _stored(mongod: MongodProcess, database: str, project: str) -> list[tuple[int, Frame]]:
    """Everything in the log, whoever it is for: sequence number, and the item as it is stored."""
    with mongod.client() as client:
        packs = client[database]["events"].find({"project_id": project}).sort("first", 1)
        return [
            (pack["first"] + offset, item)
            for pack in packs
            for offset, item in enumerate(pack["events"])
        ]


def _check_members(stored: list[tuple[int, Frame]], followers: list[Follower]) -> None:
    """Order in the log decides: a comment is for those who are members at its place."""
    members: dict[str, set[str]] = {}
    history: list[tuple[int, dict[str, set[str]]]] = []
    comments: dict[int, tuple[str, set[str]]] = {}
    for seq, item in stored:
        if item["t"] in ("proposal_created", "proposal_updated"):
            proposal = json.loads(item["b"])["proposal"]
            members = {**members, proposal["id"]: {proposal["author"], *proposal["reviewers"]}}
        elif item["t"] == "comment_created":
            assert set(item["a"]["users"]) == members[item["p"]]
            comments[seq] = (item["p"], members[item["p"]])
        history.append((seq, members))
    for follower in followers:
        begin = seq_of(follower.snapshot["position"])
        heard = {
            seq_of(event["id"]) for event in follower.events if event["type"] == "comment_created"
        }
        for seq, (proposal_id, then) in comments.items():
            if seq <= begin or follower.user not in then:
                assert seq not in heard
                continue
            always = all(follower.user in at[proposal_id] for later, at in history if later >= seq)
            assert seq in heard or not always


def _by_the_browser(followers: list[Follower]) -> list[Any]:
    """What the browser client's own reducer makes of the same."""
    script = (
        f"import {{ fromSnapshot, reduceAll }} from {json.dumps(str(CLIENT / 'reducer.js'))};"
        "let text = ''; for await (const part of process.stdin) text += part;"
        "const states = JSON.parse(text).map(([snapshot, events]) => {"
        "  const { proposals, lock, position } = reduceAll(fromSnapshot(snapshot), events);"
        "  return { proposals, lock, position };"
        "}); console.log(JSON.stringify(states));"
    )
    given_to = json.dumps([[follower.snapshot, follower.events] for follower in followers])
    answer = subprocess.run(
        [str(find_node()), "--input-type=module", "-e", script],
        input=given_to, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    states: list[Any] = json.loads(answer.stdout)
    for state in states:
        for proposal in state["proposals"].values():
            del proposal["comments"]
    return states


@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def _property(steps: list[Step], io_loop: IOLoop, two: list[Worker], mongod: MongodProcess) -> None:
    project = f"p{next(_numbers)}"
    (Path(str(two[0].settings["workspace_root"])) / project).mkdir(parents=True)
    addresses = [worker.address for worker in two]
    database = str(two[0].settings["mongodb_database"])
    followers = io_loop.run_sync(
        lambda: _scenario(addresses, project, steps, lambda: all_told(mongod, database)),
        timeout=180,
    )
    _check_members(_stored(mongod, database, project), followers)
    if find_node() is not None:
        by_twin = [
            {key: follower.state[key] for key in ("proposals", "lock", "position")}
            for follower in followers
        ]
        assert _by_the_browser(followers) == by_twin


def test_a_snapshot_and_what_follows_it_is_the_later_state(
    io_loop: IOLoop, workers: Workers, mongod: MongodProcess
) -> None:
    two = workers.start_many(
        2,
        max_connections_per_user=1000,
        max_connections_per_project=1000,
        validation_command="echo checked {proposal_id}",
        validation_report_command="",
    )
    _property(io_loop=io_loop, two=two, mongod=mongod)
