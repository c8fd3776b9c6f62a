"""Revocations on a real store: what a worker knows of them, whatever it missed."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from rtserver.audit.record.actions import Action
from rtserver.auth.revocations import Revocations
from rtserver.eventlog.worker_messages import Control
from rtserver.model.errors import ForbiddenError, InvalidError, StoreUnavailableError
from rtserver.model.events import EventDraft
from rtserver.model.identity import Identity, Role
from rtserver.model.revocation import Revocation
from rtserver.sessions import revocation
from rtserver.sessions.revocation import RevocationService
from store.base.client import Database
from store.documents.revocations import MongoRevocations
from tests.support.waiting import until

ROOT = Identity("root", "root", frozenset(), frozenset({Role.ADMIN}), time.time() + 600)


def issued(user_id: str, at_s: float | None) -> Identity:
    return Identity(user_id, user_id, frozenset(), frozenset(), time.time() + 600, at_s)


class FrailStore(MongoRevocations):
    """A store whose next reads fail.

    Attributes:
        failures: so many of them.
    """

    failures = 0

    async def changed_since(self, moment: datetime | None) -> list[Revocation]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("away")
        return await super().changed_since(moment)


class Bus:
    """A log that hands messages to all workers at once."""

    def __init__(self) -> None:
        self.controls: list[Control] = []
        self.deaf = False

    async def publish(self, drafts: Sequence[EventDraft], **_options: Any) -> None:
        class Heard:
            def __init__(self, draft: EventDraft) -> None:
                self.draft = draft

            def frame(self) -> Any:
                return self.draft.fields

        for control in [] if self.deaf else self.controls:
            heard: Any = Heard(drafts[0])
            await control.on_event(heard)


class NotedAudit:
    """What would be recorded."""

    def __init__(self) -> None:
        self.records: list[tuple[Action, Any]] = []

    def ensure(self, _action: Action) -> None: ...

    def record(self, action: Action, **details: Any) -> None:
        self.records.append((action, details))


class NobodyConnected:
    async def search(self, **_what: Any) -> Sequence[Any]:
        return ()


class Worker:
    """One worker's part of it.

    Attributes:
        ended: the users whose sessions were to be ended.
    """

    def __init__(self, db: Database, bus: Any, name: str) -> None:
        self.known = Revocations()
        self.store = FrailStore(db)
        self.audit = NotedAudit()
        self.ended: list[str] = []
        control = Control(bus, worker_id=name)
        bus.controls.append(control)
        nobody: Any = NobodyConnected()
        auditor: Any = self.audit
        self.service = RevocationService(self.known, self.store, control, nobody, auditor, [self])

    def end_of_user(self, user_id: str) -> None:
        self.ended.append(user_id)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.service.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.mark.gen_test
async def test_all_workers_refuse_it_before_the_answer_and_new_tokens_are_good_after_it(
    db: Database,
) -> None:
    bus = Bus()
    one, other = Worker(db, bus, "w1"), Worker(db, bus, "w2")
    await one.store.prepare()
    before_s = time.time()
    asked = asyncio.ensure_future(one.service.revoke(ROOT, "ada"))
    await until(lambda: bool(other.ended), "the other worker's part")
    assert (one.ended, other.ended) == (["ada"], ["ada"])
    answer = await asked
    # As most issuers write it.
    new = Identity("ada", "A", frozenset(), frozenset(), 0, float(int(time.time())))
    for worker in (one, other):
        assert worker.known.refuses(issued("ada", before_s))
        assert worker.known.refuses(issued("ada", None))
        assert not worker.known.refuses(new)
        assert not worker.known.refuses(issued("ben", None))
    assert datetime.fromisoformat(answer["tokens_before"]).timestamp() <= time.time()
    ((action, details),) = one.audit.records
    assert (action, details["target"], details["connections"]) == (Action.USER_REVOKED, "ada", 0)
    assert other.audit.records == []


@pytest.mark.gen_test
async def test_who_was_not_there_learns_it_at_start(db: Database) -> None:
    bus = Bus()
    one = Worker(db, bus, "w1")
    await one.store.prepare()
    before_s = time.time()
    await one.service.revoke(ROOT, "ada")
    late = Worker(db, bus, "w2")
    await late.service.load()
    assert late.known.refuses(issued("ada", before_s))
    assert not late.known.refuses(issued("ada", time.time()))


@pytest.mark.gen_test
async def test_what_no_message_told_of_is_found_after_an_outage_too(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation, "POLL_S", 0.01)
    monkeypatch.setattr(revocation, "RETRY_S", 0.01)
    bus = Bus()
    one, other = Worker(db, bus, "w1"), Worker(db, bus, "w2")
    await one.store.prepare()
    bus.deaf = True
    async with other.looking():
        await one.service.revoke(ROOT, "ada")
        await until(lambda: other.ended == ["ada"], "a look without a message")
        other.store.failures = 3
        await one.service.revoke(ROOT, "ben")
        await until(lambda: other.ended == ["ada", "ben"], "a look after an outage")
        # A second one of the same user, which is later.
        await one.service.revoke(ROOT, "ada")
        await until(lambda: other.ended == ["ada", "ben", "ada"], "the later one")
    assert other.store.failures == 0


@pytest.mark.gen_test
async def test_who_may_not_and_what_is_no_user(db: Database) -> None:
    worker = Worker(db, Bus(), "w1")
    with pytest.raises(ForbiddenError):
        await worker.service.revoke(issued("ada", time.time()), "ada")
    for bad in ("", "a\nb", "x" * 257):
        with pytest.raises(InvalidError):
            await worker.service.revoke(ROOT, bad)
    assert (worker.ended, worker.audit.records) == ([], [])
    assert await worker.store.changed_since(None) == []
