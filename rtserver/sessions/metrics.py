"""The metrics of sessions: connections by transport and close code, resumes, refused tokens."""

from typing import get_args

from rtserver.auth.tokens import RefusalReason
from rtserver.delivery.resume import ResumeOutcome
from rtserver.delivery.wire_forms import Encoding
from rtserver.model.close_codes import CloseCode
from rtserver.observe.metrics import OTHER, MetricsRegistry, known_or_other

# 1000 to 1006 are the peer's and Tornado's own ends of a connection (RFC 6455 section 7.4.1).
_CLOSE_CODES = ("1000", "1005", "1006", *(str(code.value) for code in CloseCode))


class SessionMetrics:
    """What is counted of sessions, those of the audit log included.

    Attributes:
        connections: open now, by `transport`.
        connections_opened_total: by `transport`.
        connections_closed_total: by `code`.
        resume_total: by `outcome`.
        outbox_overflow_total: connections closed for being too slow.
        token_refused_total: by `reason`.
        refused_by_rate_total: by `what` was too often, and by what it is counted (`by`).
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        transports = [[name] for name in dict.fromkeys(e.transport for e in Encoding)]
        self.connections = registry.gauge(
            "connections", "Open connections", ["transport"], transports
        )
        self.connections_opened_total = registry.counter(
            "connections_opened", "Connections opened", ["transport"], transports
        )
        self.connections_closed_total = registry.counter(
            "connections_closed",
            "Connections closed",
            ["code"],
            [[code] for code in (*_CLOSE_CODES, OTHER)],
        )
        self.resume_total = registry.counter(
            "resume",
            "Positions that clients asked for",
            ["outcome"],
            [[outcome] for outcome in ResumeOutcome],
        )
        self.outbox_overflow_total = registry.counter(
            "outbox_overflow", "Connections closed for being too slow"
        )
        self.token_refused_total = registry.counter(
            "token_refused",
            "Tokens refused",
            ["reason"],
            [[reason] for reason in get_args(RefusalReason)],
        )
        self.refused_by_rate_total = registry.counter(
            "refused_by_rate",
            "Requests and connections refused for coming too often",
            ["what", "by"],
            [[what, by] for what in ("request", "connection") for by in ("user", "address")],
        )

    def connection_opened(self, encoding: Encoding) -> None:
        """Count a connection as open."""
        self.connections.labels(encoding.transport).inc()
        self.connections_opened_total.labels(encoding.transport).inc()

    def connection_closed(self, encoding: Encoding, code: int | None) -> None:
        """Count a connection as closed.

        Args:
            encoding: the same as when it was opened.
            code: the close code, from either side; None where there was none, which counts as 1006
                (RFC 6455 section 7.1.5).
        """
        self.connections.labels(encoding.transport).dec()
        label = known_or_other(str(1006 if code is None else int(code)), _CLOSE_CODES)
        self.connections_closed_total.labels(label).inc()

    def resumed(self, outcome: ResumeOutcome) -> None:
        """Count what became of a client's position."""
        self.resume_total.labels(outcome).inc()

    def token_refused(self, reason: RefusalReason) -> None:
        """Count a token that proved nothing."""
        self.token_refused_total.labels(reason).inc()
