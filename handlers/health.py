"""`/healthz`, `/readyz`, `/metrics`, the key of the audit log: for the operator's tools."""

from typing import Literal, TypedDict

from handlers.base.handler import BaseHandler
from handlers.base.operations import Answer, operation


class HealthJson(TypedDict):
    """The process answers."""

    status: Literal["ok"]


class ReadyJson(TypedDict):
    """The worker serves."""

    status: Literal["ready"]


class NotReadyJson(TypedDict):
    """The worker does not serve.

    Attributes:
        problems: what is in the way, by the part that it is about.
    """

    status: Literal["not_ready"]
    problems: dict[str, str]


class HealthHandler(BaseHandler):
    """Whether the process answers at all."""

    @operation("getHealth", {200: Answer((HealthJson,))}, needs_token=False)
    def get(self) -> None:
        """Say whether the process answers at all."""
        self.json({"status": "ok"})


class ReadyHandler(BaseHandler):
    """Whether the worker can serve: MongoDB reachable, tail running, not stopping."""

    @operation(
        "getReadiness",
        {
            200: Answer((ReadyJson,), description="It serves"),
            503: Answer((NotReadyJson,), description="It does not"),
        },
        needs_token=False,
    )
    def get(self) -> None:
        """Say whether the worker can serve: MongoDB reachable, tail running, not stopping."""
        problems = self.context.readiness.problems()
        if problems:
            self.json({"status": "not_ready", "problems": problems}, 503)
        else:
            self.json({"status": "ready"})


class MetricsHandler(BaseHandler):
    """Prometheus."""

    @operation(
        "getMetrics",
        {200: Answer((str,), media_types=("text/plain",), description="The metrics")},
        needs_token=False,
    )
    def get(self) -> None:
        """Give the worker's metrics, in the form of Prometheus that the request accepts."""
        body, content_type = self.context.metrics.render(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.finish(body)


class AuditKeysHandler(BaseHandler):
    """The public keys of the audit log's checkpoints."""

    @operation(
        "getAuditKeys",
        {200: Answer((str,), media_types=("text/plain",), description="The keys, a line each")},
        needs_token=False,
    )
    def get(self) -> None:
        """Give what signed checkpoints of the audit log are checked with; nothing without a key.

        A line is `NAME+ID+KEY`, as c2sp.org/signed-note tools take it. Who doubts the server has to
        have it from elsewhere.
        """
        key = self.context.audit_key
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("" if key is None else f"{key}\n")
