"""The metrics of checkpoints. They are there only where a key to sign them is set."""

from rtserver.observe.metrics import MetricsRegistry

PLACES = (("directory",), ("witness",))
"""The labels of each place that there may be."""


class CheckpointMetrics:
    """In Prometheus each name starts with `rtserver_audit_checkpoint`.

    Attributes:
        signed_total: checkpoints that this worker signed.
        not_placed_total: attempts to put one outside that failed, by `place`.
        places_up: 1 while the last attempt worked, else 0, by `place`.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self.signed_total = registry.counter(
            "audit_checkpoints_signed", "Checkpoints that this worker signed"
        )
        self.not_placed_total = registry.counter(
            "audit_checkpoints_not_placed",
            "Attempts to put a checkpoint outside that failed",
            ["place"],
            PLACES,
        )
        self.places_up = registry.gauge(
            "audit_checkpoint_place_up",
            "Whether the last attempt to put a checkpoint outside worked",
            ["place"],
        )
