"""The metrics of the audit archive. They are there only where an archive is asked for."""

import math

from prometheus_client import Counter, Gauge

from rtserver.observe.metrics import MetricsRegistry


class ArchiveMetrics:
    """In Prometheus each name starts with `rtserver_audit_archive_`.

    Attributes:
        up: 1 while all is well with the archive as this worker sees it, else 0.
        active: 1 on the worker that archives.
        position: sequence number of the newest archived record.
        behind_records: records in the log that are not archived yet.
        margin_bytes: how much can be recorded before what is not archived is overwritten.
        margin_seconds: how long that takes at the present rate; +Inf where nothing is recorded.
        records_total: records that this worker archived.
        missing_records_total: records that were overwritten before they were archived.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        def gauge(name: str, documentation: str) -> Gauge:
            return registry.gauge(f"audit_archive_{name}", documentation)

        def counter(name: str, documentation: str) -> Counter:
            return registry.counter(f"audit_archive_{name}", documentation)

        self.up = gauge("up", "Whether the audit archive can be written, or another worker does")
        self.active = gauge("active", "Whether this worker is the one that archives")
        self.position = gauge("position", "Sequence number of the newest archived record")
        self.behind_records = gauge("behind_records", "Records that are not archived yet")
        self.margin_bytes = gauge(
            "margin_bytes",
            "What can be recorded before a record that is not archived is overwritten",
        )
        self.margin_seconds = gauge(
            "margin_seconds", "How long it takes at the present rate to use up the margin"
        )
        self.records_total = counter("records", "Records that this worker archived")
        self.missing_records_total = counter(
            "missing_records", "Records that were overwritten before they were archived"
        )
        self.margin_bytes.set(math.nan)
        self.margin_seconds.set(math.nan)
