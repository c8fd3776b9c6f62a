"""The composition root: the only place that knows the core, the handlers and the store."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from handlers.base import MAX_BODY_BYTES
from handlers.context import HandlerContext
from handlers.routes import application
from handlers.test_endpoints import test_routes
from rtserver.active_runs import ActiveRuns
from rtserver.admission import Admission, Entry
from rtserver.audit import AUDIT_PROJECT, Acting, Auditor, Head
from rtserver.audit_actions import Action, Outcome
from rtserver.audit_archive import Archiver
from rtserver.audit_archive_dir import ArchiveDirectory
from rtserver.audit_archive_metrics import ArchiveMetrics
from rtserver.audit_commands import AuditCommands
from rtserver.audit_fanout import AuditFanout
from rtserver.audit_protocol import parse_audit_command
from rtserver.audit_watch import AuditWatch
from rtserver.audited_commands import audited
from rtserver.client_address import ClientAddresses
from rtserver.close_codes import CloseCode
from rtserver.commands import SessionCommands
from rtserver.comments import CommentService
from rtserver.completions_server import CompletionsServer
from rtserver.connections import Connections, Reach
from rtserver.control import Control
from rtserver.demo import DEMO_PROJECT_ID, install_demo
from rtserver.demo_llm import DEMO_MODEL, demo_server
from rtserver.diffs import MAX_DIFF_BYTES
from rtserver.dispatcher import Dispatcher
from rtserver.errors import OperatorError, StoreUnavailableError
from rtserver.events import EventPack, present_moment
from rtserver.fanout import Fanout
from rtserver.gateway import Gateway
from rtserver.history import History
from rtserver.iteration import IterationParts, iteration_salvage
from rtserver.iterations import Iterations
from rtserver.jwks import JwksCache
from rtserver.locks import Lock, LockService
from rtserver.membership import Membership, NoMembers
from rtserver.metrics import LogMetrics, Metrics, RunKind
from rtserver.origins import Origins
from rtserver.positions_ticker import PositionsTicker
from rtserver.presence import NoPresence, PresenceService
from rtserver.presence_fleet import PresenceFleet
from rtserver.presence_room import MAX_LIST_BYTES, Bounds
from rtserver.proposal_writer import ProposalWriter
from rtserver.proposals import Proposal, ProposalExistsError, ProposalService, creation_event
from rtserver.readiness import Readiness
from rtserver.runs import RunLimits, RunService
from rtserver.session import SessionServices, SessionSettings
from rtserver.settings import Settings
from rtserver.snapshot import Snapshots
from rtserver.statuses import ProposalStatus
from rtserver.tasks import TaskOwner
from rtserver.tokens import TokenVerifier
from rtserver.validator import Validator
from rtserver.watch_spec import Watch
from rtserver.watching import Watching
from rtserver.wheel import TimerWheel
from rtserver.workers import Workers
from store.audit_archive import MongoArchive
from store.audit_buffer import MongoAuditBuffer
from store.change_stream import ChangeStreams
from store.client import Database, DatabaseError, connect, is_replica_set, server_version
from store.comments import COMMENTS, MongoComments, comment_fields
from store.event_collection import (
    AUDIT,
    EVENTS,
    log_exists,
    prepare_log,
    read_epoch,
    size_difference,
)
from store.event_log import MongoEventLog
from store.event_tail import EventTail
from store.heads import Heads
from store.leases import MongoLeases
from store.locks import LOCKS, MongoLocks
from store.mongod import PrivateMongod
from store.mongod_attach import attach
from store.mongod_errors import MongodError
from store.mongod_reach import reach
from store.outbox import OutboxRelay
from store.proposals import PROPOSALS, MongoProposals
from store.runs import RUNS, MongoRuns
from store.topology import PrimaryWatch
from store.watch_check import watch_problems
from store.watches import MongoWatchPlaces
from store.workers import MongoWorkers

if TYPE_CHECKING:
    from rtserver.llm import LanguageModel

SERVER_ROOT = Path(__file__).resolve().parent.parent
TICK_S = 0.05
SPOOL_FOLDER = "audit-spool"
MAX_REPORT_BYTES = 512 * 1024
TAIL_READY_S = 30.0
MONGODB_AT_LEAST = (5, 0)
NO_REPLICA_SET = "MongoDB is not a replica set: start it with --replSet and initiate it"
MONGOD_RESTART_S = (0.5, 1.0, 2.0, 5.0)

_log = structlog.get_logger()


class MongoAccess:
    """A way to MongoDB: the configured one, one that is shared here, or a private one."""

    def __init__(
        self, settings: Settings, *, on_primary: Callable[[bool], None] | None = None
    ) -> None:
        """Take the settings.

        Args:
            settings: where MongoDB is.
            on_primary: told whether there is a primary, whenever that changes.
        """
        self._settings = settings
        self._on_primary = on_primary
        self.private: PrivateMongod | None = None
        self._client: Any = None

    async def open(self, *, may_start: bool = True, beside: bool = False) -> Database:
        """Connect, after starting a private mongod where there is no other.

        Args:
            may_start: whether a private mongod may be started.
            beside: use one that a running server holds for itself: the operator's commands.

        Raises:
            OperatorError: there is no MongoDB to be had.
        """
        settings = self._settings
        uri = settings.mongodb_uri
        try:
            if uri is None and beside:
                uri = await attach(settings.data_dir, private_too=True)
            if uri is None and not may_start:
                raise OperatorError(
                    f"no server runs on {settings.data_dir}: start one, or set RT_MONGODB_URI"
                )
            if uri is None:
                uri, self.private = await reach(
                    settings.data_dir, shared_wait_s=settings.shared_mongod_wait_s
                )
        except MongodError as error:
            raise OperatorError(str(error)) from error
        listeners = () if self._on_primary is None else (PrimaryWatch(self._on_primary),)
        self._client = connect(uri, listeners)
        database: Database = self._client[settings.mongodb_database]
        return database

    async def watch(self) -> None:
        """Start a private mongod again whenever it ends, until cancelled."""
        failures = 0
        while self.private is not None:
            status = await asyncio.shield(self.private.exited)
            _log.error("private_mongod_ended", status=status)
            while True:
                try:
                    await self.private.restart()
                    failures = 0
                    break
                except MongodError as error:
                    wait_s = MONGOD_RESTART_S[min(failures, len(MONGOD_RESTART_S) - 1)]
                    failures += 1
                    _log.error("private_mongod_not_restarted", error=str(error), retry_s=wait_s)
                    await asyncio.sleep(wait_s)

    async def close(self) -> None:
        """Disconnect, and stop the private mongod if there is one."""
        if self._client is not None:
            self._client.close()
        if self.private is not None:
            await self.private.stop()


class LogStore:
    """A durable log, with what its writer needs: in a server, or a command.

    There are two, each in a collection of its own: `EVENTS` and `AUDIT`.
    """

    def __init__(
        self, settings: Settings, database: Database, metrics: LogMetrics, collection: str = EVENTS
    ) -> None:
        self._settings = settings
        self._database = database
        self._metrics = metrics
        self._collection = collection
        sizes = {EVENTS: settings.event_log_bytes, AUDIT: settings.audit_log_bytes}
        self._size_bytes = sizes[collection]
        self.heads = Heads(database, buffer_bytes=self._size_bytes, collection=collection)

    async def prepare(self) -> str:
        """Make what is missing of the log; its epoch."""
        return await prepare_log(self._database, self._collection, self._size_bytes, resize=False)

    async def open(self, *, existing: bool = False) -> MongoEventLog:
        """The log; its `run` is the caller's to start.

        Args:
            existing: take it as it is: an operator's shell need not have the server's settings.

        Raises:
            OperatorError: it should exist, and does not.
        """
        if not existing:
            epoch = await prepare_log(self._database, self._collection, self._size_bytes)
        elif await log_exists(self._database, self._collection):
            epoch = await read_epoch(self._database, self._collection)
        else:
            raise OperatorError(
                f"no server has used the database {self._database.name!r} yet: start one, or set "
                "RT_MONGODB_URI and RT_MONGODB_DATABASE to the server's"
            )
        return MongoEventLog(
            self._database,
            self.heads,
            self._metrics,
            epoch=epoch,
            queue_bytes=self._settings.publish_queue_bytes,
            publish_timeout_s=self._settings.publish_timeout_s,
            collection=self._collection,
        )


async def token_verifier(settings: Settings, secret: str | None) -> tuple[TokenVerifier, Any]:
    """The verifier that the settings ask for, and the key cache to close after it."""
    jwks = JwksCache(settings.jwt_jwks_url) if settings.jwt_jwks_url else None
    verifier = TokenVerifier(
        secret=secret,
        public_key=settings.jwt_public_key,
        jwks=jwks,
        algorithms=settings.jwt_algorithms,
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
    )
    return verifier, jwks


def make_validator(settings: Settings) -> Validator:
    """The validator that the settings ask for."""
    return Validator(
        settings.validation_command,
        settings.validation_report_command,
        settings.validation_timeout_s,
        settings.workspaces_dir,
        SERVER_ROOT,
        # A report is one event, and one event must fit into every viewer's outbox.
        max_report_bytes=min(MAX_REPORT_BYTES, settings.outbox_bytes // 2),
    )


def make_watches(
    settings: Settings, database: Database, log: MongoEventLog, metrics: Metrics, auditor: Auditor
) -> list[Watching]:
    """The followers of the collections that the settings name."""

    def lost(watch: Watch) -> None:
        auditor.record(Action.WATCH_HISTORY_LOST, Outcome.FAILED, by=Acting(), target=watch.name)

    places = MongoWatchPlaces(database, lease_s=settings.lease_s)
    source = ChangeStreams(database.client)
    holder = f"{settings.worker_id}:{secrets.token_hex(8)}"
    # An event has to fit into every viewer's outbox, and into a publication.
    most_bytes = (
        settings.max_message_bytes,
        settings.outbox_bytes // 2,
        settings.event_log_bytes // 8,
    )
    return [
        Watching(
            watch,
            places,
            source,
            log,
            metrics,
            on_history_lost=lost,
            holder=holder,
            lease_s=settings.lease_s,
            max_data_bytes=min(most_bytes),
        )
        for watch in settings.watches
    ]


def make_model(
    settings: Settings, base_url: str, name: str, *, is_demo: bool = False
) -> "LanguageModel":
    """A language model with the times and bounds that the settings ask for."""
    # Not above: it costs every worker 33 MB, and most have no model.
    from rtserver.llm import LanguageModel, LlmTimes  # noqa: PLC0415

    return LanguageModel(
        base_url,
        None if is_demo else settings.llm_api_key,
        name,
        LlmTimes(
            connect=settings.llm_connect_timeout_s,
            first_token=settings.llm_first_token_timeout_s,
            token=settings.llm_token_timeout_s,
            whole=settings.llm_timeout_s,
        ),
        max_reply_bytes=settings.llm_max_reply_bytes,
        max_reply_tokens=settings.llm_max_reply_tokens,
        is_demo=is_demo,
    )


class Server:
    """One worker."""

    def __init__(
        self,
        settings: Settings,
        *,
        secret: str | None,
        demo: bool = False,
        test_endpoints: bool = False,
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._demo = demo
        self._test_endpoints = test_endpoints
        self._mongo = MongoAccess(settings, on_primary=self._on_primary)
        self._chain_begun = False
        self._primary_lost_s = 0.0
        self._tasks = TaskOwner()
        self._stopping = False
        self._model: LanguageModel | None = None
        self._demo_llm: CompletionsServer | None = None
        self._archiver: Archiver | None = None
        self.metrics = Metrics()
        self.port = settings.port

    async def start(self) -> None:
        """Bring the worker up; returns when it serves.

        Raises:
            OperatorError: no MongoDB can be had.
            KeyConfigurationError: the keys for tokens are missing or weak.
            OSError: the address is taken or not this host's.
            StoreUnavailableError: MongoDB does not answer.
        """
        settings = self._settings
        verifier, self._jwks = await token_verifier(settings, self._secret)
        # Taken first: a port that is in use should be said before anything is started.
        sockets = bind_sockets(settings.port, settings.host, reuse_port=False)
        self.port = sockets[0].getsockname()[1]
        try:
            await self._connect_and_begin(verifier)
        except BaseException:
            for one in sockets:
                one.close()
            raise
        self._http.add_sockets(sockets)
        _log.info("serving", host=settings.host, port=self.port, worker_id=settings.worker_id)

    async def _connect_and_begin(self, verifier: TokenVerifier) -> None:
        database = await self._mongo.open()
        if self._mongo.private is not None:
            self._tasks.start(self._mongo.watch(), name="mongod-watch")
        try:
            if not await is_replica_set(database):
                raise OperatorError(NO_REPLICA_SET)
            await self._build(database, verifier)
        except DatabaseError as error:
            raise _no_answer(error) from error
        await self._begin()

    async def _build(self, database: Database, verifier: TokenVerifier) -> None:
        settings, metrics, tasks = self._settings, self.metrics, self._tasks
        events = LogStore(settings, database, metrics)
        self._heads = events.heads
        self._log = log = await events.open()
        self._relay = relay = OutboxRelay(
            database, log, (RUNS, PROPOSALS, LOCKS), {COMMENTS: comment_fields}
        )
        await self._build_audit(database)
        leases = MongoLeases(database, lease_s=settings.lease_s)
        run_store = MongoRuns(database, relay, lease_s=settings.lease_s)
        proposals = MongoProposals(database, relay)
        comments = MongoComments(database, relay)
        lock_store = MongoLocks(database, relay)
        for part in (proposals, comments, lock_store, relay, leases, run_store):
            await part.prepare()
        self._locks = locks = LockService(
            lock_store, lease_s=settings.lock_lease_s, on_expired=self._on_lock_expired
        )
        membership = Membership(proposals)

        self._control = control = Control(log, worker_id=settings.worker_id)
        self._dispatcher = dispatcher = Dispatcher(
            log,
            Fanout(metrics),
            tasks,
            membership,
            recent_bytes=settings.recent_events_bytes,
            on_control=control.on_event,
        )
        self._tail = EventTail(
            database,
            events.heads,
            metrics,
            epoch=log.epoch,
            prepare=events.prepare,
            on_packs=dispatcher.on_packs,
            on_epoch=self._on_epoch,
            is_durable=log.is_durable,
        )
        self._wheel = TimerWheel(tick_s=TICK_S, now_s=asyncio.get_running_loop().time())
        self._admission = Admission(
            leases,
            user_limit=settings.max_connections_per_user,
            project_limit=settings.max_connections_per_project,
            lease_s=settings.lease_s,
            evict=self._evict,
            behind_bytes=self._behind_bytes,
        )
        self._gateway = gateway = Gateway(
            verifier,
            self._admission,
            lambda: self._session_services,
            metrics,
            self.auditor,
            worker_id=settings.worker_id,
        )
        self._presence = presence = PresenceService(
            dispatcher.channels,
            Bounds(frame_bytes=min(MAX_LIST_BYTES, settings.outbox_bytes // 8)),
            self._admission.note,
        )
        self._fleet = presence.fleet = PresenceFleet(
            presence,
            leases,
            self._worker_store,
            control,
            tasks,
            worker_id=settings.worker_id,
            lease_s=settings.lease_s,
        )
        validator = make_validator(settings)
        writer = ProposalWriter(settings.workspaces_dir)
        await asyncio.to_thread(writer.settle_all)
        self._model = self._make_model()
        iterations = Iterations(
            IterationParts(
                model=self._model,
                runs=run_store,
                locks=locks,
                validator=validator,
                workspace_root=settings.workspaces_dir,
                writer=writer,
                lease_s=settings.lease_s,
                max_prompt_chars=settings.llm_context_chars,
                max_diff_bytes=min(MAX_DIFF_BYTES, settings.outbox_bytes // 4),
            )
            if self._model is not None
            else None
        )
        self._runs = runs = RunService(
            run_store,
            proposals,
            locks,
            log,
            control,
            tasks,
            metrics,
            self.auditor,
            worker_id=settings.worker_id,
            lease_s=settings.lease_s,
            limits=RunLimits(
                per_worker=settings.max_runs_per_worker,
                per_project=settings.max_runs_per_project,
                queued_per_project=settings.max_queued_runs_per_project,
            ),
            salvage={RunKind.ITERATION: iteration_salvage(writer)},
        )
        self._watches = make_watches(settings, database, log, metrics, self.auditor)
        control.handle("close", self._on_close_message)
        active_runs = ActiveRuns(runs.active_json)
        dispatcher.watchers.append(active_runs.on_events)
        session_settings = SessionSettings(
            ping_interval_s=settings.ping_interval_s,
            pong_timeout_s=settings.pong_timeout_s,
            outbox_bytes=settings.outbox_bytes,
            max_message_bytes=settings.max_message_bytes,
            max_messages_per_s=settings.max_messages_per_s,
            max_message_burst=settings.max_message_burst,
        )
        self._session_services = SessionServices(
            settings=session_settings,
            log=log,
            dispatcher=dispatcher,
            wheel=self._wheel,
            tasks=tasks,
            metrics=metrics,
            commands=audited(
                self.auditor,
                SessionCommands(gateway, log, proposals, runs, iterations, validator).table(),
            ),
            active_runs=active_runs.of,
            on_closed=gateway.closed,
            presence=presence,
        )
        self._audit_services = replace(
            self._session_services,
            log=self._audit_log,
            dispatcher=self._audit_dispatcher,
            commands=audited(
                self.auditor, AuditCommands(gateway, self._audit_log, self.auditor).table()
            ),
            parse=parse_audit_command,
            presence=NoPresence(),
        )
        context = HandlerContext(
            gateway=gateway,
            log=log,
            history=History(log, membership.table),
            proposals=proposals,
            editing=ProposalService(proposals, locks),
            comments=CommentService(comments, proposals),
            locks=locks,
            runs=runs,
            iterations=iterations,
            snapshots=Snapshots(log, proposals, lock_store, run_store, presence.present),
            validator=validator,
            metrics=metrics,
            origins=Origins(settings.allowed_origins),
            readiness=Readiness(
                {
                    "tail": lambda: None if self._tail.ready.is_set() else "the log is not tailed",
                    "audit": self.auditor.problem,
                    "stopping": lambda: "the worker is stopping" if self._stopping else None,
                }
            ),
            tasks=tasks,
            auditor=self.auditor,
            audit_watch=AuditWatch(
                gateway, self._audit_log, self.auditor, lambda: self._audit_services
            ),
            connections=Connections(
                leases, self.auditor, Reach(self._close_anywhere, gateway.behind_bytes)
            ),
            addresses=ClientAddresses(settings.trusted_proxies),
            max_message_bytes=settings.max_message_bytes,
            ping_interval_s=settings.ping_interval_s,
            pong_timeout_s=settings.pong_timeout_s,
            wheel=self._wheel,
        )
        self._http = HTTPServer(
            application(
                context,
                SERVER_ROOT / "static",
                test_routes(context) if self._test_endpoints else (),
            ),
            max_body_size=MAX_BODY_BYTES,
            idle_connection_timeout=120,
            body_timeout=60,
        )
        if self._demo:
            await self._install_demo(proposals)

    async def _build_audit(self, database: Database) -> None:
        settings = self._settings
        store = LogStore(settings, database, self.metrics.audit, AUDIT)
        self._audit_heads = store.heads
        self._audit_log = await store.open()
        spool_dir = settings.data_dir / SPOOL_FOLDER
        try:
            self.auditor = Auditor(
                self._audit_log,
                self.metrics.audit,
                spool_dir,
                worker_id=settings.worker_id,
                spool_bytes=settings.audit_spool_bytes,
            )
        except OSError as error:
            raise OperatorError(
                f"the audit spool can't be kept in {spool_dir} ({error.strerror}): "
                "set RT_DATA_DIR to a directory that can be written"
            ) from error
        self._audit_dispatcher = Dispatcher(
            self._audit_log,
            AuditFanout(self.metrics.audit),
            self._tasks,
            Membership(NoMembers()),
            recent_bytes=settings.recent_events_bytes,
        )
        self._audit_tail = EventTail(
            database,
            store.heads,
            self.metrics.audit,
            epoch=self._audit_log.epoch,
            prepare=store.prepare,
            on_packs=self._on_audit_packs,
            on_epoch=self._on_audit_epoch,
            collection=AUDIT,
            is_watched=self._audit_dispatcher.is_held,
            is_durable=self._audit_log.is_durable,
        )
        self._worker_store = MongoWorkers(database, lease_s=settings.lease_s)
        self._workers = Workers(
            self._worker_store,
            self.auditor,
            MongoAuditBuffer(database, self._audit_log),
            worker_id=settings.worker_id,
            lease_s=settings.lease_s,
            anchor_interval_s=settings.audit_anchor_interval_s,
        )

        if settings.audit_archive_dir is not None:
            self._archiver = Archiver(
                MongoArchive(database, lease_s=settings.lease_s),
                ArchiveDirectory(settings.audit_archive_dir),
                self.auditor,
                ArchiveMetrics(self.metrics.registry),
                lease_s=settings.lease_s,
            )

    async def _on_audit_packs(self, packs: list[EventPack]) -> None:
        self._audit_log.saw(AUDIT_PROJECT, packs[-1].last)
        await self._audit_dispatcher.on_packs(packs)

    def _on_audit_epoch(self, epoch: str) -> None:
        """The audit log was lost: whoever watches begins anew."""
        self._audit_log.begin_epoch(epoch)
        self._audit_dispatcher.begin_epoch()
        self._gateway.close_all(CloseCode.GOING_AWAY, AUDIT_PROJECT)

    def _on_primary(self, up: bool) -> None:
        """MongoDB's primary went or came."""
        if not self._chain_begun or self._stopping:
            return
        loop_s = asyncio.get_running_loop().time()
        by = Acting()
        if up:
            away_ms = round((loop_s - self._primary_lost_s) * 1000)
            _log.info("mongodb_found", away_ms=away_ms)
            self.auditor.record(Action.MONGODB_FOUND, by=by, away_ms=away_ms)
        else:
            self._primary_lost_s = loop_s
            _log.warning("mongodb_lost")
            self.auditor.record(Action.MONGODB_LOST, Outcome.FAILED, by=by)

    def _on_lock_expired(self, lock: Lock) -> None:
        by = Acting(actor=lock.by, project_id=lock.project_id)
        self.auditor.record(Action.LOCK_EXPIRED, by=by, target=lock.project_id)

    def _make_model(self) -> "LanguageModel | None":
        settings = self._settings
        if settings.llm_base_url is not None and settings.llm_model is not None:
            return make_model(settings, settings.llm_base_url, settings.llm_model)
        if settings.llm_base_url is not None:
            _log.warning("iterations_off", problem="RT_LLM_BASE_URL is set, RT_LLM_MODEL is not")
        if not self._demo:
            return None
        self._demo_llm = demo_server()
        self._demo_llm.start()
        _log.warning(
            "demo_llm_started",
            note="no RT_LLM_BASE_URL and RT_LLM_MODEL: revisions are made up by the demo's "
            "stand-in for a language model",
            base_url=self._demo_llm.base_url,
        )
        return make_model(settings, self._demo_llm.base_url, DEMO_MODEL, is_demo=True)

    async def _begin(self) -> None:
        self._tasks.start(self._audit_log.run(), name="audit-log-writer")
        self.auditor.start(self._tasks)
        await self._workers.begin()
        self.auditor.adopt(self._tasks)
        self._chain_begun = True
        await self._fleet.begin()
        loops = {
            "audit-heads": self._audit_heads.run(),
            "audit-tail": self._audit_tail.run(),
            "audit-positions": PositionsTicker(self._audit_dispatcher, self._audit_log).run(),
            "workers": self._workers.run(),
            "log-writer": self._log.run(),
            "tail": self._tail.run(),
            "heads": self._heads.run(),
            "outbox-relay": self._relay.run(),
            "timer-wheel": self._wheel.run(),
            "leases": self._admission.run(),
            "runs": self._runs.run(),
            "locks": self._locks.run(),
            "presence": self._fleet.run(),
            "positions": PositionsTicker(self._dispatcher, self._log).run(),
            "loop-lag": self.metrics.watch_loop_lag(),
        }
        if self._archiver is not None:
            loops["audit-archive"] = self._archiver.run()
        loops |= {f"watch {watching.name}": watching.run() for watching in self._watches}
        for name, loop in loops.items():
            self._tasks.start(loop, name=name)
        # A tailing cursor on an empty collection ends at once, so there has to be something.
        await self._control.send("hello", self._settings.worker_id)
        try:
            async with asyncio.timeout(TAIL_READY_S):
                await self._tail.ready.wait()
        except TimeoutError:
            raise StoreUnavailableError("The event log could not be tailed") from None

    async def _install_demo(self, proposals: MongoProposals) -> None:
        now = present_moment()
        writer = asyncio.create_task(self._log.run())
        try:
            for demo in await asyncio.to_thread(install_demo, self._settings.workspaces_dir):
                proposal = Proposal(
                    proposal_id=demo.id,
                    project_id=DEMO_PROJECT_ID,
                    title=demo.title,
                    author=demo.author,
                    reviewers=list(demo.reviewers),
                    status=ProposalStatus.IN_REVIEW,
                    created_at=now,
                    updated_at=now,
                    created_by=demo.author,
                )
                with contextlib.suppress(ProposalExistsError):
                    await proposals.create(proposal, creation_event(proposal, demo.author))
        finally:
            writer.cancel()
            await asyncio.wait([writer])

    def _on_epoch(self, epoch: str) -> None:
        """The log was lost: nobody can go on where they were."""
        self._log.begin_epoch(epoch)
        self._dispatcher.begin_epoch()
        self._gateway.close_all(CloseCode.GOING_AWAY)
        # As at the start: an empty log cannot be tailed.
        hello = self._control.send("hello", self._settings.worker_id)
        self._tasks.start(hello, name="hello")

    def _behind_bytes(self, connection_id: str) -> int | None:
        return self._gateway.behind_bytes(connection_id)

    async def _evict(self, entry: Entry) -> None:
        await self._close_anywhere(entry, CloseCode.REPLACED, None)

    async def _close_anywhere(self, entry: Entry, code: CloseCode, reason: str | None) -> None:
        if entry.worker_id == self._settings.worker_id:
            self._gateway.close(entry.connection_id, code, reason)
        else:
            await self._control.send(
                "close",
                entry.worker_id,
                connection_id=entry.connection_id,
                code=code.value,
                reason=reason,
            )

    async def _on_close_message(self, message: dict[str, Any]) -> None:
        self._gateway.close(
            message["connection_id"], CloseCode(message["code"]), message.get("reason")
        )

    async def stop(self) -> None:
        """Let everybody know, finish what is under way within the grace period, and end."""
        self._stopping = True
        grace_s = self._settings.shutdown_grace_s
        with contextlib.suppress(AttributeError):  # where the start failed half-way
            self._http.stop()
            await self._runs.stop()
            self._gateway.close_all(CloseCode.GOING_AWAY)
            await self._fleet.end()
            self._presence.stop()
            try:
                async with asyncio.timeout(grace_s):
                    await self._log.drain()
                    # What waits for slow clients goes out first; places are free at once.
                    await self._tasks.finish("close-session", "release-place")
                    await self._http.close_all_connections()
            except TimeoutError:
                _log.warning("stopped_before_all_was_written", grace_s=grace_s)
        if self._chain_begun:
            await self.auditor.finish(grace_s)
            if self._archiver is not None:
                await self._archiver.finish(grace_s)
            await self._workers.end()
        await self._tasks.stop()
        if self._archiver is not None:
            self._archiver.close()
        with contextlib.suppress(AttributeError):
            self.auditor.close()
            try:
                async with asyncio.timeout(grace_s):
                    await self._heads.flush(everything=True)
                    await self._audit_heads.flush(everything=True)
            except Exception as error:  # noqa: BLE001 - the server ends either way
                _log.warning("heads_not_written", error=str(error))
        if self._model is not None:
            await self._model.close()
        if self._demo_llm is not None:
            await self._demo_llm.stop()
        await self._mongo.close()
        if getattr(self, "_jwks", None) is not None:
            await self._jwks.close()


