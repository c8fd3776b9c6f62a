"""What a worker answers before it serves: that it lives, and what it waits for."""

import json

from tornado import web

from handlers.base.access_log import access_log
from handlers.base.metrics import HttpMetrics
from handlers.base.problems import PROBLEM_TYPE
from handlers.base.tornado_body import EarlyHandler
from rtserver.observe.readiness import Readiness

RETRY_AFTER_S = 2


class StartingHandler(EarlyHandler):
    """Every address of a worker that does not serve yet."""

    goes_on = True

    def initialize(self, readiness: Readiness) -> None:
        """Take what knows what the start waits for."""
        self._readiness = readiness

    def set_default_headers(self) -> None:
        """As everywhere, see `handlers.base.handler`; and nothing of this is to be kept."""
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")
        self.clear_header("Server")

    def prepare(self) -> None:
        """Answer, whatever the method is."""
        match self.request.path:
            case "/healthz":
                self._answer(200, {"status": "ok"})
            case "/readyz":
                problems = self._readiness.problems()
                self._answer(503, {"status": "not_ready", "problems": problems})
            case _:
                self.set_header("Retry-After", str(RETRY_AFTER_S))
                refusal = {
                    "type": "about:blank",
                    "title": "Service Unavailable",
                    "status": 503,
                    "detail": "The server is starting; try again in a moment",
                    "reason": "starting",
                    "retry_after_s": RETRY_AFTER_S,
                }
                self._answer(503, refusal, PROBLEM_TYPE)

    def _answer(
        self, status: int, document: dict[str, object], media_type: str = "application/json"
    ) -> None:
        self.set_status(status)
        self.set_header("Content-Type", media_type)
        self.finish(json.dumps(document))


def starting_application(
    readiness: Readiness, metrics: HttpMetrics, access_log_every: int = 1
) -> web.Application:
    """The Tornado application of a worker that does not serve yet.

    Args:
        readiness: what it waits for.
        metrics: count its answers.
        access_log_every: see `handlers.base.access_log`.
    """
    return web.Application(
        [(r".*", StartingHandler, {"readiness": readiness})],
        log_function=access_log(metrics, access_log_every),
        autoreload=False,
    )
