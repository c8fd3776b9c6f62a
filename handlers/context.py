"""What handlers are given of the core."""

from dataclasses import dataclass

from rtserver.audit import Auditor
from rtserver.audit_watch import AuditWatch
from rtserver.client_address import ClientAddresses
from rtserver.comments import CommentService
from rtserver.connections import Connections
from rtserver.gateway import Gateway
from rtserver.history import History
from rtserver.iterations import Iterations
from rtserver.locks import LockService
from rtserver.log import EventLog
from rtserver.metrics import Metrics
from rtserver.origins import Origins
from rtserver.proposals import ProposalService, ProposalStore
from rtserver.readiness import Readiness
from rtserver.runs import RunService
from rtserver.snapshot import Snapshots
from rtserver.tasks import TaskOwner
from rtserver.validator import Validator
from rtserver.wheel import TimerWheel


@dataclass(frozen=True, slots=True)
class HandlerContext:
    """The parts of the server that handlers hand over to. One object for all of them.

    Attributes:
        max_message_bytes: bound of a socket message and of one published event.
        ping_interval_s: how often a client is asked for a sign of life, or sent one.
        pong_timeout_s: how long a client may show no sign of life after it was asked for one.
    """

    gateway: Gateway
    log: EventLog
    history: History
    proposals: ProposalStore
    editing: ProposalService
    comments: CommentService
    locks: LockService
    runs: RunService
    iterations: Iterations
    snapshots: Snapshots
    validator: Validator
    metrics: Metrics
    origins: Origins
    readiness: Readiness
    tasks: TaskOwner
    auditor: Auditor
    audit_watch: AuditWatch
    connections: Connections
    addresses: ClientAddresses
    max_message_bytes: int
    ping_interval_s: float
    pong_timeout_s: float
    wheel: TimerWheel
