"""Stand-ins for what webhooks ask of others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rtserver.model.webhook import WebhookEndpoint
from rtserver.observe.metrics import MetricsRegistry
from rtserver.webhooks.feed import FeedParts
from rtserver.webhooks.metrics import WebhookMetrics
from rtserver.webhooks.ports import Answer, DeadLetter
from tests.support.fakes import MemoryLog

ENDPOINT = WebhookEndpoint("ci", "https://hooks.example.com", (b"s" * 32,), ("p1",), retry_s=100.0)
REFUSED = Answer(503, "status 503")


@dataclass
class Told:
    """Receives, keeps and records what webhooks do.

    Attributes:
        now_s: the time.
        bodies: of all attempts.
        ids: likewise.
        answers: of the next attempts; then all are accepted.
        on_attempt: called before each answer.
        letters, records: what was handed over.
    """

    now_s: float = 0.0
    bodies: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    on_attempt: Callable[[], None] = lambda: None
    letters: list[DeadLetter] = field(default_factory=list)
    records: list[tuple[object, ...]] = field(default_factory=list)

    async def post(self, _url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.bodies.append(body)
        self.ids.append(headers["webhook-id"])
        self.on_attempt()
        return self.answers.pop(0) if self.answers else Answer(204)

    async def close(self) -> None:
        pass

    async def add(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    def dead_lettered(self, *given: object) -> None:
        self.records.append(("dead_lettered", *given))

    def gap(self, *given: object) -> None:
        self.records.append(("gap", *given))

    def disabled(self, *given: object) -> None:
        self.records.append(("disabled", *given))

    def parts(self, log: MemoryLog) -> FeedParts:
        """What feeds work with."""
        metrics = WebhookMetrics(MetricsRegistry())
        return FeedParts(log, self, self, self, metrics, now_s=lambda: self.now_s)
