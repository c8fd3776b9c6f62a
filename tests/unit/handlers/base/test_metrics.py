from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.base.metrics import HttpMetrics
from rtserver.observe.metrics import MetricsRegistry
from tests.support.metrics import series, value_of


def test_requests_are_counted_by_method_and_status() -> None:
    registry = MetricsRegistry()
    metrics = HttpMetrics(registry)
    assert value_of(registry, "http_requests_total", method="GET", status="200") == 0
    metrics.http_request("POST", 201)
    metrics.http_request("BREW", 418)
    assert value_of(registry, "http_requests_total", method="POST", status="201") == 1
    assert value_of(registry, "http_requests_total", method="other", status="other") == 1


@settings(max_examples=10)  # a page of metrics takes long to make and to read
@given(st.lists(st.tuples(st.text(max_size=20), st.integers(0, 1_000_000)), max_size=30))
def test_a_peer_can_not_make_series(requests: list[tuple[str, int]]) -> None:
    registry = MetricsRegistry()
    metrics = HttpMetrics(registry)
    before = series(registry)
    for method, status in requests:
        metrics.http_request(method, status)
    assert series(registry) == before
