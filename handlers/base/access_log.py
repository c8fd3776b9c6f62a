"""The access log: one line a request, or one for some of them, without tokens."""

import logging
from random import Random
from typing import Any

import structlog
from tornado import web

from handlers.base.handler import BaseHandler, shown_address
from handlers.base.metrics import HttpMetrics

_log = structlog.get_logger(__name__)  # named, or whose it is would be looked up for each line


def access_log(metrics: HttpMetrics, every: int = 1, chance: Random | None = None) -> Any:
    """A `log_function` for Tornado. Requests that the server failed at always have their line.

    Args:
        metrics: count every request, whether it has a line or not.
        every: one line for so many requests; 0: for none.
        chance: which ones; by chance, since each n-th may be the same client's each time.
    """
    chosen = chance or Random()  # noqa: S311 - it picks lines of a log

    def log_request(handler: web.RequestHandler) -> None:
        status = int(handler.get_status())  # Tornado sets some as http.HTTPStatus
        metrics.http_request(handler.request.method or "", status)
        is_failure = status >= 500
        log = _log.bind()
        level = logging.WARNING if is_failure else logging.INFO
        if not (log.is_enabled_for(level) and (is_failure or _is_chosen(every, chosen))):
            return
        write = log.warning if is_failure else log.info
        write(
            "http_request",
            method=handler.request.method,
            path=shown_address(handler.request.uri),
            status=status,
            duration_ms=round(handler.request.request_time() * 1000, 1),
            ip=handler.client_ip if isinstance(handler, BaseHandler) else handler.request.remote_ip,
        )

    return log_request


def _is_chosen(every: int, chance: Random) -> bool:
    return every == 1 or (every > 1 and chance.randrange(every) == 0)
