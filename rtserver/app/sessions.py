"""Sessions of clients: who comes in, what they are given, and who is there."""

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rtserver.app.audit import Audit
from rtserver.app.delivery import AuditFeed, Delivery
from rtserver.app.documents import Documents
from rtserver.app.event_log import EventLog, Log
from rtserver.app.foundation import Foundation
from rtserver.app.presence import Presence, build_presence
from rtserver.app.runs import Runs
from rtserver.audit.live import commands as audit_commands
from rtserver.audit.live.commands import AuditCommands
from rtserver.audit.live.messages import AuditLogName
from rtserver.audit.live.service import AuditWatch
from rtserver.auth.tokens import TokenVerifier
from rtserver.config.settings import Settings
from rtserver.lib.byte_budget import ByteBudget
from rtserver.lib.rate_limit import RateTable
from rtserver.lib.tasks import TaskOwner
from rtserver.lib.timer_wheel import TimerWheel
from rtserver.model.events import AUDIT_PROJECT
from rtserver.runs import commands as run_commands
from rtserver.runs.commands import RunCommands
from rtserver.sessions import commands, publishing
from rtserver.sessions.admission import Admission
from rtserver.sessions.audited_commands import RecordedRefusals, audited
from rtserver.sessions.closer import ConnectionCloser
from rtserver.sessions.commands import ProjectCommands
from rtserver.sessions.connection_admin import Connections
from rtserver.sessions.gateway import Gateway
from rtserver.sessions.ports import NoPresence
from rtserver.sessions.project_sessions import ProjectSessions
from rtserver.sessions.publishing import SocketPublishing
from rtserver.sessions.request_rates import Counted, RateLimits, RequestRates
from rtserver.sessions.revocation import EndedByUser, RevocationService
from rtserver.sessions.services import CommandTable, SessionServices, SessionSettings
from rtserver.sessions.table import SessionTable

TICK_S = 0.05
RECORDED = {
    **commands.RECORDED,
    **publishing.RECORDED,
    **run_commands.RECORDED,
    **audit_commands.RECORDED,
}
"""What the audit log calls the commands of sessions, of whatever kind these are."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Ways in, and what is known of who is there.

    Attributes:
        table: the sessions themselves.
        tasks: owns what sessions and their transports do beside.
        wheel: their timers.
        rates: how often somebody may come.
        of_projects: makes sessions.
        of_audit: by the name of an audit log, what makes sessions on it.
        connections, revocation: how operators see them and end them.
        take_limits: lets in by the limits of these settings from now on.
    """

    table: SessionTable
    tasks: TaskOwner
    wheel: TimerWheel
    gateway: Gateway
    rates: RequestRates
    presence: Presence
    of_projects: ProjectSessions
    of_audit: Mapping[AuditLogName, AuditWatch]
    connections: Connections
    revocation: RevocationService
    take_limits: Callable[[Settings], None]