async def run_shared_mongod(settings: Settings) -> None:
    """Hold a private mongod for all workers of this host, until cancelled.

    Raises:
        OperatorError: it cannot run, or ended by itself.
    """
    mongod = PrivateMongod(settings.data_dir, mode="shared")
    try:
        await mongod.start()
        _log.info("mongod_ready", data_dir=str(mongod.data_dir))
        await asyncio.shield(mongod.exited)
        raise OperatorError(f"mongod ended by itself; see {mongod.data_dir}/mongod/mongod.log")
    except MongodError as error:
        raise OperatorError(str(error)) from error
    finally:
        await mongod.stop()


async def check_database(settings: Settings) -> list[str]:
    """What is wrong with MongoDB, in words; empty where nothing is.

    Raises:
        OperatorError: there is no MongoDB to be had.
    """
    mongo = MongoAccess(settings)
    try:
        database = await mongo.open(beside=True)
        major, minor = await server_version(database)
        problems = []
        if (major, minor) < MONGODB_AT_LEAST:
            problems.append(
                f"MongoDB is {major}.{minor}; rtserver needs {'.'.join(map(str, MONGODB_AT_LEAST))}"
            )
        if not await is_replica_set(database):
            problems.append(NO_REPLICA_SET)
        problem = await size_difference(database, EVENTS, settings.event_log_bytes)
        if problem is not None:
            problems.append(problem)
        for watch in settings.watches:
            problems += await watch_problems(database.client, watch)
    except DatabaseError as error:
        return [f"MongoDB does not answer ({type(error).__name__}): is RT_MONGODB_URI right?"]
    else:
        return problems
    finally:
        await mongo.close()


