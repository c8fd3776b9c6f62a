"""What answers at a worker's address."""

from tornado.web import Application

from handlers.base.context import HandlerContext
from handlers.base.tornado_answers import UnreadAnswers
from handlers.routes import application
from handlers.sockjs.echo import test_routes
from rtserver.app.features import Features
from rtserver.app.foundation import Foundation
from rtserver.auth.client_address import ClientAddresses
from rtserver.auth.origins import Origins
from rtserver.eventlog.history import History
from rtserver.interface.snapshot import Snapshots
from rtserver.lib.server_root import SERVER_ROOT


def build_application(base: Foundation, features: Features, *, test_endpoints: bool) -> Application:
    """What answers once all features are there."""
    base.shutdown.tasks("loop-lag").start(base.metrics.loop_lag.watch(), name="loop-lag")
    context = _context(base, features)
    further = test_routes(context) if test_endpoints else ()
    return application(context, SERVER_ROOT / "static", further)


def _context(base: Foundation, features: Features) -> HandlerContext:
    settings, metrics = base.settings, base.metrics
    log, documents, reviews = features.events.writer, features.documents, features.reviews
    runs, sessions = features.runs, features.sessions
    return HandlerContext(
        gateway=sessions.gateway,
        answering=features.events.answering,
        rates=sessions.rates,
        unread=UnreadAnswers(settings.max_unread_bytes),
        sessions=sessions.of_projects,
        log=log,
        history=History(log, features.delivery.membership.table),
        proposals=documents.proposals,
        editing=reviews.editing,
        revisions=reviews.revisions,
        reviews=reviews.decisions,
        archiving=reviews.archiving,
        spec_changes=reviews.spec_changes,
        comments=reviews.comments,
        threads=reviews.threads,
        locks=reviews.locks,
        runs=runs.service,
        run_streams=runs.streams,
        iterations=runs.iterations,
        snapshots=Snapshots(
            log,
            documents.proposals,
            documents.locks,
            documents.runs,
            sessions.presence.service,
        ),
        validations=runs.validations,
        metrics=metrics.registry,
        http_metrics=metrics.http,
        access_log_every=settings.access_log_every,
        origins=Origins(settings.allowed_origins),
        readiness=base.readiness,
        tasks=sessions.tasks,
        auditor=features.audit.auditor,
        audit_key=features.audit.public_key,
        audit_watches=sessions.of_audit,
        connections=sessions.connections,
        revocation=sessions.revocation,
        addresses=ClientAddresses(settings.trusted_proxies),
        max_message_bytes=settings.max_message_bytes,
        ping_interval_s=settings.ping_interval_s,
        pong_timeout_s=settings.pong_timeout_s,
        max_strangers_per_address=settings.max_strangers_per_address,
        wheel=sessions.wheel,
    )
