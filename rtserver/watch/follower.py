"""The follower of a collection: broadcasts its changes. See docs/watching.md.

One worker at a time holds a watch, on a lease. It reads the collection's change stream, appends an
event for each change under a key that belongs to the change, and then notes how far it has come.
So the worker that goes on, from the place noted last, tells nothing twice and leaves nothing out;
also a holder that was paused and does not know yet that another has taken over.
"""

import asyncio
import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, NoReturn, Protocol

import structlog

from rtserver.eventlog.api import LogBusyError
from rtserver.lib.backoff import Backoff
from rtserver.model.errors import BusyError, StoreUnavailableError
from rtserver.model.events import EventDraft
from rtserver.model.watch import Watch
from rtserver.watch.change import REPORTED, Change, ChangeOutcome, ChangeTeller, project_id_of
from rtserver.watch.metrics import WatchMetrics
from rtserver.watch.ports import (
    ChangeLog,
    ChangeSource,
    HistoryLostError,
    LeaseLostError,
    WatchPlace,
    WatchPlaces,
)

MAX_POLL_S = 2.0
"""Most time between two looks at whether the holder of a watch is gone."""
NOTE_INTERVAL_S = 5.0
"""So often a quiet collection's place is noted: it must not grow older than the oplog."""
REPORT_INTERVAL_S = 60.0
RELEASE_S = 2.0
RETRY_S, MAX_RETRY_S = 0.2, 5.0
MAX_EXAMPLE_CHARS = 100
MAX_TOGETHER = 500
MAX_TOGETHER_BYTES = 1024 * 1024

_log = structlog.get_logger()


class WatchRecords(Protocol):
    """Keeps what went wrong with watches."""

    def history_lost(self, watch: Watch) -> None:
        """Changes were missed."""


