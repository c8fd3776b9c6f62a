"""The access log: one line a request, without tokens."""

from typing import Any

import structlog
from tornado import web

from handlers.base.handler import shown_address
from handlers.base.metrics import HttpMetrics

_log = structlog.get_logger()


def access_log(metrics: HttpMetrics) -> Any:
    """A `log_function` for Tornado: one line a request, without tokens."""

    def log_request(handler: web.RequestHandler) -> None:
        status = int(handler.get_status())  # Tornado sets some as http.HTTPStatus
        metrics.http_request(handler.request.method or "", status)
        log = _log.warning if status >= 500 else _log.info
        log(
            "http_request",
            method=handler.request.method,
            path=shown_address(handler.request.uri),
            status=status,
            duration_ms=round(handler.request.request_time() * 1000, 1),
            ip=getattr(handler, "client_ip", handler.request.remote_ip),
        )

    return log_request
