"""What is done meanwhile: publications, comments, moves, the lock, validations; and who looks.

What is done to texts is in `tests.chaos.edits`.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.chaos.clients import Stage
from tests.support.api import NO_TLS
from tests.support.tokens import token

PROJECT = "p1"
PROPOSALS = ("talks.a", "talks.b", "talks.c")
AUTHOR, REVIEWER = "ada", "ben"
ANSWER_S = 8.0
LOCK_LEASE_S = 2
FORWARD = {"draft": "in_review", "in_review": "rejected", "rejected": "draft"}
"""Moves that need nobody's approval."""


@dataclass
class Actors:
    """Those who act, until they are told that it is over.

    Attributes:
        over: set when nobody is to begin anything new.
    """

    stage: Stage
    http: httpx2.AsyncClient
    seed: int
    over: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _calls: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def request(
        self, method: str, address: str, path: str, user: str, body: Any = None, **headers: str
    ) -> httpx2.Response:
        roles = {"svc": ("service",), "root": ("admin",)}.get(user, ())
        signed = token(user, roles=roles)
        return await self.http.request(
            method, f"http://{address}/api/v1{path}", json=body,
            headers={"Authorization": f"Bearer {signed}", **headers},
        )  # fmt: skip

    async def call(
        self, chance: random.Random, user: str, act: str, method: str, path: str,
        body: Mapping[str, Any], *, sent: Any = None, key: str | None = None,
    ) -> tuple[int, Any]:  # fmt: skip
        """Send a request and write it down; status and body, or 0 where no answer came.

        Args:
            body: as it is written down.
            sent: as it is sent, where that is less.
        """
        cluster, history = self.stage.cluster, self.stage.history
        address = chance.choice(cluster.addresses)
        number = next(self._calls)
        keyed = {} if key is None else {"key": key}
        history.add(
            "call", call=number, worker=cluster.name_at(address), user=user, act=act,
            project_id=PROJECT, body=body, **keyed,
        )  # fmt: skip
        headers = {} if key is None else {"Idempotency-Key": key}
        try:
            answer = await self.request(
                method, address, path, user, body if sent is None else sent, **headers
            )
        except (httpx2.TransportError, OSError):
            return 0, None
        found = answer.json() if answer.content else None
        history.add("answer", call=number, status=answer.status_code, body=found)
        return answer.status_code, found

    async def publish(self, chance: random.Random, events: list[dict[str, Any]], key: str) -> str:
        """Publish until it is answered that it was; the last id."""
        while True:
            path = f"/projects/{PROJECT}/events"
            status, body = await self.call(
                chance, "svc", "publish", "POST", path, {"events": events}, key=key
            )
            if status == 201:
                return str(body["ids"][-1])
            await asyncio.sleep(chance.uniform(0.05, 0.5))

    async def publish_end(self) -> str:
        """Publish one more event; its id."""
        number = next(self.numbers)
        events = [{"type": "test.event", "data": f"end.{number}"}]
        return await self.publish(self.chance_of(f"end-{number}"), events, f"end-{number}")

    async def snapshot(self, address: str) -> dict[str, Any] | None:
        """The project as its author sees it; None where there is no answer."""
        found = await self.read(address, f"/projects/{PROJECT}", AUTHOR)
        return None if found is None else dict(found)

    def chance_of(self, name: str) -> random.Random:
        return random.Random(f"{self.seed}-{name}")

    async def publisher(self, name: str, pause_s: float) -> None:
        chance = self.chance_of(name)
        for number in itertools.count(1):
            if self.over.is_set():
                return
            about = chance.choice([{}, {}, *({"proposal_id": one} for one in PROPOSALS)])
            data = [f"{name}.{number}.{n}" for n in range(chance.choice([1, 1, 1, 3]))]
            events = [{"type": "test.event", "data": one, **about} for one in data]
            await self.publish(chance, events, f"{name}-{number}")
            await asyncio.sleep(chance.uniform(0, 2 * pause_s))

    async def commenter(self) -> None:
        chance = self.chance_of("commenter")
        while not self.over.is_set():
            proposal_id = chance.choice(PROPOSALS)
            text = {"text": f"comment {next(self.numbers)}"}
            path = f"/proposals/{proposal_id}/comments"
            body = {"proposal_id": proposal_id, **text}
            await self.call(chance, "cleo", "comment", "POST", path, body, sent=text)
            await asyncio.sleep(chance.uniform(0.1, 0.5))

    async def mover(self) -> None:
        chance = self.chance_of("mover")
        while not self.over.is_set():
            proposal_id = chance.choice(PROPOSALS)
            status = {"status": chance.choice([*FORWARD])}
            body = {"proposal_id": proposal_id, **status}
            path = f"/proposals/{proposal_id}"
            user = chance.choice([AUTHOR, REVIEWER])
            await self.call(chance, user, "status", "PATCH", path, body, sent=status)
            await asyncio.sleep(chance.uniform(0.05, 0.3))

    async def locker(self, user: str) -> None:
        chance = self.chance_of(f"locker-{user}")
        path = f"/projects/{PROJECT}/lock"
        while not self.over.is_set():
            await asyncio.sleep(chance.uniform(0.2, 1.5))
            body = {"reason": f"reason {next(self.numbers)}", "lease_s": LOCK_LEASE_S}
            status, _ = await self.call(chance, user, "lock", "PUT", path, body)
            if status == 200 and chance.random() < 0.7:  # else it runs out
                await asyncio.sleep(chance.uniform(0, 0.5))
                await self.call(chance, user, "unlock", "DELETE", path, {})

    async def validator(self) -> None:
        chance = self.chance_of("validator")
        while not self.over.is_set():
            proposal_id = chance.choice(PROPOSALS)
            path = f"/proposals/{proposal_id}/validations"
            body = {"proposal_id": proposal_id}
            await self.call(chance, AUTHOR, "validate", "POST", path, body, sent={})
            await asyncio.sleep(chance.uniform(0.2, 1.2))

    async def lister(self) -> None:
        chance = self.chance_of("lister")
        while not self.over.is_set():
            found = await self.connections(chance.choice(self.stage.cluster.addresses))
            if found is not None:
                self.stage.history.add(
                    "listed", project_id=PROJECT, connections=found, at_rest=False
                )
            await asyncio.sleep(0.4)

    async def connections(self, address: str) -> list[dict[str, Any]] | None:
        """The registry as an admin sees it; None where there is no answer."""
        found = await self.read(address, f"/connections?project_id={PROJECT}&limit=1000", "root")
        return None if found is None else list(found["connections"])

    async def read(self, address: str, path: str, user: str) -> Any:
        """What a GET is answered with; None where that is not 200."""
        try:
            answer = await self.request("GET", address, path, user)
        except (httpx2.TransportError, OSError):
            return None
        return answer.json() if answer.status_code == 200 else None

    def all(self, publishers: int) -> list[Any]:
        """The coroutines of all who act."""
        return [
            *(self.publisher(f"pub{n}", 0.05) for n in range(publishers)),
            *(self.locker(user) for user in (AUTHOR, REVIEWER)),
            *(self.commenter(), self.mover(), self.validator(), self.lister()),
        ]


@asynccontextmanager
async def actors(stage: Stage, seed: int) -> AsyncIterator[Actors]:
    """Those who act, with a project that has its proposals."""
    async with httpx2.AsyncClient(timeout=ANSWER_S, trust_env=False, verify=NO_TLS) as http:
        made = Actors(stage, http, seed)
        address = stage.cluster.addresses[0]
        for proposal_id in PROPOSALS:
            body = {"id": proposal_id, "title": "T", "reviewers": [REVIEWER]}
            path = f"/projects/{PROJECT}/proposals"
            answer = await made.request("POST", address, path, AUTHOR, body)
            answer.raise_for_status()
        yield made