class Watching:
    """One watch on this worker. `run` is the loop; the caller owns its task."""

    def __init__(
        self,
        watch: Watch,
        places: WatchPlaces,
        source: ChangeSource,
        log: ChangeLog,
        metrics: WatchMetrics,
        *,
        records: WatchRecords,
        holder: str,
        lease_s: float,
        max_data_bytes: int,
    ) -> None:
        """Make it.

        Args:
            watch: what to follow.
            places: how far it has come, and who follows it.
            source: the change streams.
            log: where events go.
            metrics: `watches_held`, `watch_...`.
            records: told where changes were missed.
            holder: names this process, and no other that there ever was.
            lease_s: how long another worker waits for a sign of life before it takes over.
            max_data_bytes: most bytes of an event's `data`.
        """
        self._watch = watch
        self._places = places
        self._source = source
        self._log = log
        self._metrics = metrics
        self._records = records
        self._holder = holder
        self._poll_s = min(lease_s / 3, MAX_POLL_S)
        self._teller = ChangeTeller(watch, max_data_bytes)
        self._backoff = Backoff(RETRY_S, MAX_RETRY_S)
        self._failing_since_s: float | None = None
        self._unreported: Counter[ChangeOutcome] = Counter()
        self._example: Any = None
        self._report_at_s = 0.0

    @property
    def name(self) -> str:
        """Of the watch."""
        return self._watch.name

    async def run(self) -> NoReturn:
        """Follow whenever nobody else does, until cancelled. Never gives up."""
        while True:
            wait_s = self._poll_s
            try:
                place = await self._places.claim(self.name, self._holder)
                if place is not None:
                    await self._hold(place)
            except* LeaseLostError:
                _log.warning("watch_taken_over", watch=self.name)
            except* (StoreUnavailableError, BusyError) as group:
                wait_s = self._backoff.next_s()
                error = group.exceptions[0]
                _log.warning(
                    "watch_interrupted",
                    watch=self.name,
                    error=str(error.__cause__ or error),
                    retry_s=wait_s,
                )
                await self._failed("MongoDB or the log did not answer")
            except* Exception as group:  # noqa: BLE001 - the next try may go well
                _log.exception("watch_failed", watch=self.name)
                await self._failed(f"{type(group.exceptions[0]).__name__}; see the server's log")
            await asyncio.sleep(wait_s)

    async def _failed(self, problem: str) -> None:
        """Let operators see that it does not move; what it does next shows whether it does."""
        now_s = asyncio.get_running_loop().time()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        self._metrics.watch_stalled_seconds.labels(self.name).set(now_s - self._failing_since_s)
        try:
            await self._places.failed(self.name, problem)
        except StoreUnavailableError as error:
            _log.debug("watch_failure_not_noted", watch=self.name, error=str(error))

    def _moved(self) -> None:
        self._backoff.reset()
        if self._failing_since_s is not None:
            self._failing_since_s = None
            self._metrics.watch_stalled_seconds.labels(self.name).set(0)

    async def _hold(self, place: WatchPlace) -> None:
        _log.info("watch_held", watch=self.name, anew=place.token is None)
        self._metrics.watches_held.inc()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._renew())
                group.create_task(self._follow(place))
        finally:
            self._metrics.watches_held.dec()
            await self._release()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            if not await self._places.renew(self.name, self._holder):
                raise LeaseLostError

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(RELEASE_S):
                await self._places.release(self.name, self._holder)
        except (StoreUnavailableError, TimeoutError) as error:
            _log.debug("watch_not_released", watch=self.name, error=str(error))  # it lapses

    async def _note(self, place: WatchPlace) -> None:
        if not await self._places.note(self.name, self._holder, place):
            raise LeaseLostError

    async def _follow(self, place: WatchPlace) -> None:
        while True:
            try:
                if place.resync is not None:
                    await self._tell_of_loss(place.resync)
                    place = WatchPlace(place.token)
                    await self._note(place)
                place = await self._read(place)
            except HistoryLostError as error:
                place = await self._begin_anew(place, error)

    async def _read(self, place: WatchPlace) -> WatchPlace:
        """Tell of what comes after a place, until the stream ends; the place where it did."""
        now_s = asyncio.get_running_loop().time
        noted_s = -math.inf if place.token is None else now_s()
        async with aclosing(self._source.batches(self._watch, place.token)) as batches:
            async for batch in batches:
                await self._tell(batch.changes)
                self._count(ChangeOutcome.UNREADABLE, batch.unreadable)
                place = WatchPlace(batch.token)
                if batch.changes or batch.is_end or now_s() - noted_s >= NOTE_INTERVAL_S:
                    await self._note(place)
                    noted_s = now_s()
                self._moved()
                self._report()
        return place

    async def _tell(self, changes: Sequence[Change]) -> None:
        """Append the events of changes. Where this fails, all of it can be done again."""
        outcomes: Counter[ChangeOutcome] = Counter()
        keyed: list[tuple[str, EventDraft]] = []
        size_bytes = 0
        for change in changes:
            told = self._teller.tell(change)
            outcomes[told.outcome] += 1
            if told.outcome in REPORTED:
                self._example = change.document_id
            if told.draft is None:
                continue
            keyed.append((change.key, told.draft))
            size_bytes += told.size_bytes
            if len(keyed) >= MAX_TOGETHER or size_bytes >= MAX_TOGETHER_BYTES:
                await self._publish(keyed)
                keyed, size_bytes = [], 0
        await self._publish(keyed)
        for outcome, count in outcomes.items():
            self._count(outcome, count)

    def _count(self, outcome: ChangeOutcome, count: int) -> None:
        if count:
            self._metrics.changed(outcome, count)
            if outcome in REPORTED:
                self._unreported[outcome] += count

    async def _publish(self, keyed: list[tuple[str, EventDraft]]) -> None:
        if not keyed:
            return
        # A key that is known with other content is this change again: the document, which is read
        # as it is now, was changed once more meanwhile.
        backoff = Backoff(RETRY_S, MAX_RETRY_S)
        while True:
            try:
                await self._log.publish_each(keyed)
            except LogBusyError:
                await backoff.wait()
            else:
                return

    def _report(self) -> None:
        """Log what was left out: at once, and then once a minute."""
        now_s = asyncio.get_running_loop().time()
        if not self._unreported or now_s < self._report_at_s:
            return
        _log.warning(
            "watch_changes_not_told",
            watch=self.name,
            **{outcome.value: count for outcome, count in self._unreported.items()},
            example=str(self._example)[:MAX_EXAMPLE_CHARS],
        )
        self._unreported.clear()
        self._report_at_s = now_s + REPORT_INTERVAL_S

    async def _begin_anew(self, place: WatchPlace, error: HistoryLostError) -> WatchPlace:
        """Go on from now, and note first that projects have to be told."""
        _log.error("watch_history_lost", watch=self.name, error=str(error.__cause__ or error))
        self._metrics.watch_history_lost_total.inc()
        self._records.history_lost(self._watch)
        async with aclosing(self._source.batches(self._watch, None)) as batches:
            token = (await anext(batches)).token
        lost = json.dumps(place.token, sort_keys=True, default=str)
        place = WatchPlace(token, hashlib.sha256(lost.encode()).hexdigest())
        await self._note(place)
        return place

    async def _tell_of_loss(self, resync: str) -> None:
        values = await self._source.projects(self._watch)
        projects = [project_id_of(value) for value in values]
        keyed = [
            (f"watch:{resync}:{project_id}", self._teller.resync(project_id))
            for project_id in dict.fromkeys(projects)
            if project_id is not None
        ]
        for index in range(0, len(keyed), MAX_TOGETHER):
            await self._publish(keyed[index : index + MAX_TOGETHER])
        _log.warning("watch_resync_told", watch=self.name, projects=len(keyed))
