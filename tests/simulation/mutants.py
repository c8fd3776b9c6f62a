"""Faults that the code once had, put back: the simulation has to find each of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rtserver.delivery import resume
from rtserver.delivery.feed import Feed
from rtserver.runs import run_log
from rtserver.sessions.catch_up import CatchUp
from store.base import leases
from store.base import relay as relays
from store.documents import connections
from store.documents.connections import MongoLeases
from store.log.tail import EventTail
from store.log.writer import MongoEventLog
from tests.simulation.commands import Access

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


def a_cursor_stands_on_nothing(patch: pytest.MonkeyPatch) -> None:
    """A worker that starts within the first insert is deaf."""

    async def see_nothing(*_arguments: Any) -> None:
        pass

    patch.setattr(EventTail, "_see_anything", see_nothing)


def what_a_primary_shows_is_told(patch: pytest.MonkeyPatch) -> None:
    """Events are told that no majority has, and that are rolled back."""

    async def at_once(*_arguments: Any) -> None:
        pass

    patch.setattr(EventTail, "_barrier", at_once)


def a_pack_is_known_by_its_identity(patch: pytest.MonkeyPatch) -> None:
    """The next primary has it behind others, under other numbers."""

    async def by_identity(self: EventTail, pack: Any, concern: Any) -> Any:
        wanted = {"filter": {"_id": pack["_id"]}, "readConcern": concern}
        return await self._database.command({"find": self._collection, **wanted})

    patch.setattr(EventTail, "_look_up", by_identity)


def a_stale_primary_knows_the_head(patch: pytest.MonkeyPatch) -> None:
    """Whoever comes back to a worker that was cut off is told of a loss."""
    head = MongoEventLog.head

    async def remembered(self: MongoEventLog, project_id: str, *, newest: bool = False) -> int:
        del newest
        return await head(self, project_id)

    patch.setattr(MongoEventLog, "head", remembered)


def who_catches_up_is_live_at_once(patch: pytest.MonkeyPatch) -> None:
    """What comes while something is read is sent before it."""
    catch_up = CatchUp.run

    async def joined_at_once(self: CatchUp, from_seq: int) -> None:
        self._feed.live.add(self._session)
        await catch_up(self, from_seq)

    patch.setattr(CatchUp, "run", joined_at_once)


def only_what_was_overwritten_counts_as_lost(patch: pytest.MonkeyPatch) -> None:
    """What is there still, and is not sent because more is missing before it, is not counted."""
    tell = resume._lost

    def fewer(feed: Feed, requested: str, oldest: int, *, lost: int | None = None) -> Any:
        told = tell(feed, requested, oldest, lost=lost)
        return told if lost is None else replace(told, lost=lost - (feed.seq + 1 - oldest))

    patch.setattr(resume, "_lost", fewer)
