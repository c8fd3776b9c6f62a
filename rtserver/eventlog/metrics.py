"""The metrics of a log: the one of events, and the one of audit records."""

from rtserver.observe.metrics import MetricsRegistry


class LogMetrics:
    """What is measured of one log, from its publishers to the connections that are sent its items.

    Args:
        registry: where the metrics are declared.
        items: what the log holds; `events` or `records`, which is part of two metrics' names.
        prefix: goes before every name, so that two logs don't share numbers.

    Attributes:
        events_published_total: items that this worker appended to the log.
        events_delivered_total: items times the connections that each was handed to.
        publish_duration_seconds: one append to the log, until it is durable.
        delivery_latency_seconds: from a batch's arrival from the log to its fan-out: the barrier,
            and the sending.
        publish_queue_bytes: items that wait to be appended.
        tail_up: 1 while the log is followed, else 0.
        tail_restarts_total: times the log's cursor had to be opened again.
        log_horizon_seconds: how long ago the oldest that the log holds was stored.
        log_used_ratio: how full it is.
    """

    def __init__(
        self, registry: MetricsRegistry, *, items: str = "events", prefix: str = ""
    ) -> None:
        named = f"{prefix}{items}".replace("_", " ").capitalize()
        log = f"{prefix}log".replace("_", " ")
        self.events_published_total = registry.counter(
            f"{prefix}{items}_published", f"{named} that this worker appended to the log"
        )
        self.events_delivered_total = registry.counter(
            f"{prefix}{items}_delivered", f"{named} times the connections that each was handed to"
        )
        self.publish_duration_seconds = registry.histogram(
            f"{prefix}publish_duration_seconds", f"One append to the {log}, until it is durable"
        )
        self.delivery_latency_seconds = registry.histogram(
            f"{prefix}delivery_latency_seconds",
            f"From a batch's arrival from the {log} to its fan-out",
        )
        self.publish_queue_bytes = registry.gauge(
            f"{prefix}publish_queue_bytes", f"{named} that wait to be appended to the log"
        )
        self.tail_up = registry.gauge(f"{prefix}tail_up", f"Whether the {log} is followed")
        self.tail_restarts_total = registry.counter(
            f"{prefix}tail_restarts", f"Times the {log}'s cursor had to be opened again"
        )
        self.log_horizon_seconds = registry.gauge(
            f"{prefix}log_horizon_seconds", f"How long ago the oldest in the {log} was stored"
        )
        self.log_used_ratio = registry.gauge(
            f"{prefix}log_used_ratio", f"How full the {log} is; near 1 the oldest are overwritten"
        )
