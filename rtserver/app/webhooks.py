"""Webhooks of a worker."""

import secrets
from collections.abc import Sequence
from typing import Any

from rtserver.app.audit import Audit
from rtserver.app.event_log import EventLog
from rtserver.app.foundation import Foundation
from rtserver.app.mongo import MongoAccess
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.config.settings import Settings
from rtserver.model.events import EventPack
from rtserver.webhooks.delivering import EndpointDelivery
from rtserver.webhooks.feed import FeedParts
from rtserver.webhooks.ports import WebhookPoster
from store.webhooks.dead_letters import MongoDeadLetters
from store.webhooks.places import MongoWebhookPlaces


class Webhooks:
    """What this worker does for the endpoints of webhooks.

    Attributes:
        deliveries: one for each endpoint.
    """

    def __init__(self, deliveries: Sequence[EndpointDelivery]) -> None:
        self.deliveries = deliveries

    def saw(self, packs: Sequence[EventPack]) -> None:
        """There are new events in the log."""
        for delivery in self.deliveries:
            for pack in packs:
                delivery.wake(pack.project_id)


async def build_webhooks(
    base: Foundation, mongo: MongoAccess, events: EventLog, audit: Audit
) -> Webhooks:
    """Tell the endpoints that the settings name.

    Raises:
        StoreUnavailableError: MongoDB does not answer.
    """
    settings = base.settings
    if not settings.webhooks:
        return Webhooks(())
    letters = MongoDeadLetters(mongo.database)
    await letters.prepare()
    poster = build_poster(settings)
    base.shutdown.push("webhooks-connections", poster.close)
    tasks = base.shutdown.tasks("webhooks")
    parts = FeedParts(
        events.writer, poster, letters, _WebhookRecords(audit.auditor), base.metrics.webhooks
    )
    places = MongoWebhookPlaces(mongo.database, lease_s=settings.lease_s)
    holder = f"{settings.worker_id}:{secrets.token_hex(8)}"
    deliveries = [
        EndpointDelivery(endpoint, places, parts, holder=holder, lease_s=settings.lease_s)
        for endpoint in settings.webhooks
    ]
    for delivery in deliveries:
        tasks.start(delivery.run(), name=f"webhook {delivery.id}")
    return Webhooks(deliveries)


def build_poster(settings: Settings) -> WebhookPoster:
    """What makes attempts."""
    # Not above: an HTTP client takes memory and time to load, and most workers have no webhooks.
    from rtserver.webhooks.posting import HttpPoster  # noqa: PLC0415

    return HttpPoster(
        private=settings.webhook_private == "on", timeout_s=settings.webhook_timeout_s
    )


class _WebhookRecords:
    """Records what becomes of webhooks."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor

    def dead_lettered(self, endpoint_id: str, project_id: str, count: int, reason: str) -> None:
        self._failed(
            Action.WEBHOOK_DEAD_LETTERED, endpoint_id, reason, project_id=project_id, count=count
        )

    def gap(self, endpoint_id: str, project_id: str, after: str, before: str, reason: str) -> None:
        where = {"project_id": project_id, "after": after, "before": before}
        self._failed(Action.WEBHOOK_GAP, endpoint_id, reason, **where)

    def disabled(self, endpoint_id: str, reason: str) -> None:
        self._failed(Action.WEBHOOK_DISABLED, endpoint_id, reason)

    def _failed(self, action: Action, endpoint_id: str, reason: str, **details: Any) -> None:
        by, target = Acting(), endpoint_id
        self._auditor.record(action, Outcome.FAILED, by=by, target=target, reason=reason, **details)
