"""What the server counts and measures, for Prometheus.

The registry is the object's own, so that several servers in one process don't share numbers. Every
label value comes from a closed set and its series exists from the start: a rate over a series that
appears with its first event misses that event, and a peer can't make series at will.
"""

import asyncio
import enum
from collections import deque
from collections.abc import Iterator
from http import HTTPMethod, HTTPStatus
from typing import NoReturn, Protocol, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from rtserver.audit.record.actions import Outcome
from rtserver.auth.tokens import RefusalReason
from rtserver.delivery.wire_forms import Encoding
from rtserver.model.close_codes import CloseCode
from rtserver.watch.change import ChangeOutcome

OTHER = "other"
"""The label for what is in none of the sets: a peer chooses close codes, methods and paths."""

_NAMESPACE = "rtserver"
_FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_QUEUED_S = (0.01, 0.02, 0.03, 0.04, 0.045, 0.05, 0.06, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5)
_LAG_INTERVAL_S = 0.1
_LAG_WINDOW_SAMPLES = 600


class RunKind(enum.StrEnum):
    """What a run does."""

    VALIDATION = "validation"
    ITERATION = "iteration"


class RunOutcome(enum.StrEnum):
    """How a run ended. Passed and failed are verdicts on a proposal; error is our trouble."""

    PASSED = "passed"
    FAILED = "failed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    ERROR = "error"


RUN_OUTCOMES = {
    RunKind.VALIDATION: (
        RunOutcome.PASSED,
        RunOutcome.FAILED,
        RunOutcome.CANCELLED,
        RunOutcome.ERROR,
    ),
    RunKind.ITERATION: (RunOutcome.COMPLETED, RunOutcome.CANCELLED, RunOutcome.ERROR),
}


class ResumeOutcome(enum.StrEnum):
    """What a client that asked for a position got."""

    FRESH = "fresh"
    NOTHING_MISSED = "nothing_missed"
    REPLAYED = "replayed"
    LOST = "lost"