def _no_answer(error: Exception) -> OperatorError:
    return OperatorError(
        f"MongoDB does not answer ({type(error).__name__}); `check` tries the settings"
    )


@dataclass(frozen=True, slots=True)
class AuditAccess:
    """The audit log for an operator's command."""

    log: MongoEventLog
    buffer: MongoAuditBuffer
    workers: MongoWorkers

    async def registry(self) -> dict[str, tuple[Head, bool]]:
        """Where each chain of the registry stands, and whether it ended."""
        return {one.chain: (one.head, one.ended) for one in await self.workers.listed()}


@contextlib.asynccontextmanager
async def operator_audit(settings: Settings) -> AsyncIterator[AuditAccess]:
    """The audit log for an operator's command, beside running workers.

    Raises:
        OperatorError: there is no MongoDB.
    """
    mongo = MongoAccess(settings)
    database = await mongo.open(may_start=False, beside=True)
    try:
        log = await LogStore(settings, database, Metrics().audit, AUDIT).open(existing=True)
        workers = MongoWorkers(database, lease_s=settings.lease_s)
        yield AuditAccess(log, MongoAuditBuffer(database, log), workers)
    except DatabaseError as error:
        raise _no_answer(error) from error
    finally:
        await mongo.close()


@contextlib.asynccontextmanager
async def operator_log(settings: Settings) -> AsyncIterator[MongoEventLog]:
    """The log for an operator's command, beside running workers.

    Raises:
        OperatorError: there is no MongoDB.
    """
    mongo = MongoAccess(settings)
    database = await mongo.open(may_start=False, beside=True)
    tasks = TaskOwner()
    try:
        events = LogStore(settings, database, Metrics())
        log = await events.open(existing=True)
        tasks.start(log.run(), name="log-writer")
        yield log
        await events.heads.flush()
    except DatabaseError as error:
        raise _no_answer(error) from error
    finally:
        await tasks.stop()
        await mongo.close()
