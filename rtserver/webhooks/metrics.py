"""The metrics of webhooks: attempts, what waits, what was given up."""

import enum

from rtserver.observe.metrics import MetricsRegistry


class Attempt(enum.StrEnum):
    """What came of an attempt."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


class WebhookMetrics:
    """What is counted of webhooks.

    Attributes:
        held: endpoints that this worker tells now.
        attempts_total: attempts, by `endpoint` and `outcome`.
        dead_letters_total: messages that were given up, by `endpoint`.
        gaps_total: times that events were missed, by `endpoint`.
        waiting_events: events of the log that this worker has yet to look at, by `endpoint`.
        failing_seconds: by `endpoint`, for how long it has accepted nothing; else 0.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self.held = registry.gauge("webhooks_held", "Endpoints that this worker tells now")
        self.attempts_total = registry.counter(
            "webhook_attempts", "Attempts to deliver a message", ["endpoint", "outcome"]
        )
        self.dead_letters_total = registry.counter(
            "webhook_dead_letters", "Messages that were given up", ["endpoint"]
        )
        self.gaps_total = registry.counter(
            "webhook_gaps", "Times that events of the log were missed", ["endpoint"]
        )
        self.waiting_events = registry.gauge(
            "webhook_waiting_events", "Events that an endpoint was not told of yet", ["endpoint"]
        )
        self.failing_seconds = registry.gauge(
            "webhook_failing_seconds",
            "For how long an endpoint has accepted nothing that it was told",
            ["endpoint"],
        )
