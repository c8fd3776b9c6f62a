"""The handler context: the parts of the core that handlers hand over to."""

from collections.abc import Mapping
from dataclasses import dataclass

from handlers.base.metrics import HttpMetrics
from handlers.base.tornado_answers import UnreadAnswers
from rtserver.audit.live.messages import AuditLogName
from rtserver.audit.live.service import AuditWatch
from rtserver.audit.record.auditor import Auditor
from rtserver.auth.client_address import ClientAddresses
from rtserver.auth.origins import Origins
from rtserver.eventlog.answering import Answering
from rtserver.eventlog.api import EventLog
from rtserver.eventlog.history import History
from rtserver.interface.snapshot import Snapshots
from rtserver.lib.tasks import TaskOwner
from rtserver.lib.timer_wheel import TimerWheel
from rtserver.observe.metrics import MetricsRegistry
from rtserver.observe.readiness import Readiness
from rtserver.reviews.comments import CommentService
from rtserver.reviews.editing import ProposalService
from rtserver.reviews.locks import LockService
from rtserver.reviews.proposals import ProposalStore
from rtserver.revisions.archiving import ArchivingService
from rtserver.revisions.reviewing import ReviewService
from rtserver.revisions.service import RevisionService
from rtserver.revisions.spec_changes import SpecChanges
from rtserver.revisions.threads import ThreadService
from rtserver.runs.iteration.factory import Iterations
from rtserver.runs.service import RunService
from rtserver.runs.streams import RunStreams
from rtserver.runs.validation.work import Validations
from rtserver.sessions.connection_admin import Connections
from rtserver.sessions.gateway import Gateway
from rtserver.sessions.project_sessions import ProjectSessions
from rtserver.sessions.request_rates import RequestRates
from rtserver.sessions.revocation import RevocationService


@dataclass(frozen=True, slots=True)
class HandlerContext:
    """The parts of the server that handlers hand over to. One object for all of them.

    Attributes:
        access_log_every: so many requests have one line in the access log; 0: none has.
        audit_key: what checkpoints of the audit log are checked with; None where none are signed.
        answering: whether MongoDB answers, so that nobody is kept waiting where it does not.
        unread: what clients were answered and have not read.
        max_message_bytes: bound of a socket message and of one published event.
        ping_interval_s: how often a client is asked for a sign of life, or sent one.
        max_strangers_per_address: SockJS sessions of one address that have not said hello yet.
        pong_timeout_s: how long a client may show no sign of life after it was asked for one.
    """

    gateway: Gateway
    answering: Answering
    rates: RequestRates
    unread: UnreadAnswers
    sessions: ProjectSessions
    log: EventLog
    history: History
    proposals: ProposalStore
    editing: ProposalService
    revisions: RevisionService
    reviews: ReviewService
    archiving: ArchivingService
    spec_changes: SpecChanges
    comments: CommentService
    threads: ThreadService
    locks: LockService
    runs: RunService
    run_streams: RunStreams
    iterations: Iterations
    snapshots: Snapshots
    validations: Validations
    metrics: MetricsRegistry
    http_metrics: HttpMetrics
    access_log_every: int
    origins: Origins
    readiness: Readiness
    tasks: TaskOwner
    auditor: Auditor
    audit_key: str | None
    audit_watches: Mapping[AuditLogName, AuditWatch]
    connections: Connections
    revocation: RevocationService
    addresses: ClientAddresses
    max_message_bytes: int
    ping_interval_s: float
    pong_timeout_s: float
    max_strangers_per_address: int
    wheel: TimerWheel
