import asyncio
import time
from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from rtserver.auth.tokens import RefusalReason
from rtserver.delivery.wire_forms import Encoding
from rtserver.model.close_codes import CloseCode
from rtserver.observe.metrics import (
    RUN_OUTCOMES,
    Metrics,
    ResumeOutcome,
    RunKind,
    RunOutcome,
)


def _samples(metrics: Metrics) -> list[Sample]:
    text = metrics.render()[0].decode()
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


def _value(metrics: Metrics, name: str, **labels: str) -> float:
    (value,) = (
        s.value for s in _samples(metrics) if s.name == f"rtserver_{name}" and s.labels == labels
    )
    return value


def _series(metrics: Metrics) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    return {(sample.name, frozenset(sample.labels.items())) for sample in _samples(metrics)}


def test_the_metrics_of_two_servers_in_one_process_are_apart() -> None:
    first, second = Metrics(), Metrics()
    first.events_published_total.inc(3)
    assert _value(first, "events_published_total") == 3
    assert _value(second, "events_published_total") == 0


def test_every_label_value_is_there_from_the_start() -> None:
    values = {(s.name, *sorted(s.labels.items())): s.value for s in _samples(Metrics())}

    def value(name: str, **labels: str) -> float:
        return values[f"rtserver_{name}", *sorted(labels.items())]

    for encoding in Encoding:
        assert value("connections", transport=encoding.value) == 0
        assert value("connections_opened_total", transport=encoding.value) == 0
    for code in (*CloseCode, 1000, 1005, 1006):
        assert value("connections_closed_total", code=str(int(code))) == 0
    for resumed in ResumeOutcome:
        assert value("resume_total", outcome=resumed.value) == 0
    for kind, outcomes in RUN_OUTCOMES.items():
        assert value("runs_started_total", kind=kind.value) == 0
        assert value("active_runs", kind=kind.value) == 0
        for outcome in outcomes:
            labels = {"kind": kind.value, "outcome": outcome.value}
            assert value("runs_ended_total", **labels) == 0
    for reason in get_args(RefusalReason):
        assert value("token_refused_total", reason=reason) == 0
    assert value("http_requests_total", method="GET", status="200") == 0


def test_no_use_adds_a_series() -> None:
    metrics = Metrics()
    before = _series(metrics)
    for encoding in Encoding:
        metrics.connection_opened(encoding)
        for code in (None, 1000, 3333, 4999, *CloseCode):
            metrics.connection_closed(encoding, code)
    for resumed in ResumeOutcome:
        metrics.resumed(resumed)
    for kind, outcomes in RUN_OUTCOMES.items():
        for outcome in outcomes:
            metrics.run_started(kind)
            metrics.run_ended(kind, outcome)
    for reason in get_args(RefusalReason):
        metrics.token_refused(reason)
    metrics.http_request("GET", 200)
    assert _series(metrics) == before


@settings(max_examples=10)  # a page of metrics takes long to make and to read
@given(st.lists(st.tuples(st.text(max_size=20), st.integers(0, 1_000_000)), max_size=30))
def test_a_peer_can_not_make_series(requests: list[tuple[str, int]]) -> None:
    metrics = Metrics()
    before = _series(metrics)
    for method, number in requests:
        metrics.http_request(method, number)
        metrics.connection_closed(Encoding.SSE, number)
    assert _series(metrics) == before


def test_connections_are_counted_by_transport_and_close_code() -> None:
    metrics = Metrics()
    metrics.connection_opened(Encoding.WEBSOCKET)
    metrics.connection_opened(Encoding.WEBSOCKET)
    metrics.connection_opened(Encoding.SSE)
    metrics.connection_closed(Encoding.WEBSOCKET, CloseCode.TOO_SLOW)
    assert _value(metrics, "connections", transport="websocket") == 1
    assert _value(metrics, "connections", transport="sse") == 1
    assert _value(metrics, "connections_opened_total", transport="websocket") == 2
    assert _value(metrics, "connections_closed_total", code="4008") == 1


