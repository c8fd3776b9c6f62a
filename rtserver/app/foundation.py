"""The foundation of a worker: settings, metrics, shutdown and readiness, for every builder."""

import functools
import platform
from dataclasses import dataclass

from handlers.base.metrics import HttpMetrics
from handlers.base.tornado_listener import ListenerMetrics
from rtserver.audit.archive.metrics import ArchiveMetrics
from rtserver.audit.checkpoints.metrics import CheckpointMetrics
from rtserver.audit.record.metrics import AuditMetrics
from rtserver.config.settings import Settings
from rtserver.eventlog.metrics import LogMetrics
from rtserver.lib.lease_trust import LeaseTrust
from rtserver.lib.shutdown import Shutdown
from rtserver.model.version import VERSION
from rtserver.observe.loop_lag import LoopLag
from rtserver.observe.metrics import MetricsRegistry
from rtserver.observe.readiness import Readiness
from rtserver.revisions.committing import CommitMetrics
from rtserver.runs.llm.metrics import LlmMetrics
from rtserver.runs.metrics import RunMetrics
from rtserver.sessions.metrics import SessionMetrics
from rtserver.watch.metrics import WatchMetrics
from rtserver.webhooks.metrics import WebhookMetrics


class WorkerMetrics:
    """The metrics that every worker has. Some are there only where what they are of is asked for.

    Attributes:
        registry: holds them all.
        log, audit_log, stranger_log: of the log of events, and of both audit logs.
        strangers: of the recording of what strangers were refused.
        commits: of the repositories in workspaces.
        audit, sessions, runs, llm, watch, webhooks, http, listener, loop_lag: of the packages of
            these names.
    """

    def __init__(self) -> None:
        self.registry = MetricsRegistry()
        runs = (VERSION, platform.python_version())
        build = self.registry.gauge("build_info", "What runs; always 1", ["version", "python"])
        build.labels(*runs).set(1)
        self.log = LogMetrics(self.registry)
        self.audit_log = LogMetrics(self.registry, items="records", prefix="audit_")
        self.stranger_log = LogMetrics(self.registry, items="records", prefix="stranger_")
        self.audit = AuditMetrics(self.registry)
        self.strangers = AuditMetrics(self.registry, prefix="stranger_audit_")
        self.sessions = SessionMetrics(self.registry)
        self.commits = CommitMetrics(self.registry)
        self.runs = RunMetrics(self.registry)
        self.llm = LlmMetrics(self.registry)
        self.watch = WatchMetrics(self.registry)
        self.webhooks = WebhookMetrics(self.registry)
        self.http = HttpMetrics(self.registry)
        self.listener = ListenerMetrics(self.registry)
        self.loop_lag = LoopLag(self.registry)

    @functools.cached_property
    def archive(self) -> ArchiveMetrics:
        """Of the audit archive: once, though a start may be tried more than once."""
        return ArchiveMetrics(self.registry)

    @functools.cached_property
    def checkpoints(self) -> CheckpointMetrics:
        """Of signed checkpoints, likewise."""
        return CheckpointMetrics(self.registry)


@dataclass(frozen=True, slots=True)
class Foundation:
    """What every builder is given.

    Attributes:
        settings: of the worker.
        metrics: of the worker.
        shutdown: takes the step that stops what a builder starts.
        readiness: asks those parts that the worker can't serve without.
        lease_trust: says whether other workers' leases that look lapsed are.
    """

    settings: Settings
    metrics: WorkerMetrics
    shutdown: Shutdown
    readiness: Readiness
    lease_trust: LeaseTrust
