"""`/healthz`, `/readyz`, `/metrics`: for the operator's tools."""

from handlers.base import BaseHandler


class HealthHandler(BaseHandler):
    """Whether the process answers at all."""

    def get(self) -> None:
        """Always 200."""
        self.json({"status": "ok"})


class ReadyHandler(BaseHandler):
    """Whether the worker can serve: MongoDB reachable, tail running, not stopping."""

    def get(self) -> None:
        """200, or 503 with what is wrong."""
        problems = self.context.readiness.problems()
        if problems:
            self.json({"status": "not_ready", "problems": problems}, 503)
        else:
            self.json({"status": "ready"})


class MetricsHandler(BaseHandler):
    """Prometheus."""

    def get(self) -> None:
        """Answer in the form that the request accepts."""
        body, content_type = self.context.metrics.render(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.finish(body)
