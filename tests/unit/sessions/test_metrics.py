from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtserver.auth.tokens import RefusalReason
from rtserver.delivery.resume import ResumeOutcome
from rtserver.delivery.wire_forms import Encoding
from rtserver.model.close_codes import CloseCode
from rtserver.observe.metrics import MetricsRegistry
from rtserver.sessions.metrics import SessionMetrics
from tests.support.metrics import series, value_of


@pytest.fixture
def registry() -> MetricsRegistry:
    return MetricsRegistry()


@pytest.fixture
def metrics(registry: MetricsRegistry) -> SessionMetrics:
    return SessionMetrics(registry)


def test_no_use_adds_a_series(registry: MetricsRegistry, metrics: SessionMetrics) -> None:
    before = series(registry)
    for encoding in Encoding:
        metrics.connection_opened(encoding)
        for code in (None, 1000, 3333, 4999, *CloseCode):
            metrics.connection_closed(encoding, code)
    for resumed in ResumeOutcome:
        metrics.resumed(resumed)
    for reason in get_args(RefusalReason):
        metrics.token_refused(reason)
    metrics.outbox_overflow_total.inc()
    assert series(registry) == before
    for code in (*CloseCode, 1000, 1005, 1006):
        assert value_of(registry, "connections_closed_total", code=str(int(code))) >= 0


@settings(max_examples=10)  # a page of metrics takes long to make and to read
@given(st.lists(st.integers(0, 1_000_000), max_size=30))
def test_a_peer_can_not_make_series(codes: list[int]) -> None:
    registry = MetricsRegistry()
    metrics = SessionMetrics(registry)
    before = series(registry)
    for code in codes:
        metrics.connection_closed(Encoding.SSE, code)
    assert series(registry) == before


def test_connections_are_counted_by_transport_and_close_code(
    registry: MetricsRegistry, metrics: SessionMetrics
) -> None:
    metrics.connection_opened(Encoding.WEBSOCKET)
    metrics.connection_opened(Encoding.WEBSOCKET)
    metrics.connection_opened(Encoding.SSE)
    metrics.connection_closed(Encoding.WEBSOCKET, CloseCode.TOO_SLOW)
    assert value_of(registry, "connections", transport="websocket") == 1
    assert value_of(registry, "connections", transport="sse") == 1
    assert value_of(registry, "connections_opened_total", transport="websocket") == 2
    assert value_of(registry, "connections_closed_total", code="4008") == 1


def test_a_connection_without_a_close_code_counts_as_1006_and_a_strange_one_as_other(
    registry: MetricsRegistry, metrics: SessionMetrics
) -> None:
    metrics.connection_closed(Encoding.WEBSOCKET, None)
    metrics.connection_closed(Encoding.WEBSOCKET, 4999)
    assert value_of(registry, "connections_closed_total", code="1006") == 1
    assert value_of(registry, "connections_closed_total", code="other") == 1


def test_refusals_and_resumes_are_counted(
    registry: MetricsRegistry, metrics: SessionMetrics
) -> None:
    metrics.token_refused("expired")
    metrics.resumed(ResumeOutcome.LOST)
    metrics.outbox_overflow_total.inc()
    assert value_of(registry, "token_refused_total", reason="expired") == 1
    assert value_of(registry, "resume_total", outcome="lost") == 1
    assert value_of(registry, "outbox_overflow_total") == 1
