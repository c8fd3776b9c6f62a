"""Webhooks for an operator's command, beside running workers."""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from rtserver.app.operator.logs import beside
from rtserver.app.operator.records import OperatorRecords, recorded
from rtserver.app.webhooks import build_poster
from rtserver.audit.record.actions import Action, Outcome
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError
from rtserver.model.webhook import WebhookEndpoint
from rtserver.webhooks.message import signed_headers
from rtserver.webhooks.ports import WebhookPoster
from store.webhooks.dead_letters import MongoDeadLetters
from store.webhooks.places import MongoWebhookPlaces


@dataclass(frozen=True, slots=True)
class SentAgain:
    """What came of sending dead letters again.

    Attributes:
        accepted: how many were accepted.
        problem: why the next one was not; None where there was none left.
    """

    accepted: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class WebhookAccess:
    """The endpoints' places and dead letters."""

    places: MongoWebhookPlaces
    letters: MongoDeadLetters
    _endpoints: dict[str, WebhookEndpoint]
    _poster: WebhookPoster
    _records: OperatorRecords

    async def enable(self, endpoint_id: str) -> None:
        """Have an endpoint told again, and at once.

        Raises:
            OperatorError: there is none of this id, or it can't be recorded.
        """
        self._records.record(Action.WEBHOOK_ENABLED, {"endpoint": endpoint_id})
        await self._records.stored()
        if not await self.places.enable(endpoint_id):
            raise OperatorError(f"no worker has told {endpoint_id!r} anything yet")

    async def send_again(self, endpoint_id: str) -> SentAgain:
        """Send the dead letters of an endpoint, the oldest first, until one is not accepted.

        Raises:
            OperatorError: RT_WEBHOOKS has no endpoint of this id.
        """
        endpoint = self._endpoints.get(endpoint_id)
        if endpoint is None:
            raise OperatorError(f"RT_WEBHOOKS has no endpoint {endpoint_id!r}")
        accepted, problem = 0, None
        async for letter in self.letters.listed(endpoint_id):
            message = letter.message
            headers = signed_headers(message.id, message.body, endpoint.secrets, at_s=time.time())
            problem = (await self._poster.post(endpoint.url, headers, message.body)).problem
            if problem is not None:
                break
            await self.letters.remove(message.id)
            accepted += 1
        self._records.record(
            Action.WEBHOOK_SENT_AGAIN,
            {"endpoint": endpoint_id, "accepted": accepted}
            | ({} if problem is None else {"reason": problem}),
            Outcome.ALLOWED if problem is None else Outcome.FAILED,
        )
        return SentAgain(accepted, problem)


@contextlib.asynccontextmanager
async def operator_webhooks(settings: Settings) -> AsyncIterator[WebhookAccess]:
    """Webhooks for an operator's command; what it changes is recorded.

    Raises:
        OperatorError: there is no MongoDB, or it takes no record.
    """
    poster = build_poster(settings)
    async with beside(settings) as database, recorded(settings, database) as records:
        try:
            yield WebhookAccess(
                MongoWebhookPlaces(database, lease_s=settings.lease_s),
                MongoDeadLetters(database),
                {endpoint.id: endpoint for endpoint in settings.webhooks},
                poster,
                records,
            )
        finally:
            await poster.close()
