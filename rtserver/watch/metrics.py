"""The metrics of followed collections: those held, their changes, history lost."""

from rtserver.observe.metrics import MetricsRegistry
from rtserver.watch.change import ChangeOutcome


class WatchMetrics:
    """What is counted of followed collections.

    Attributes:
        watches_held: followed collections that this worker reads now.
        watch_changes_total: changes of followed collections, by `outcome`.
        watch_history_lost_total: times that changes were missed.
        watch_stalled_seconds: by `watch`, for how long it has failed without a move; else 0.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self.watches_held = registry.gauge(
            "watches_held", "Followed collections that this worker reads now"
        )
        self.watch_changes_total = registry.counter(
            "watch_changes",
            "Changes of followed collections",
            ["outcome"],
            [[outcome] for outcome in ChangeOutcome],
        )
        self.watch_history_lost_total = registry.counter(
            "watch_history_lost", "Times that changes of a followed collection were missed"
        )

        self.watch_stalled_seconds = registry.gauge(
            "watch_stalled_seconds",
            "For how long a followed collection has failed on this worker and not moved",
            ["watch"],
        )

    def changed(self, outcome: ChangeOutcome, count: int) -> None:
        """Count what became of changes of followed collections."""
        self.watch_changes_total.labels(outcome).inc(count)
