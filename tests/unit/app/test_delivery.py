"""`rtserver.app.delivery`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtserver.app import delivery as app_delivery
from rtserver.app.delivery import Delivery, build_delivery, build_tails
from rtserver.app.foundation import Foundation
from rtserver.app.webhooks import Webhooks
from rtserver.config.settings import Settings
from rtserver.model.errors import StoreUnavailableError
from rtserver.model.events import EventDraft
from rtserver.sessions.table import SessionTable
from store.log.collection import EVENTS
from store.log.tail import EventTail
from tests.support.recorder import LogRecorder
from tests.support.waiting import until
from tests.unit.app.parts import Kept, build_kept, foundation


class Woken:
    """An endpoint's delivery, which notes what it is woken for."""

    def __init__(self) -> None:
        self.projects: list[str] = []

    def wake(self, project_id: str) -> None:
        self.projects.append(project_id)


@asynccontextmanager
async def feeds(settings: Settings) -> AsyncIterator[tuple[Foundation, Kept, Delivery]]:
    async with foundation(settings) as base:
        kept = await build_kept(base)
        yield base, kept, build_delivery(base, kept.events, kept.audit, kept.documents)


@pytest.mark.gen_test
async def test_events_reach_the_feeds_and_a_lost_log_begins_anew(
    settings: Settings, logs: LogRecorder
) -> None:
    logs.expect("log_lost")
    told: Any = Woken()
    async with feeds(settings) as (base, kept, delivery):
        tail = await build_tails(
            base,
            kept.mongo,
            kept.events,
            kept.audit,
            delivery,
            SessionTable(),
            Webhooks([told]),
        )
        assert base.readiness.problems() == {}
        log = kept.events.writer
        feed = await delivery.dispatcher.open("p1")
        await log.publish([EventDraft("p1", "test.event", {"data": 1})])
        await until(lambda: feed.seq == 1, "the event")
        assert told.projects.count("p1") == 1
        epoch = log.epoch
        await kept.mongo.database[EVENTS].drop()
        await until(lambda: log.epoch != epoch and tail.ready.is_set(), "the log anew")
        assert delivery.dispatcher.feeds == {}


@pytest.mark.gen_test
async def test_a_log_that_cannot_be_tailed_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def returns(_tail: EventTail) -> None:
        pass

    monkeypatch.setattr(EventTail, "run", returns)
    monkeypatch.setattr(app_delivery, "TAIL_READY_S", 0.01)
    async with feeds(settings) as (base, kept, delivery):
        with pytest.raises(StoreUnavailableError, match="tailed"):
            await build_tails(
                base,
                kept.mongo,
                kept.events,
                kept.audit,
                delivery,
                SessionTable(),
                Webhooks([]),
            )
        assert "tail" in base.readiness.problems()
