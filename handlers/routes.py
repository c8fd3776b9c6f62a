"""Every address of the server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tornado import web

from handlers.audit import AuditHandler, AuditSocket
from handlers.base import NotFoundHandler, access_log
from handlers.comments import CommentsHandler
from handlers.connections import ConnectionHandler, ConnectionsHandler
from handlers.context import HandlerContext
from handlers.events import EventsHandler
from handlers.health import HealthHandler, MetricsHandler, ReadyHandler
from handlers.locks import LockHandler
from handlers.pages import AssetHandler, PageHandler
from handlers.projects import ProjectHandler
from handlers.proposals import ProposalHandler, ProposalsHandler
from handlers.runs import IterationsHandler, RunHandler, ValidationsHandler
from handlers.sockjs import sockjs_routes
from handlers.sse import ProposalEventsHandler
from handlers.websocket import SessionSocket


def application(
    context: HandlerContext, static_dir: Path, further: Sequence[Any] = ()
) -> web.Application:
    """The Tornado application over the core's parts.

    Args:
        context: the core's parts.
        static_dir: the pages and what they load.
        further: routes to add.
    """
    given: dict[str, Any] = {"context": context}
    page = {**given, "path": str(static_dir / "index.html")}
    console = {**given, "path": str(static_dir / "admin.html")}
    # As npm installs it; the page and the iframe of SockJS need the same release.
    sockjs_dir = static_dir.parent / "node_modules" / "sockjs-client" / "dist"
    return web.Application(
        [
            (r"/ws/projects/([^/]+)", SessionSocket, given),
            (r"/ws/audit", AuditSocket, given),
            (r"/api/v1/audit", AuditHandler, given),
            (r"/api/v1/connections", ConnectionsHandler, given),
            (r"/api/v1/connections/([^/]+)", ConnectionHandler, given),
            *sockjs_routes(context),
            (r"/api/v1/projects/([^/]+)", ProjectHandler, given),
            (r"/api/v1/projects/([^/]+)/events", EventsHandler, given),
            (r"/api/v1/projects/([^/]+)/proposals", ProposalsHandler, given),
            (r"/api/v1/proposals/([^/]+)/events", ProposalEventsHandler, given),
            (r"/api/v1/projects/([^/]+)/lock", LockHandler, given),
            (r"/api/v1/proposals/([^/]+)", ProposalHandler, given),
            (r"/api/v1/proposals/([^/]+)/comments", CommentsHandler, given),
            (r"/api/v1/proposals/([^/]+)/validations", ValidationsHandler, given),
            (r"/api/v1/proposals/([^/]+)/iterations", IterationsHandler, given),
            (r"/api/v1/runs/([^/]+)", RunHandler, given),
            (r"/healthz", HealthHandler, given),
            (r"/readyz", ReadyHandler, given),
            (r"/metrics", MetricsHandler, given),
            (r"/", PageHandler, page),
            (r"/admin", PageHandler, console),
            (r"/legacy", PageHandler, {**given, "path": str(static_dir / "legacy.html")}),
            (r"/static/vendor/(sockjs\.min\.js)", AssetHandler, {**given, "path": str(sockjs_dir)}),
            (r"/static/(.*)", AssetHandler, {**given, "path": str(static_dir)}),
            *further,
        ],
        default_handler_class=NotFoundHandler,
        default_handler_args=given,
        log_function=access_log(context.metrics),
        autoreload=False,
    )
