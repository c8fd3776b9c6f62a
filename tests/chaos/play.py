"""One run: clients and actors on a cluster under faults, then healing, rest, and the check."""

import asyncio
import json
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from tests.chaos.acts import AUTHOR, PROJECT, PROPOSALS, Actors, actors
from tests.chaos.checker import Violation, check
from tests.chaos.clients import Client, Persona, Stage
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.edits import Editors, revise
from tests.chaos.faults import Faults
from tests.chaos.history import HistoryFile, read_history
from tests.chaos.rest import REST_S, settle
from tests.support.cli import rtserver
from tests.support.llm_server import KEY, LlmServer, llm_server
from tests.support.network import HERE, Network
from tests.support.processes import wait_until
from tests.support.replica_set import ReplicaSet
from tests.support.waiting import running
from tests.support.webhook_receiver import SECRET, Receiver, receiver

A, B, C = PROPOSALS
STEADY = (
    Persona("ws-all", "ada", "websocket", PROJECT),
    Persona("ws-narrow", "cleo", "websocket", PROJECT, (A,)),
    Persona("sse-member", "ben", "sse", PROJECT, (B,)),
    Persona("sockjs-ws", "fay", "sockjs_websocket", PROJECT, (A, C)),
    Persona("xhr", "gus", "xhr_streaming", PROJECT),
    Persona("sse-stranger", "eve", "sse", PROJECT, (C,)),
    Persona("xhr-member", "ben", "xhr_streaming", PROJECT, (B,)),
    Persona("ws-late", "hal", "websocket", PROJECT, (B, C)),
)
USER_LIMIT, RESTLESS = 2, 3
HOOK = "told"
HOOK_TYPES = ["test.event", "status_changed", "revision_created", "review_submitted"]
END_S = 60.0
PAGE = 500


@dataclass(frozen=True)
class Plan:
    """What a run is to be.

    Attributes:
        faults_s: how long things are broken.
        steady: how many clients stay, of `STEADY`.
    """

    seed: int
    faults_s: float
    steady: int = len(STEADY)
    publishers: int = 2
    between_s: tuple[float, float] = (0.5, 4.0)

    @property
    def personas(self) -> list[Persona]:
        restless = [
            Persona(f"restless-{n}", "zoe", "websocket", PROJECT, restless=True)
            for n in range(RESTLESS)
        ]
        return [*STEADY[: self.steady], *restless]

    @property
    def project_limit(self) -> int:
        """As many as there are when the restless are no more than their limit."""
        return self.steady + USER_LIMIT


async def play(
    plan: Plan, three: ReplicaSet, network: Network | None, directory: Path
) -> list[Violation]:
    """Carry out a run, and write down all of it in a directory: `history.jsonl`, and logs."""
    path = directory / "history.jsonl"
    limits: dict[str, object] = {
        "max_connections_per_user": USER_LIMIT,
        "max_connections_per_project": plan.project_limit,
    }
    database = f"chaos_{plan.seed}_{time.time_ns() % 10**9}"
    here = "127.0.0.1" if network is None else HERE
    async with receiver(here) as hook, llm_server(revise, here) as model:
        settings = {**limits, **_settings(hook, model, here)}
        with (
            HistoryFile(path) as history,
            cluster(three, network, directory / "workers", database, settings, [PROJECT]) as made,
        ):
            history.add(
                "setup", user_limit=USER_LIMIT, project_limit=plan.project_limit, seed=plan.seed
            )
            after = await asyncio.to_thread(_hooked, three, database)
            history.add("hooked", project_id=PROJECT, types=HOOK_TYPES, after=after)
            head = await _play(plan, Stage(made, history), hook)
            for name, told in hook.accepted:
                history.add("hook", id=name, event=told["data"])
            report = await asyncio.to_thread(_verify_audit, made, head)
            history.add("audit", **report)
    return check(read_history(path))


def _settings(hook: Receiver, model: LlmServer, here: str) -> dict[str, object]:
    """Of a model that revises, a webhook, and the watch over what is written to disk."""
    endpoint = {
        "id": HOOK, "url": hook.url, "secret": SECRET, "projects": [PROJECT], "types": HOOK_TYPES,
        "audiences": ["project", "proposal"],
    }  # fmt: skip
    return {
        "webhooks": json.dumps([endpoint]),
        "webhook_hosts": here,
        "webhook_private": "on",
        "llm_base_url": model.base_url,
        "llm_model": "model-1",
        "llm_api_key": KEY,
        "llm_first_token_timeout_s": 5,
        "llm_token_timeout_s": 5,
        "workspace_watch": "on",
    }


