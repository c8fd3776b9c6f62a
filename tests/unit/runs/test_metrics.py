import pytest

from rtserver.model.run import ACTIVE_STATES, FINAL_STATES, RunKind, RunState
from rtserver.observe.metrics import MetricsRegistry
from rtserver.runs.metrics import RunMetrics
from tests.support.metrics import series, value_of


def test_runs_are_counted_by_kind_and_final_state() -> None:
    registry = MetricsRegistry()
    metrics = RunMetrics(registry)
    metrics.run_started(RunKind.VALIDATION)
    metrics.run_started(RunKind.VALIDATION)
    metrics.run_started(RunKind.ITERATION)
    metrics.run_ended(RunKind.VALIDATION, RunState.FAILED)
    assert value_of(registry, "active_runs", kind="validation") == 1
    assert value_of(registry, "active_runs", kind="iteration") == 1
    assert value_of(registry, "runs_started_total", kind="validation") == 2
    assert value_of(registry, "runs_ended_total", kind="validation", outcome="failed") == 1


def test_no_run_adds_a_series() -> None:
    registry = MetricsRegistry()
    metrics = RunMetrics(registry)
    before = series(registry)
    for kind, states in FINAL_STATES.items():
        for state in states:
            metrics.run_started(kind)
            metrics.run_ended(kind, state)
    assert series(registry) == before


@pytest.mark.parametrize("state", [RunState.PASSED, *ACTIVE_STATES])
def test_a_run_can_not_end_as_its_kind_does_not(state: RunState) -> None:
    registry = MetricsRegistry()
    metrics = RunMetrics(registry)
    metrics.run_started(RunKind.ITERATION)
    with pytest.raises(ValueError, match="iteration"):
        metrics.run_ended(RunKind.ITERATION, state)
    assert value_of(registry, "active_runs", kind="iteration") == 1
