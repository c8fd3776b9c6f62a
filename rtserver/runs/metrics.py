"""The metrics of runs: started, ended and under way, by kind."""

from rtserver.model.run import FINAL_STATES, RunKind, RunState
from rtserver.observe.metrics import MetricsRegistry


class RunMetrics:
    """What is counted of this worker's runs.

    Attributes:
        runs_started_total: by `kind`.
        runs_ended_total: by `kind` and `outcome`, which is the final state.
        active_runs: under way on this worker, by `kind`.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        kinds = [[kind] for kind in RunKind]
        self.runs_started_total = registry.counter("runs_started", "Runs started", ["kind"], kinds)
        self.runs_ended_total = registry.counter(
            "runs_ended",
            "Runs ended",
            ["kind", "outcome"],
            [[kind, state] for kind, states in FINAL_STATES.items() for state in states],
        )
        self.active_runs = registry.gauge(
            "active_runs", "Runs under way on this worker", ["kind"], kinds
        )

    def run_started(self, kind: RunKind) -> None:
        """Count a run as under way on this worker."""
        self.runs_started_total.labels(kind).inc()
        self.active_runs.labels(kind).inc()

    def run_ended(self, kind: RunKind, state: RunState) -> None:
        """Count a run of this worker as ended.

        Raises:
            ValueError: runs of this kind don't end so.
        """
        if state not in FINAL_STATES[kind]:
            raise ValueError(f"a run of kind {kind} does not end as {state}")
        self.active_runs.labels(kind).dec()
        self.runs_ended_total.labels(kind, state).inc()
