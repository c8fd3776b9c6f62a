"""Faults that the code once had, put back: the simulation has to find each of them."""

from collections.abc import Callable
from typing import Any

import pytest

from rtserver.runs import run_log
from store.base import leases
from store.base import relay as relays
from store.documents import connections
from store.documents.connections import MongoLeases
from tests.simulation.world import Access

Mutant = Callable[[pytest.MonkeyPatch], None]


def the_sweep_tells_what_no_majority_has(patch: pytest.MonkeyPatch) -> None:
    """State and event part after a rollback."""
    patch.setattr(relays, "confirmed", lambda database: database)


def nothing_keeps_output_from_following_the_end(patch: pytest.MonkeyPatch) -> None:
    """A worker whose lease has lapsed goes on appending."""
    made = run_log.RunLog.__init__

    def without_fence(self: Any, *arguments: Any) -> None:
        made(self, *arguments)
        self._fence = None

    patch.setattr(run_log.RunLog, "__init__", without_fence)


def who_lost_a_place_goes_on(patch: pytest.MonkeyPatch) -> None:
    """Limits are exceeded for good after a worker stood still."""
    renew = MongoLeases.renew

    async def renew_all(self: MongoLeases, entries: Any) -> set[str]:
        await renew(self, entries)
        return {entry.connection_id for entry in entries}

    patch.setattr(MongoLeases, "renew", renew_all)


def a_second_answer_is_read_like_the_first(patch: pytest.MonkeyPatch) -> None:
    """A findAndModify that was sent again answers with whole entries: who was let in is refused."""
    change = leases.change_or_make

    async def changed(*arguments: Any) -> dict[str, Any]:
        document = await change(*arguments)
        if "entries" not in document:
            return document
        ids = [one for one in document["entries"] if isinstance(one, str)]
        return {**document, "entries": ids}

    patch.setattr(connections, "change_or_make", changed)


def an_insert_goes_to_whoever_is_primary(patch: pytest.MonkeyPatch) -> None:
    """Numbers that were read of one primary are used on the next."""
    insert = Access.insert

    async def anywhere(self: Access, collection: str, documents: Any, *, at: object = None) -> None:
        assert at is not None
        await insert(self, collection, documents)

    patch.setattr(Access, "insert", anywhere)