def _hooked(three: ReplicaSet, database: str) -> int:
    """The number behind which the webhook is told of everything, once it has begun."""
    found: list[int] = []

    def has_begun() -> bool:
        document = client[database]["webhooks"].find_one({"_id": HOOK}) or {}
        found.extend(feed["seq"] for feed in document.get("feeds", {}).values())
        return bool(found)

    with MongoClient[dict[str, Any]](three.uri) as client:
        wait_until(has_begun, "the webhook to begin")
    return found[0]


@dataclass(frozen=True)
class Playing:
    """What `settle` asks: all of the server that a play has to do with."""

    acting: Actors
    editors: Editors
    hook: Receiver

    async def publish_end(self) -> str:
        return await self.acting.publish_end()

    async def connections(self, address: str) -> list[dict[str, Any]] | None:
        return await self.acting.connections(address)

    async def snapshot(self, address: str) -> dict[str, Any] | None:
        return await self.acting.snapshot(address)

    def unfinished(self, snapshot: dict[str, Any], head: str) -> list[str]:
        unseen = [f"the files of {one} are no revision" for one in self.editors.unseen(snapshot)]
        is_told = any(told["data"].get("id") == head for _, told in reversed(self.hook.accepted))
        return unseen if is_told else [*unseen, "the webhook is behind"]


async def _play(plan: Plan, stage: Stage, hook: Receiver) -> str:
    """The id of the newest event in the end."""
    async with actors(stage, plan.seed) as acting, AsyncExitStack() as stack:
        editors = Editors(acting, stage.cluster.workers.directory / "workspaces" / PROJECT)
        editors.begin()
        clients = [
            Client(who, stage, random.Random(f"{plan.seed}-{who.name}")) for who in plan.personas
        ]
        await stack.enter_async_context(running(*(one.live() for one in clients)))
        acts = [asyncio.create_task(act) for act in (*acting.all(plan.publishers), *editors.all())]
        faults = Faults(
            stage.cluster, clients, stage.history, random.Random(plan.seed), plan.between_s
        )
        breaking = asyncio.create_task(faults.run())
        await asyncio.wait({breaking, *acts}, timeout=plan.faults_s, return_when="FIRST_EXCEPTION")
        faults.over.set()
        await breaking
        await asyncio.to_thread(stage.cluster.heal)
        stage.history.add("fault", name="healed", on="")
        stage.settling = True
        acting.over.set()
        async with asyncio.timeout(END_S):
            await asyncio.gather(*acts)
        head = await settle(stage, clients, Playing(acting, editors, hook), PROJECT)
        await _read_all(acting, editors)
        return head


async def _read_all(acting: Actors, editors: Editors) -> None:
    """Write down what can be read in the end."""
    address = acting.stage.cluster.addresses[0]
    events: list[Any] = []
    page: dict[str, Any] = {"more": True, "position": ""}
    while page["more"]:
        after = f"&after={page['position']}" if page["position"] else ""
        path = f"/projects/{PROJECT}/events?limit={PAGE}{after}"
        page = await acting.read(address, path, AUTHOR)
        events += page["events"]
    add = acting.stage.history.add
    add("log", project_id=PROJECT, events=events)
    comments = {}
    for one in PROPOSALS:
        comments[one] = await _comments(acting, address, one)
    runs = {}
    for run_id in {event["run_id"] for event in events if "run_id" in event}:
        runs[run_id] = await acting.read(address, f"/runs/{run_id}", AUTHOR)
    snapshot = await acting.read(address, f"/projects/{PROJECT}", AUTHOR)
    read = {"snapshot": snapshot, "comments": comments, "runs": runs}
    add("state", project_id=PROJECT, **read, **await editors.read(address))


async def _comments(acting: Actors, address: str, proposal_id: str) -> list[Any]:
    found: list[Any] = []
    after: str | None = ""
    while after is not None:
        path = f"/proposals/{proposal_id}/comments?limit={PAGE}" + (after and f"&after={after}")
        page = await acting.read(address, path, AUTHOR)
        found += page["comments"]
        after = page["next"]
    return found


def _verify_audit(made: Cluster, head: str) -> dict[str, Any]:
    """The audit log, and what its verification finds."""
    settings = {name: made.workers.settings[name] for name in ("mongodb_uri", "mongodb_database")}
    where: dict[str, Any] = {**settings, "data_dir": made.workers.settings["data_dir"]}
    records: list[Any] = []

    def is_delivered() -> bool:
        """Whether the record of the last publication is there."""
        listed = rtserver("audit", "--json", **where)
        records[:] = [json.loads(line) for line in listed.stdout.splitlines()]
        return any(record["details"].get("first") == head for record in records)

    wait_until(is_delivered, "the audit records", timeout_s=REST_S)
    verified = rtserver("audit", "verify", "--json", **where)
    report = json.loads(verified.stdout)
    return {"records": records, "findings": [one["what"] for one in report["findings"]]}
