"""The metrics of audit recording: records, those dropped, and those not in MongoDB yet."""

from rtserver.audit.record.actions import Outcome
from rtserver.observe.metrics import MetricsRegistry

# Around the 50 ms within which a record is to be on disk.
_QUEUED_S = (0.01, 0.02, 0.03, 0.04, 0.045, 0.05, 0.06, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5)


class AuditMetrics:
    """In Prometheus each name starts with `rtserver_audit_`, or with another prefix.

    Args:
        registry: where the metrics are declared.
        prefix: tells the logs apart.

    Attributes:
        records_total: acts recorded, by `outcome`.
        records_dropped_total: acts that could not be recorded.
        queue_bytes: records that are not in the spool yet.
        queued_seconds: how long the oldest of a batch was in memory alone: what was recorded in
            that time is lost where the worker is killed.
        spool_bytes: records on disk that are not in MongoDB yet.
    """

    def __init__(self, registry: MetricsRegistry, *, prefix: str = "audit_") -> None:
        self.records_total = registry.counter(
            f"{prefix}records",
            "Acts recorded",
            ["outcome"],
            [[outcome.value] for outcome in Outcome],
        )
        self.records_dropped_total = registry.counter(
            f"{prefix}records_dropped", "Acts that could not be recorded"
        )
        self.queue_bytes = registry.gauge(
            f"{prefix}queue_bytes", "Audit records that are not in the spool yet"
        )
        self.queued_seconds = registry.histogram(
            f"{prefix}queued_seconds",
            "How long the oldest record of a batch was in memory, until it was in the spool",
            buckets=_QUEUED_S,
        )
        self.spool_bytes = registry.gauge(
            f"{prefix}spool_bytes", "Audit records on disk that are not in MongoDB yet"
        )