_METHODS = tuple(
    method.value
    for method in (
        HTTPMethod.GET,
        HTTPMethod.HEAD,
        HTTPMethod.POST,
        HTTPMethod.PUT,
        HTTPMethod.PATCH,
        HTTPMethod.DELETE,
        HTTPMethod.OPTIONS,
    )
)
_STATUSES = tuple(
    str(status.value)
    for status in (
        HTTPStatus.SWITCHING_PROTOCOLS,
        HTTPStatus.OK,
        HTTPStatus.CREATED,
        HTTPStatus.ACCEPTED,
        HTTPStatus.NO_CONTENT,
        HTTPStatus.NOT_MODIFIED,
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.CONFLICT,
        HTTPStatus.PRECONDITION_FAILED,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
)
# 1000 to 1006 are the peer's and Tornado's own ends of a connection (RFC 6455 section 7.4.1).
_CLOSE_CODES = ("1000", "1005", "1006", *(str(code.value) for code in CloseCode))


def _known(value: str, known: tuple[str, ...]) -> str:
    return value if value in known else OTHER


class _WithoutCreationTimes(Collector):
    """A registry less the time of creation that comes with each series.

    They would double what is encoded on the event loop at each scrape, and all of them are the
    process's start, which `process_start_time_seconds` tells already.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """Every metric, filtered; they are copies made for this call."""
        for metric in self._registry.collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


class LogMetrics(Protocol):
    """What is measured of a log: `Metrics` itself for the events, `AuditMetrics` for the audit."""

    events_published_total: Counter
    events_delivered_total: Counter
    publish_duration_seconds: Histogram
    delivery_latency_seconds: Histogram
    publish_queue_bytes: Gauge
    tail_up: Gauge
    tail_restarts_total: Counter


class AuditMetrics:
    """The metrics of the audit log, as `Metrics.audit`. In Prometheus: `rtserver_audit_...`.

    Attributes:
        events_published_total, events_delivered_total, publish_duration_seconds,
        delivery_latency_seconds, publish_queue_bytes, tail_up, tail_restarts_total: as in
            `Metrics`, of the log `audit`; there `records` takes the place of `events`.
        records_total: acts recorded, by `outcome`.
        records_dropped_total: acts that could not be recorded.
        queue_bytes: records that are not in the spool yet.
        queued_seconds: how long the oldest of a batch was in memory alone: what was recorded in
            that time is lost where the worker is killed.
        spool_bytes: records on disk that are not in MongoDB yet.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def name(rest: str) -> str:
            return f"{_NAMESPACE}_audit_{rest}"

        def counter(rest: str, documentation: str, *labels: str) -> Counter:
            return Counter(name(rest), documentation, labels, registry=registry)

        def gauge(rest: str, documentation: str) -> Gauge:
            return Gauge(name(rest), documentation, registry=registry)

        def histogram(rest: str, documentation: str) -> Histogram:
            return Histogram(name(rest), documentation, buckets=_FAST_S, registry=registry)

        self.events_published_total = counter(
            "records_published", "Audit records that this worker appended to the log"
        )
        self.events_delivered_total = counter(
            "records_delivered", "Audit records times the admins that each was handed to"
        )
        self.publish_duration_seconds = histogram(
            "publish_duration_seconds", "One append to the audit log, until it is durable"
        )
        self.delivery_latency_seconds = histogram(
            "delivery_latency_seconds", "From a batch's arrival from the audit log to its fan-out"
        )
        self.publish_queue_bytes = gauge(
            "publish_queue_bytes", "Audit records on their way to MongoDB"
        )
        self.tail_up = gauge("tail_up", "Whether the audit log is followed")
        self.tail_restarts_total = counter(
            "tail_restarts", "Times the audit log's cursor had to be opened again"
        )
        self.records_total = counter("records", "Acts recorded", "outcome")
        self.records_dropped_total = counter("records_dropped", "Acts that could not be recorded")
        self.queue_bytes = gauge("queue_bytes", "Audit records that are not in the spool yet")
        self.queued_seconds = Histogram(
            name("queued_seconds"),
            "How long the oldest record of a batch was in memory, until it was in the spool",
            buckets=_QUEUED_S,
            registry=registry,
        )
        self.spool_bytes = gauge("spool_bytes", "Audit records on disk that are not in MongoDB yet")
        for outcome in Outcome:
            self.records_total.labels(outcome.value)


class Metrics:
    """Every metric of one worker. In Prometheus each name starts with `rtserver_`.

    Attributes that carry labels have a method here that takes only what those labels may be; the
    others are used as they are: `metrics.events_published_total.inc()`.

    Attributes:
        registry: holds these metrics, and the process's memory, files and garbage collection.
        audit: those of the audit log.
        connections: open now, by `transport`.
        connections_opened_total: by `transport`.
        connections_closed_total: by `code`.
        events_published_total: events that this worker appended to the log.
        events_delivered_total: events times the connections that each was handed to.
        publish_duration_seconds: one append to the log, until it is durable.
        delivery_latency_seconds: from a batch's arrival from the log to its fan-out: the barrier,
            and the sending.
        publish_queue_bytes: events that wait to be appended.
        tail_up: 1 while the log is followed, else 0.
        tail_restarts_total: times the log's cursor had to be opened again.
        resume_total: by `outcome`.
        outbox_overflow_total: connections closed for being too slow.
        runs_started_total: by `kind`.
        runs_ended_total: by `kind` and `outcome`.
        active_runs: under way on this worker, by `kind`.
        token_refused_total: by `reason`.
        http_requests_total: by `method` and `status`.
        watches_held: followed collections that this worker reads now.
        watch_changes_total: changes of followed collections, by `outcome`.
        watch_history_lost_total: times that changes were missed.
        event_loop_lag_seconds: how much later than asked for the event loop woke its sampler.
        event_loop_lag_max_seconds: the largest of the last 60 s.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._lags_s: deque[float] = deque(maxlen=_LAG_WINDOW_SAMPLES)
        self.audit = AuditMetrics(self.registry)

        self.connections = self._gauge("connections", "Open connections", "transport")
        self.connections_opened_total = self._counter(
            "connections_opened", "Connections opened", "transport"
        )
        self.connections_closed_total = self._counter(
            "connections_closed", "Connections closed", "code"
        )
        self.events_published_total = self._counter(
            "events_published", "Events that this worker appended to the log"
        )
        self.events_delivered_total = self._counter(
            "events_delivered", "Events times the connections that each was handed to"
        )
        self.publish_duration_seconds = self._histogram(
            "publish_duration_seconds", "One append to the log, until it is durable"
        )
        self.delivery_latency_seconds = self._histogram(
            "delivery_latency_seconds", "From a batch's arrival from the log to its fan-out"
        )
        self.publish_queue_bytes = self._gauge(
            "publish_queue_bytes", "Events that wait to be appended to the log"
        )
        self.tail_up = self._gauge("tail_up", "Whether the log is followed")
        self.tail_restarts_total = self._counter(
            "tail_restarts", "Times the log's cursor had to be opened again"
        )
        self.resume_total = self._counter("resume", "Positions that clients asked for", "outcome")
        self.outbox_overflow_total = self._counter(
            "outbox_overflow", "Connections closed for being too slow"
        )
        self.runs_started_total = self._counter("runs_started", "Runs started", "kind")
        self.runs_ended_total = self._counter("runs_ended", "Runs ended", "kind", "outcome")
        self.active_runs = self._gauge("active_runs", "Runs under way on this worker", "kind")
        self.token_refused_total = self._counter("token_refused", "Tokens refused", "reason")
        self.http_requests_total = self._counter(
            "http_requests", "HTTP requests answered", "method", "status"
        )
        self.watches_held = self._gauge(
            "watches_held", "Followed collections that this worker reads now"
        )
        self.watch_changes_total = self._counter(
            "watch_changes", "Changes of followed collections", "outcome"
        )
        self.watch_history_lost_total = self._counter(
            "watch_history_lost", "Times that changes of a followed collection were missed"
        )
        self.event_loop_lag_seconds = self._histogram(
            "event_loop_lag_seconds", "How much too late the event loop woke its sampler"
        )
        self.event_loop_lag_max_seconds = self._gauge(
            "event_loop_lag_max_seconds", "The largest event loop lag of the last 60 s"
        )
        self.event_loop_lag_max_seconds.set_function(lambda: max(self._lags_s, default=0.0))
        self._create_series()

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, namespace=_NAMESPACE, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(name, documentation, labels, namespace=_NAMESPACE, registry=self.registry)

    def _histogram(self, name: str, documentation: str) -> Histogram:
        return Histogram(
            name, documentation, buckets=_FAST_S, namespace=_NAMESPACE, registry=self.registry
        )

    def _create_series(self) -> None:
        for transport in Encoding:
            self.connections.labels(transport.value)
            self.connections_opened_total.labels(transport.value)
        for code in (*_CLOSE_CODES, OTHER):
            self.connections_closed_total.labels(code)
        for resumed in ResumeOutcome:
            self.resume_total.labels(resumed)
        for kind, outcomes in RUN_OUTCOMES.items():
            self.runs_started_total.labels(kind)
            self.active_runs.labels(kind)
            for outcome in outcomes:
                self.runs_ended_total.labels(kind, outcome)
        for reason in get_args(RefusalReason):
            self.token_refused_total.labels(reason)
        for changed in ChangeOutcome:
            self.watch_changes_total.labels(changed.value)
        for method in (*_METHODS, OTHER):
            for status in (*_STATUSES, OTHER):
                self.http_requests_total.labels(method, status)

    def connection_opened(self, transport: Encoding) -> None:
        """Count a connection as open."""
        self.connections.labels(transport.value).inc()
        self.connections_opened_total.labels(transport.value).inc()

    def connection_closed(self, transport: Encoding, code: int | None) -> None:
        """Count a connection as closed.

        Args:
            transport: the same as when it was opened.
            code: the close code, whoever chose it; None where there was none, which counts as 1006
                (RFC 6455 section 7.1.5).
        """
        self.connections.labels(transport.value).dec()
        label = _known(str(1006 if code is None else int(code)), _CLOSE_CODES)
        self.connections_closed_total.labels(label).inc()

    def resumed(self, outcome: ResumeOutcome) -> None:
        """Count what became of a client's position."""
        self.resume_total.labels(outcome).inc()

    def run_started(self, kind: RunKind) -> None:
        """Count a run as under way on this worker."""
        self.runs_started_total.labels(kind).inc()
        self.active_runs.labels(kind).inc()

    def run_ended(self, kind: RunKind, outcome: RunOutcome) -> None:
        """Count a run of this worker as ended.

        Raises:
            ValueError: runs of this kind don't end so.
        """
        if outcome not in RUN_OUTCOMES[kind]:
            raise ValueError(f"a run of kind {kind} does not end as {outcome}")
        self.active_runs.labels(kind).dec()
        self.runs_ended_total.labels(kind, outcome).inc()

    def token_refused(self, reason: RefusalReason) -> None:
        """Count a token that proved nothing."""
        self.token_refused_total.labels(reason).inc()

    def http_request(self, method: str, status: int) -> None:
        """Count an answered request, whatever method the client came up with."""
        self.http_requests_total.labels(
            _known(method, _METHODS), _known(str(int(status)), _STATUSES)
        ).inc()

    def watch_changed(self, outcome: ChangeOutcome, count: int) -> None:
        """Count what became of changes of followed collections."""
        self.watch_changes_total.labels(outcome.value).inc(count)

    async def watch_loop_lag(self, interval_s: float = _LAG_INTERVAL_S) -> NoReturn:
        """Sample the event loop's lag until cancelled; the caller owns the task.

        Args:
            interval_s: time between samples. A stall shorter than this may fall between two.
        """
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + interval_s
            await asyncio.sleep(interval_s)
            lag_s = max(0.0, loop.time() - due_s)
            self._lags_s.append(lag_s)
            self.event_loop_lag_seconds.observe(lag_s)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics as text, and its content type.

        Args:
            accept: the request's Accept header; it may ask for OpenMetrics.
        """
        encode, content_type = choose_encoder(accept)
        return encode(_WithoutCreationTimes(self.registry)), content_type