def test_a_connection_without_a_close_code_counts_as_1006_and_a_strange_one_as_other() -> None:
    metrics = Metrics()
    metrics.connection_closed(Encoding.WEBSOCKET, None)
    metrics.connection_closed(Encoding.WEBSOCKET, 4999)
    assert _value(metrics, "connections_closed_total", code="1006") == 1
    assert _value(metrics, "connections_closed_total", code="other") == 1


def test_runs_are_counted_by_kind_and_outcome() -> None:
    metrics = Metrics()
    metrics.run_started(RunKind.VALIDATION)
    metrics.run_started(RunKind.VALIDATION)
    metrics.run_started(RunKind.ITERATION)
    metrics.run_ended(RunKind.VALIDATION, RunOutcome.FAILED)
    assert _value(metrics, "active_runs", kind="validation") == 1
    assert _value(metrics, "active_runs", kind="iteration") == 1
    assert _value(metrics, "runs_started_total", kind="validation") == 2
    assert _value(metrics, "runs_ended_total", kind="validation", outcome="failed") == 1


def test_a_run_can_not_end_as_its_kind_does_not() -> None:
    metrics = Metrics()
    metrics.run_started(RunKind.ITERATION)
    with pytest.raises(ValueError, match="iteration"):
        metrics.run_ended(RunKind.ITERATION, RunOutcome.PASSED)
    assert _value(metrics, "active_runs", kind="iteration") == 1


def test_requests_are_counted_by_method_and_status() -> None:
    metrics = Metrics()
    metrics.http_request("POST", 201)
    metrics.http_request("BREW", 418)
    assert _value(metrics, "http_requests_total", method="POST", status="201") == 1
    assert _value(metrics, "http_requests_total", method="other", status="other") == 1


def test_refusals_and_resumes_are_counted() -> None:
    metrics = Metrics()
    metrics.token_refused("expired")
    metrics.resumed(ResumeOutcome.LOST)
    assert _value(metrics, "token_refused_total", reason="expired") == 1
    assert _value(metrics, "resume_total", outcome="lost") == 1


def test_metrics_without_labels_are_used_as_they_are() -> None:
    metrics = Metrics()
    metrics.events_delivered_total.inc(500)
    metrics.outbox_overflow_total.inc()
    metrics.tail_restarts_total.inc()
    metrics.tail_up.set(1)
    metrics.publish_queue_bytes.set(4096)
    with metrics.publish_duration_seconds.time():
        pass
    metrics.delivery_latency_seconds.observe(0.003)
    assert _value(metrics, "events_delivered_total") == 500
    assert _value(metrics, "outbox_overflow_total") == 1
    assert _value(metrics, "tail_restarts_total") == 1
    assert _value(metrics, "tail_up") == 1
    assert _value(metrics, "publish_queue_bytes") == 4096
    assert _value(metrics, "publish_duration_seconds_count") == 1
    assert _value(metrics, "delivery_latency_seconds_sum") == 0.003
    assert _value(metrics, "delivery_latency_seconds_bucket", le="0.0025") == 0
    assert _value(metrics, "delivery_latency_seconds_bucket", le="0.005") == 1


def test_the_process_itself_is_measured() -> None:
    names = {sample.name for sample in _samples(Metrics())}
    assert {"process_resident_memory_bytes", "python_gc_collections_total"} <= names


def test_the_format_is_what_the_scraper_asks_for() -> None:
    metrics = Metrics()
    body, content_type = metrics.render()
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert b"_created" not in body
    body, content_type = metrics.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


@pytest.mark.gen_test
async def test_a_blocked_event_loop_is_seen() -> None:
    metrics = Metrics()
    watcher = asyncio.create_task(metrics.watch_loop_lag(interval_s=0.01))
    try:
        async with asyncio.timeout(5):
            # A metric has no event to wait for.
            while not _value(metrics, "event_loop_lag_seconds_count"):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            time.sleep(0.2)  # noqa: ASYNC251 - the fault that is to be seen
            while _value(metrics, "event_loop_lag_max_seconds") < 0.15:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
    assert _value(metrics, "event_loop_lag_seconds_sum") >= 0.15
