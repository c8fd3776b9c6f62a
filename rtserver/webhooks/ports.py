"""Ports of webhooks: what they ask of the store, the log and the network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rtserver.webhooks.message import WebhookMessage
from rtserver.webhooks.schedule import FeedState


class LeaseLostError(Exception):
    """Another worker tells the endpoint now."""


@dataclass(frozen=True, slots=True)
class HeldEndpoint:
    """An endpoint that this worker may tell.

    Attributes:
        feeds: by project, how far it was told; a project that is not there has not begun.
        disabled: why it is told nothing; None where it is.
        nudges: how often an operator asked for an attempt at once.
    """

    feeds: Mapping[str, FeedState]
    disabled: str | None = None
    nudges: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up.

    Attributes:
        message: what was to be told.
        endpoint_id: whom.
        project_id: of the event.
        reason: why it was given up.
    """

    message: WebhookMessage
    endpoint_id: str
    project_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt.

    Attributes:
        status: the HTTP status; None where there was no answer.
        problem: what was wrong, in words; None where it was accepted.
        retry_after_s: for how long the endpoint wants to be left alone, where it says so.
    """

    status: int | None
    problem: str | None = None
    retry_after_s: float | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the endpoint wants nothing more, ever (RFC 9110 section 15.5.11)."""
        return self.status == 410


class WebhookPlaces(Protocol):
    """Where places are kept, and who tells which endpoint. Lease times are the store's own.

    All raise StoreUnavailableError where MongoDB does not answer.
    """

    async def claim(self, endpoint_id: str, holder: str) -> HeldEndpoint | None:
        """Take an endpoint that nobody tells; None where another does."""

    async def renew(self, endpoint_id: str, holder: str) -> int | None:
        """Give the holder a new lease, and say how many nudges there were; None: it has lost it."""

    async def note(self, endpoint_id: str, holder: str, project_id: str, state: FeedState) -> bool:
        """Keep how far an endpoint was told; False where another tells it."""

    async def disable(self, endpoint_id: str, holder: str, reason: str) -> bool:
        """Tell an endpoint nothing more; False where another tells it."""

    async def release(self, endpoint_id: str, holder: str) -> None:
        """Let another worker have it."""


class DeadLetters(Protocol):
    """Where messages that were given up are kept. Raises StoreUnavailableError."""

    async def add(self, letter: DeadLetter) -> None:
        """Keep one; a second time is harmless."""


class WebhookPoster(Protocol):
    """Posts messages."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Make one attempt, in a bounded time. Raises nothing of the network."""

    async def close(self) -> None:
        """Close idle connections."""


class WebhookRecords(Protocol):
    """Records for the audit."""

    def dead_lettered(self, endpoint_id: str, project_id: str, count: int, reason: str) -> None:
        """Messages were given up."""

    def gap(self, endpoint_id: str, project_id: str, after: str, before: str, reason: str) -> None:
        """Events were missed."""

    def disabled(self, endpoint_id: str, reason: str) -> None:
        """An endpoint wants nothing more."""
