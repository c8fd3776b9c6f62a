"""Which requests have a line in the access log."""

import logging
from random import Random
from unittest.mock import Mock

import pytest
import structlog
from structlog.testing import capture_logs

from handlers.base.access_log import access_log
from handlers.base.metrics import HttpMetrics
from rtserver.observe.metrics import MetricsRegistry
from tests.support.metrics import value_of


def answered(status: int) -> Mock:
    handler = Mock(client_ip="192.0.2.1")
    handler.get_status.return_value = status
    handler.request.method = "GET"
    handler.request.uri = "/api?token=secret"
    handler.request.request_time.return_value = 0.001
    return handler


@pytest.mark.parametrize(("every", "least", "most"), [(1, 400, 400), (0, 0, 0), (10, 20, 60)])
def test_as_many_requests_have_a_line_as_are_wanted(every: int, least: int, most: int) -> None:
    registry = MetricsRegistry()
    log = access_log(HttpMetrics(registry), every, Random(1))
    with capture_logs() as lines:
        for _ in range(400):
            log(answered(200))
    assert least <= len(lines) <= most
    assert not any("secret" in str(line) for line in lines)
    assert value_of(registry, "http_requests_total", method="GET", status="200") == 400


@pytest.mark.parametrize("every", [0, 10])
def test_what_the_server_failed_at_always_has_one(every: int) -> None:
    log = access_log(HttpMetrics(MetricsRegistry()), every, Random(1))
    with capture_logs() as lines:
        for _ in range(20):
            log(answered(503))
    assert [line["log_level"] for line in lines] == ["warning"] * 20


def test_what_is_not_written_is_not_made_up() -> None:
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        registry = MetricsRegistry()
        log = access_log(HttpMetrics(registry))
        quiet = answered(200)
        log(quiet)
        quiet.request.request_time.assert_not_called()
        with capture_logs() as lines:
            log(answered(500))
        assert [line["status"] for line in lines] == [500]
        assert value_of(registry, "http_requests_total", method="GET", status="200") == 1
    finally:
        structlog.configure(wrapper_class=before)
