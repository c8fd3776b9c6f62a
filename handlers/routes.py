"""The route table: every address of the server."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tornado import web

from handlers.api.audit import AuditCountsHandler, AuditHandler, AuditSocket
from handlers.api.comments import CommentHandler, CommentsHandler
from handlers.api.connections import ConnectionHandler, ConnectionsHandler, RevocationHandler
from handlers.api.events import EventsHandler
from handlers.api.locks import LockHandler
from handlers.api.projects import ProjectHandler
from handlers.api.proposals import ProposalHandler, ProposalsHandler
from handlers.api.reviews import ReviewsHandler
from handlers.api.revisions import (
    RestoreHandler,
    RevisionChangesHandler,
    RevisionFileHandler,
    RevisionFilesHandler,
    RevisionsHandler,
)
from handlers.api.run_stream import RunStreamHandler
from handlers.api.runs import IterationsHandler, RunHandler, RunsHandler, ValidationsHandler
from handlers.assets.bundle import BUNDLED, Bundler, find_tool
from handlers.assets.content import Contents
from handlers.assets.prebuilt import PREBUILT, read_bundle
from handlers.assets.vendored import VENDORED
from handlers.base.access_log import access_log
from handlers.base.compression import JsonCompression
from handlers.base.context import HandlerContext
from handlers.base.handler import NotFoundHandler
from handlers.health import AuditKeysHandler, HealthHandler, MetricsHandler, ReadyHandler
from handlers.interface.documents import AsyncapiHandler, OpenapiHandler, published
from handlers.interface.openapi import document
from handlers.interface.route import Route
from handlers.pages import AssetHandler, BundleHandler, PageHandler
from handlers.realtime.sse import ProposalEventsHandler
from handlers.realtime.websocket import SessionSocket
from handlers.sockjs.endpoint import sockjs_routes
from rtserver.interface import asyncapi

OPENAPI = "/api/v1/openapi.json"
ASYNCAPI = "/api/v1/asyncapi.json"
REVISION = "/api/v1/proposals/{proposal_id}/revisions/{revision}"


def http_routes(given: dict[str, Any]) -> list[Route]:
    """The addresses of the HTTP interface: all that `openapi.json` describes.

    Args:
        given: what handlers are initialised with.
    """
    routes = [
        Route("/api/v1/projects/{project_id}", ProjectHandler, given),
        Route("/api/v1/projects/{project_id}/events", EventsHandler, given),
        Route("/api/v1/projects/{project_id}/proposals", ProposalsHandler, given),
        Route("/api/v1/projects/{project_id}/lock", LockHandler, given),
        Route("/api/v1/proposals/{proposal_id}", ProposalHandler, given),
        Route("/api/v1/proposals/{proposal_id}/events", ProposalEventsHandler, given),
        Route("/api/v1/proposals/{proposal_id}/comments", CommentsHandler, given),
        Route("/api/v1/comments/{comment_id}", CommentHandler, given),
        Route("/api/v1/proposals/{proposal_id}/reviews", ReviewsHandler, given),
        Route("/api/v1/proposals/{proposal_id}/revisions", RevisionsHandler, given),
        Route(
            REVISION + "/files",
            RevisionFilesHandler,
            given,
        ),
        Route(
            REVISION + "/files/{file_path*}",
            RevisionFileHandler,
            given,
        ),
        Route(
            REVISION + "/changes",
            RevisionChangesHandler,
            given,
        ),
        Route(REVISION + "/restore", RestoreHandler, given),
        Route("/api/v1/proposals/{proposal_id}/runs", RunsHandler, given),
        Route("/api/v1/proposals/{proposal_id}/validations", ValidationsHandler, given),
        Route("/api/v1/proposals/{proposal_id}/iterations", IterationsHandler, given),
        Route("/api/v1/runs/{run_id}", RunHandler, given),
        Route("/api/v1/runs/{run_id}/stream", RunStreamHandler, given),
        Route("/api/v1/audit", AuditHandler, given),
        Route("/api/v1/audit/counts", AuditCountsHandler, given),
        Route("/api/v1/connections", ConnectionsHandler, given),
        Route("/api/v1/connections/{connection_id}", ConnectionHandler, given),
        Route("/api/v1/users/{user_id}/revoke", RevocationHandler, given),
        Route("/healthz", HealthHandler, given),
        Route("/readyz", ReadyHandler, given),
        Route("/metrics", MetricsHandler, given),
        Route("/.well-known/rtserver-audit-keys", AuditKeysHandler, given),
    ]
    documents = [Route(OPENAPI, OpenapiHandler, given), Route(ASYNCAPI, AsyncapiHandler, given)]
    # Made when somebody asks: most workers never are, and each would start later for it.
    contents = {
        OPENAPI: cache(lambda: published(document([*routes, *documents]))),
        ASYNCAPI: cache(lambda: published(asyncapi.document())),
    }
    return [
        *routes,
        *(
            Route(route.path, route.handler, {**given, "content": contents[route.path]})
            for route in documents
        ),
    ]


def socket_routes(given: dict[str, Any]) -> list[Route]:
    """The addresses of WebSockets, which `asyncapi.json` describes.

    Args:
        given: what handlers are initialised with.
    """
    return [
        Route("/ws/projects/{project_id}", SessionSocket, given),
        Route("/ws/audit", AuditSocket, given),
    ]


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
    return web.Application(
        [
            *(route.rule() for route in socket_routes(given)),
            *(route.rule() for route in http_routes(given)),
            *sockjs_routes(context),
            *_pages(given, static_dir),
            *further,
        ],
        default_handler_class=NotFoundHandler,
        default_handler_args=given,
        transforms=[JsonCompression],
        log_function=access_log(context.http_metrics, context.access_log_every),
        autoreload=False,
    )


def _pages(given: dict[str, Any], static_dir: Path) -> Iterable[Any]:
    # As npm installs them; the page and the iframe of SockJS need the same release.
    modules = static_dir.parent / "node_modules"
    tool = find_tool(modules)
    given_bundle = read_bundle(static_dir / PREBUILT, BUNDLED) if tool is None else None
    bundler = Bundler(static_dir, BUNDLED, tool, otherwise=given_bundle)
    files: dict[str, Any] = {**given, "contents": Contents()}
    pages = {"/": "index.html", "/admin": "admin.html", "/legacy": "legacy.html"}
    return [
        *(
            (address, PageHandler, {**files, "path": static_dir / name, "bundler": bundler})
            for address, name in pages.items()
        ),
        (r"/static/built/([\w.-]+)", BundleHandler, {**given, "bundler": bundler}),
        *(
            (
                rf"/static/vendor/{one.prefix}({one.files})",
                AssetHandler,
                {**files, "path": str(modules / one.package / one.folder)},
            )
            for one in VENDORED
        ),
        (r"/static/(.*)", AssetHandler, {**files, "path": str(static_dir)}),
    ]
