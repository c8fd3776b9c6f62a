"""An endpoint, told by one worker at a time on a lease."""

import asyncio
import time
from typing import NoReturn

import structlog

from rtserver.lib.backoff import Backoff
from rtserver.model.errors import BusyError, StoreUnavailableError
from rtserver.model.webhook import WebhookEndpoint
from rtserver.webhooks.feed import EndpointGoneError, Feed, FeedParts
from rtserver.webhooks.ports import HeldEndpoint, LeaseLostError, WebhookPlaces
from rtserver.webhooks.schedule import FeedState

MAX_POLL_S = 2.0
"""Most time between two looks at whether the holder of an endpoint is gone."""
RETRY_S, MAX_RETRY_S = 0.2, 5.0
RELEASE_S = 2.0
MAX_UNDER_WAY = 4
"""Attempts at one endpoint at the same moment, each for another project."""
GONE = "it answered 410 Gone"

_log = structlog.get_logger()


class EndpointDelivery:
    """One endpoint on this worker. `run` is the loop; the caller owns its task."""

    def __init__(
        self,
        endpoint: WebhookEndpoint,
        places: WebhookPlaces,
        parts: FeedParts,
        *,
        holder: str,
        lease_s: float,
    ) -> None:
        """Make it.

        Args:
            endpoint: whom to tell.
            places: how far it was told, and who tells it.
            parts: what its feeds work with.
            holder: names this process, and no other that there ever was.
            lease_s: how long another worker waits for a sign of life before it takes over.
        """
        self._endpoint = endpoint
        self._places = places
        self._parts = parts
        self._holder = holder
        self._poll_s = min(lease_s / 3, MAX_POLL_S)
        self._backoff = Backoff(RETRY_S, MAX_RETRY_S)
        self._feeds: dict[str, Feed] = {}

    @property
    def id(self) -> str:
        """Of the endpoint."""
        return self._endpoint.id

    def wake(self, project_id: str) -> None:
        """There is something new in a project's log."""
        feed = self._feeds.get(project_id)
        if feed is not None:
            feed.wake()

    async def run(self) -> NoReturn:
        """Tell whenever nobody else does, until cancelled. Never gives up."""
        while True:
            wait_s = self._poll_s
            try:
                held = await self._places.claim(self.id, self._holder)
                self._backoff.reset()
                if held is not None and held.disabled is None:
                    await self._hold(held)
            except* LeaseLostError:
                _log.warning("webhook_taken_over", endpoint=self.id)
            except* EndpointGoneError:
                await self._disable()
            except* (StoreUnavailableError, BusyError) as group:
                wait_s = self._backoff.next_s()
                error = group.exceptions[0]
                _log.warning(
                    "webhook_interrupted",
                    endpoint=self.id,
                    error=str(error.__cause__ or error),
                    retry_s=wait_s,
                )
            except* Exception:  # noqa: BLE001 - the next try may go well
                _log.exception("webhook_failed", endpoint=self.id)
            await asyncio.sleep(wait_s)

    async def _hold(self, held: HeldEndpoint) -> None:
        _log.info("webhook_held", endpoint=self.id)
        metrics = self._parts.metrics
        metrics.held.inc()
        turns = asyncio.Semaphore(MAX_UNDER_WAY)
        self._feeds = {
            project_id: Feed(
                self._endpoint,
                project_id,
                self._parts,
                held.feeds.get(project_id),
                turns=turns,
                note=self._note,
            )
            for project_id in self._endpoint.projects
        }
        gone = False
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._renew(held.nudges))
                for feed in self._feeds.values():
                    group.create_task(feed.run())
        except* EndpointGoneError:
            gone = True
            raise
        finally:
            metrics.held.dec()
            metrics.waiting_events.labels(self.id).set(0)
            metrics.failing_seconds.labels(self.id).set(0)
            self._feeds = {}
            if not gone:  # who disables it still has to hold it
                await self._release()

    async def _note(self, project_id: str, state: FeedState) -> None:
        if not await self._places.note(self.id, self._holder, project_id, state):
            raise LeaseLostError

    async def _renew(self, nudges: int) -> None:
        while True:
            self._measure()
            await asyncio.sleep(self._poll_s)
            found = await self._places.renew(self.id, self._holder)
            if found is None:
                raise LeaseLostError
            if found != nudges:
                nudges = found
                for feed in self._feeds.values():
                    feed.nudge()

    def _measure(self) -> None:
        metrics = self._parts.metrics
        feeds = self._feeds.values()
        metrics.waiting_events.labels(self.id).set(sum(feed.waiting for feed in feeds))
        failing = [feed.state for feed in feeds if feed.state is not None and feed.state.failures]
        since_s = min((state.failing_since_s for state in failing), default=None)
        now_s = time.time()
        metrics.failing_seconds.labels(self.id).set(0 if since_s is None else now_s - since_s)

    async def _disable(self) -> None:
        _log.error("webhook_disabled", endpoint=self.id, reason=GONE)
        try:
            if await self._places.disable(self.id, self._holder, GONE):
                self._parts.records.disabled(self.id, GONE)
        except StoreUnavailableError as error:
            # It is asked once more then, and will say the same.
            _log.warning("webhook_not_disabled", endpoint=self.id, error=str(error))

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(RELEASE_S):
                await self._places.release(self.id, self._holder)
        except (StoreUnavailableError, TimeoutError) as error:
            _log.debug("webhook_not_released", endpoint=self.id, error=str(error))  # it lapses