async def build_sessions(
    base: Foundation,
    verifier: TokenVerifier,
    events: EventLog,
    audit: Audit,
    documents: Documents,
    delivery: Delivery,
    runs: Runs,
) -> Sessions:
    """Make what lets clients in and serves them."""
    settings, auditor = base.settings, audit.auditor
    tasks = base.shutdown.tasks("sessions")
    wheel = TimerWheel(tick_s=TICK_S, now_s=asyncio.get_running_loop().time())
    tasks.start(wheel.run(), name="timer-wheel")
    table = SessionTable()
    closer = ConnectionCloser(table, events.control, worker_id=settings.worker_id)
    admission = _admission(base, documents, closer)
    tasks.start(admission.run(), name="leases")
    rates = RequestRates(_rate_limits(settings), base.metrics.sessions)
    gateway = Gateway(
        verifier,
        admission,
        table,
        tasks,
        base.metrics.sessions,
        auditor,
        events.answering,
        rates,
        worker_id=settings.worker_id,
    )
    revocation = await _revocation(
        base, verifier, events, audit, documents, [gateway, runs.streams]
    )
    presence = await build_presence(base, events, documents, audit, delivery, admission)
    services = SessionServices(
        settings=_session_settings(settings),
        log=events.writer,
        dispatcher=delivery.dispatcher,
        pages=delivery.pages,
        catch_up_budget=ByteBudget(settings.catch_up_bytes // 2),
        wheel=wheel,
        tasks=tasks,
        metrics=base.metrics.sessions,
        commands=_commands(base, gateway, events, audit, documents, runs, tasks),
        active_runs=runs.active,
        gateway=gateway,
        refusals=RecordedRefusals(auditor, RECORDED),
        presence=presence.service,
        answering=events.answering,
        user_messages=_user_messages(settings),
    )
    return Sessions(
        table=table,
        tasks=tasks,
        wheel=wheel,
        gateway=gateway,
        rates=rates,
        presence=presence,
        of_projects=ProjectSessions(gateway, services),
        of_audit={
            "users": _audit_watch(audit, "users", audit.log, gateway, services, delivery.audit),
            "strangers": _audit_watch(
                audit, "strangers", audit.strangers.log, gateway, services, delivery.strangers
            ),
        },
        connections=Connections(documents.connections, auditor, closer),
        revocation=revocation,
        take_limits=functools.partial(_take_limits, admission, rates),
    )


def _commands(
    base: Foundation,
    gateway: Gateway,
    events: EventLog,
    audit: Audit,
    documents: Documents,
    runs: Runs,
    tasks: TaskOwner,
) -> CommandTable:
    """What a session of a project can be told to do."""
    log = events.writer
    handlers = {
        **ProjectCommands(gateway, log).table(),
        **RunCommands(documents.proposals, runs.service, runs.validations, runs.iterations).table(),
    }
    publishers = SocketPublishing(
        log, audit.auditor, tasks, max_data_bytes=base.settings.max_message_bytes
    )
    return CommandTable(audited(audit.auditor, handlers, RECORDED), publishers.table())


async def _revocation(
    base: Foundation,
    verifier: TokenVerifier,
    events: EventLog,
    audit: Audit,
    documents: Documents,
    reading: Sequence[EndedByUser],
) -> RevocationService:
    """Know what is revoked before anybody comes, and go on learning it."""
    revocation = RevocationService(
        verifier.revocations,
        documents.revocations,
        events.control,
        documents.connections,
        audit.auditor,
        reading,
    )
    await revocation.load()
    base.shutdown.tasks("revocations").start(revocation.run(), name="revocations")
    return revocation


def _admission(base: Foundation, documents: Documents, closer: ConnectionCloser) -> Admission:
    return Admission(
        documents.connections,
        closer,
        user_limit=base.settings.max_connections_per_user,
        project_limit=base.settings.max_connections_per_project,
        lease_s=base.settings.lease_s,
        unlimited=frozenset({AUDIT_PROJECT}),
    )


def _take_limits(admission: Admission, rates: RequestRates, settings: Settings) -> None:
    admission.limit(
        user=settings.max_connections_per_user, project=settings.max_connections_per_project
    )
    rates.limit(_rate_limits(settings))


def _rate_limits(settings: Settings) -> RateLimits:
    return RateLimits(
        of_user={
            Counted.REQUEST: settings.max_requests_per_s_per_user,
            Counted.CONNECTION: settings.max_connects_per_s_per_user,
        },
        of_address={
            Counted.REQUEST: settings.max_requests_per_s_per_address,
            Counted.CONNECTION: settings.max_connects_per_s_per_address,
        },
        connections_of_user=settings.max_connections_per_user,
    )


def _user_messages(settings: Settings) -> RateTable:
    """As many as all connections that a user may have."""
    connections = settings.max_connections_per_user
    return RateTable(
        connections * settings.max_messages_per_s, connections * settings.max_message_burst
    )


def _session_settings(settings: Settings) -> SessionSettings:
    return SessionSettings(
        ping_interval_s=settings.ping_interval_s,
        pong_timeout_s=settings.pong_timeout_s,
        outbox_bytes=settings.outbox_bytes,
        max_message_bytes=settings.max_message_bytes,
        max_messages_per_s=settings.max_messages_per_s,
        max_message_burst=settings.max_message_burst,
    )


def _audit_watch(
    audit: Audit,
    name: AuditLogName,
    log: Log,
    gateway: Gateway,
    services: SessionServices,
    feed: AuditFeed,
) -> AuditWatch:
    """The same sessions on an audit log, with other commands."""
    auditor, writer = audit.auditor, log.writer
    return AuditWatch(
        gateway,
        writer,
        auditor,
        replace(
            services,
            log=writer,
            dispatcher=feed.dispatcher,
            pages=feed.pages,
            commands=CommandTable(
                audited(auditor, AuditCommands(gateway, writer, auditor).table(), commands.RECORDED)
            ),
            presence=NoPresence(),
        ),
        name=name,
    )
