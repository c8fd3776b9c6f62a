"""The composition root: the only place that knows the core, the handlers and the store."""

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from handlers.base.api import MAX_BODY_BYTES
from handlers.base.context import HandlerContext
from handlers.routes import application
from handlers.sockjs.echo import test_routes
from rtserver.app.logs import LogStore
from rtserver.app.metrics import WorkerMetrics
from rtserver.app.mongo import NO_REPLICA_SET, MongoAccess, no_answer
from rtserver.app.parts import (
    SERVER_ROOT,
    make_data_folder,
    make_model,
    make_proposals,
    make_validator,
    token_verifier,
)
from rtserver.app.watching import make_watches
from rtserver.audit.archive.archiver import Archiver
from rtserver.audit.archive.directory import ArchiveDirectory
from rtserver.audit.archive.metrics import ArchiveMetrics
from rtserver.audit.live import commands as audit_commands
from rtserver.audit.live.commands import AuditCommands
from rtserver.audit.live.fanout import AuditFanout
from rtserver.audit.live.service import AuditWatch
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.audit.record.spool import SPOOL_FOLDER
from rtserver.audit.record.workers import Workers
from rtserver.auth.client_address import ClientAddresses
from rtserver.auth.origins import Origins
from rtserver.auth.tokens import TokenVerifier
from rtserver.config.settings import Settings
from rtserver.delivery.dispatcher import Dispatcher
from rtserver.delivery.fanout import Fanout
from rtserver.delivery.membership import Membership, NoMembers
from rtserver.delivery.sender import Sender, open_ring
from rtserver.demo.llm import DEMO_MODEL, demo_server
from rtserver.demo.project import DEMO_PROJECT_ID, install_demo
from rtserver.eventlog.history import History
from rtserver.eventlog.worker_messages import Control
from rtserver.interface.snapshot import Snapshots
from rtserver.lib.data_folder import make_folder
from rtserver.lib.shutdown import Shutdown
from rtserver.lib.tasks import TaskOwner
from rtserver.lib.timer_wheel import TimerWheel
from rtserver.model.close_codes import CloseCode
from rtserver.model.connection import ConnectionRecord
from rtserver.model.errors import OperatorError, StoreUnavailableError
from rtserver.model.events import AUDIT_PROJECT, EventPack, present_moment
from rtserver.model.run import RunKind
from rtserver.observe.readiness import Readiness
from rtserver.presence.fleet import PresenceFleet
from rtserver.presence.room import MAX_LIST_BYTES, Bounds
from rtserver.presence.service import PresenceService
from rtserver.reviews.comments import CommentService
from rtserver.reviews.editing import ProposalService, creation_event
from rtserver.reviews.locks import Lock, LockService
from rtserver.reviews.proposals import Proposal, ProposalExistsError
from rtserver.reviews.statuses import ProposalStatus
from rtserver.revisions.reviewing import ReviewService
from rtserver.revisions.service import RevisionService
from rtserver.runs import commands as run_commands
from rtserver.runs.active_list import ActiveRuns
from rtserver.runs.commands import RunCommands
from rtserver.runs.files.schema import shared_schema_folders
from rtserver.runs.files.write import ProposalWriter
from rtserver.runs.iteration.diffs import MAX_DIFF_BYTES
from rtserver.runs.iteration.factory import Iterations
from rtserver.runs.iteration.work import IterationParts, iteration_salvage
from rtserver.runs.llm.metrics import LlmMetrics
from rtserver.runs.service import RunLimits, RunService
from rtserver.runs.validation.work import Validations
from rtserver.sessions import commands
from rtserver.sessions.admission import Admission
from rtserver.sessions.audited_commands import audited, recorded_refusals
from rtserver.sessions.commands import ProjectCommands
from rtserver.sessions.connection_admin import Connections, Reach
from rtserver.sessions.gateway import Gateway
from rtserver.sessions.ports import NoPresence
from rtserver.sessions.position_ticker import PositionsTicker
from rtserver.sessions.revocation import RevocationService
from rtserver.sessions.services import CommandTable, SessionServices, SessionSettings
from store.audit.archive import MongoArchive
from store.audit.buffer import MongoAuditBuffer
from store.base.client import Database, DatabaseError, is_replica_set
from store.base.relay import OutboxRelay
from store.documents.comments import COMMENTS, MongoComments, comment_fields
from store.documents.connections import MongoLeases
from store.documents.locks import LOCKS, MongoLocks
from store.documents.proposals import PROPOSALS, MongoProposals
from store.documents.revisions import REVISIONS, revision_event_fields
from store.documents.revocations import MongoRevocations
from store.documents.runs import RUNS, MongoRuns
from store.documents.workers import MongoWorkers
from store.log.collection import AUDIT
from store.log.tail import EventTail

if TYPE_CHECKING:
    from rtserver.runs.llm.client import LanguageModel

TICK_S = 0.05
TAIL_READY_S = 30.0
MONGOD_STOP_S = 10.0

_log = structlog.get_logger()


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
        self._shutdown = Shutdown(grace_s=settings.shutdown_grace_s)
        self._archiver: Archiver | None = None
        self.metrics = WorkerMetrics()
        self.port = settings.port

    async def start(self) -> None:
        """Bring the worker up; returns when it serves. Where it fails, what it started is undone.

        Raises:
            OperatorError: no MongoDB can be had.
            KeyConfigurationError: the keys for tokens are missing or weak.
            OSError: the address is taken or not this host's.
            StoreUnavailableError: MongoDB does not answer.
        """
        try:
            await self._start()
        except BaseException:
            await self._shutdown.run()
            raise

    async def _start(self) -> None:
        settings = self._settings
        verifier, jwks = await token_verifier(settings, self._secret)
        if jwks is not None:
            self._shutdown.push("key-set", jwks.close)
        make_data_folder(settings)
        # Taken first: a port that is in use should be said before anything is started.
        sockets = bind_sockets(settings.port, settings.host, reuse_port=False)
        for one in sockets:
            self._shutdown.push("listener", one.close)
        self.port = sockets[0].getsockname()[1]
        self._sender = Sender(open_ring())
        self._shutdown.push("sender", self._sender.close)
        await self._connect_and_begin(verifier)
        self._http.add_sockets(sockets)
        _log.info("serving", host=settings.host, port=self.port, worker_id=settings.worker_id)

    async def _connect_and_begin(self, verifier: TokenVerifier) -> None:
        self._shutdown.push("mongodb", self._mongo.close, least_s=MONGOD_STOP_S)
        database = await self._mongo.open()
        if self._mongo.private is not None:
            self._shutdown.tasks("mongod").start(self._mongo.watch(), name="mongod-watch")
        try:
            if not await is_replica_set(database):
                raise OperatorError(NO_REPLICA_SET)
            await self._build(database, verifier)
        except DatabaseError as error:
            raise no_answer(error) from error
        await self._begin()

    async def _build(self, database: Database, verifier: TokenVerifier) -> None:
        settings, metrics, tasks = self._settings, self.metrics, self._tasks
        events = LogStore(settings, database, metrics.log, access=self._mongo.log_access(database))
        self._heads = events.heads
        self._log = log = await events.open()
        self._shutdown.push("heads", self._flush_heads)
        self._relay = relay = OutboxRelay(
            database,
            log,
            (RUNS, PROPOSALS, LOCKS),
            {COMMENTS: comment_fields, REVISIONS: revision_event_fields},
        )
        await self._build_audit(database)
        leases = MongoLeases(database, lease_s=settings.lease_s)
        run_store = MongoRuns(database, relay, lease_s=settings.lease_s)
        proposals, revision_store = make_proposals(settings, database, relay)
        comments, lock_store = MongoComments(database, relay), MongoLocks(database, relay)
        for part in (proposals, comments, lock_store, relay, leases, run_store, revision_store):
            await part.prepare()
        self._locks = locks = LockService(
            lock_store, lease_s=settings.lock_lease_s, on_expired=self._on_lock_expired
        )
        membership = Membership(proposals)

        self._control = control = Control(log, worker_id=settings.worker_id)
        self._dispatcher = dispatcher = Dispatcher(
            log,
            Fanout(metrics.log, self._sender),
            tasks,
            membership,
            recent_bytes=settings.recent_events_bytes,
            on_control=control.on_event,
        )
        self._tail = EventTail(
            database,
            events.heads,
            metrics.log,
            events.access,
            epoch=log.epoch,
            prepare=events.prepare,
            on_packs=dispatcher.on_packs,
            on_epoch=self._on_epoch,
            is_durable=log.is_durable,
            under_way=log.under_way,
        )
        self._wheel = TimerWheel(tick_s=TICK_S, now_s=asyncio.get_running_loop().time())
        self._admission = Admission(
            leases,
            user_limit=settings.max_connections_per_user,
            project_limit=settings.max_connections_per_project,
            lease_s=settings.lease_s,
            unlimited=frozenset({AUDIT_PROJECT}),
            evict=self._evict,
            turn_away=self._turn_away,
            behind_bytes=self._behind_bytes,
        )
        self._gateway = gateway = Gateway(
            verifier,
            self._admission,
            lambda: self._session_services,
            metrics.sessions,
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
        editing = ProposalService(
            proposals,
            locks,
            required_approvals=settings.required_approvals,
            on_reopened=self._on_reopened,
        )
        validator = make_validator(settings)
        writer = ProposalWriter(
            settings.workspaces_dir, shared_schema_folders(validator.openspec())
        )
        await asyncio.to_thread(writer.settle_all)
        revisions = RevisionService(revision_store, proposals, editing, writer)
        model = self._make_model(metrics.llm)
        if model is not None:
            self._shutdown.push("language-model", model.close)
        iterations = Iterations(
            IterationParts(
                model=model,
                runs=run_store,
                editing=editing,
                revisions=revisions,
                validator=validator,
                writer=writer,
                lease_s=settings.lease_s,
                max_prompt_chars=settings.llm_context_chars,
                max_diff_bytes=min(MAX_DIFF_BYTES, settings.outbox_bytes // 4),
            )
            if model is not None
            else None
        )
        self._runs = runs = RunService(
            run_store,
            proposals,
            editing,
            log,
            control,
            tasks,
            metrics.runs,
            self.auditor,
            worker_id=settings.worker_id,
            lease_s=settings.lease_s,
            limits=RunLimits(
                per_worker=settings.max_runs_per_worker,
                per_project=settings.max_runs_per_project,
                queued_per_project=settings.max_queued_runs_per_project,
            ),
            salvage={RunKind.ITERATION: iteration_salvage(writer, editing)},
        )
        revocations = MongoRevocations(database)
        await revocations.prepare()
        self._revocation = RevocationService(
            verifier.revocations, revocations, control, leases, self.auditor, gateway.end_revoked
        )
        await self._revocation.load()
        self._watches = make_watches(settings, database, log, metrics.watch, self.auditor)
        control.handle("close", self._on_close_message)
        active_runs = ActiveRuns(runs.active_json)
        dispatcher.watchers.append(active_runs)
        session_settings = SessionSettings(
            ping_interval_s=settings.ping_interval_s,
            pong_timeout_s=settings.pong_timeout_s,
            outbox_bytes=settings.outbox_bytes,
            max_message_bytes=settings.max_message_bytes,
            max_messages_per_s=settings.max_messages_per_s,
            max_message_burst=settings.max_message_burst,
        )
        validations = Validations(validator)
        project_commands = {
            **ProjectCommands(gateway, log).table(),
            **RunCommands(proposals, runs, validations, iterations).table(),
        }
        recorded = {**commands.RECORDED, **run_commands.RECORDED, **audit_commands.RECORDED}
        self._session_services = SessionServices(
            settings=session_settings,
            log=log,
            dispatcher=dispatcher,
            wheel=self._wheel,
            tasks=tasks,
            metrics=metrics.sessions,
            commands=CommandTable(audited(self.auditor, project_commands, recorded)),
            active_runs=active_runs,
            on_closed=gateway.closed,
            on_refused=recorded_refusals(self.auditor, recorded),
            presence=presence,
        )
        self._audit_services = replace(
            self._session_services,
            log=self._audit_log,
            dispatcher=self._audit_dispatcher,
            commands=CommandTable(
                audited(
                    self.auditor,
                    AuditCommands(gateway, self._audit_log, self.auditor).table(),
                    commands.RECORDED,
                )
            ),
            presence=NoPresence(),
        )
        context = HandlerContext(
            gateway=gateway,
            log=log,
            history=History(log, membership.table),
            proposals=proposals,
            editing=editing,
            revisions=revisions,
            reviews=ReviewService(proposals, revisions),
            comments=CommentService(comments, proposals),
            locks=locks,
            runs=runs,
            iterations=iterations,
            snapshots=Snapshots(log, proposals, lock_store, run_store, presence.present),
            validations=validations,
            metrics=metrics.registry,
            http_metrics=metrics.http,
            origins=Origins(settings.allowed_origins),
            readiness=Readiness(
                {
                    "tail": lambda: None if self._tail.ready.is_set() else "the log is not tailed",
                    "audit": self.auditor.problem,
                    "stopping": lambda: (
                        "the worker is stopping" if self._shutdown.has_begun else None
                    ),
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
            revocation=self._revocation,
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
        access = self._mongo.log_access(database)
        store = LogStore(settings, database, self.metrics.audit_log, AUDIT, access=access)
        self._audit_heads = store.heads
        self._audit_log = await store.open()
        self._shutdown.push("audit-heads", self._flush_audit_heads)
        spool_dir = settings.data_dir / SPOOL_FOLDER
        try:
            make_folder(spool_dir, settings.folder_mode)
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
        self._shutdown.push("audit-spool", self.auditor.close)
        self._audit_dispatcher = Dispatcher(
            self._audit_log,
            AuditFanout(self.metrics.audit_log, self._sender),
            self._tasks,
            Membership(NoMembers()),
            recent_bytes=settings.recent_events_bytes,
        )
        self._audit_tail = EventTail(
            database,
            store.heads,
            self.metrics.audit_log,
            store.access,
            epoch=self._audit_log.epoch,
            prepare=store.prepare,
            on_packs=self._on_audit_packs,
            on_epoch=self._on_audit_epoch,
            collection=AUDIT,
            watched=self._audit_dispatcher.held,
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
            self._shutdown.push("audit-archive-thread", self._archiver.close)

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
        if not self._chain_begun or self._shutdown.has_begun:
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

    def _on_reopened(self, proposal: Proposal, actor: str) -> None:
        by = Acting(actor=actor, project_id=proposal.project_id)
        self.auditor.record(
            Action.PROPOSAL_STATUS_CHANGED,
            by=by,
            target=proposal.proposal_id,
            to=proposal.status.value,
            version=proposal.version,
            cause="revised",
        )

    def _make_model(self, metrics: LlmMetrics) -> "LanguageModel | None":
        settings = self._settings
        if settings.llm_base_url is not None and settings.llm_model is not None:
            return make_model(settings, settings.llm_base_url, settings.llm_model, metrics=metrics)
        if settings.llm_base_url is not None:
            _log.warning("iterations_off", problem="RT_LLM_BASE_URL is set, RT_LLM_MODEL is not")
        if not self._demo:
            return None
        demo_llm = demo_server()
        self._shutdown.push("demo-language-model", demo_llm.stop)
        demo_llm.start()
        _log.warning(
            "demo_llm_started",
            note="no RT_LLM_BASE_URL and RT_LLM_MODEL: revisions are made up by the demo's "
            "stand-in for a language model",
            base_url=demo_llm.base_url,
        )
        return make_model(settings, demo_llm.base_url, DEMO_MODEL, metrics=metrics, is_demo=True)

    async def _begin(self) -> None:
        self._shutdown.push("tasks", self._tasks.stop)
        self._tasks.start(self._audit_log.run(), name="audit-log-writer")
        self.auditor.start(self._tasks)
        await self._workers.begin()
        self._shutdown.push("workers", self._workers.end)
        if self._archiver is not None:
            self._tasks.start(self._archiver.run(), name="audit-archive")
            self._shutdown.push("audit-archive", self._finish_archive)
        self._shutdown.push("audit", self._finish_audit)
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
            "revocations": self._revocation.run(),
            "presence": self._fleet.run(),
            "positions": PositionsTicker(self._dispatcher, self._log).run(),
            "loop-lag": self.metrics.loop_lag.watch(),
        }
        loops |= {f"watch {watching.name}": watching.run() for watching in self._watches}
        for name, loop in loops.items():
            self._tasks.start(loop, name=name)
        self._push_drain()
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
            settings = self._settings
            await asyncio.to_thread(make_folder, settings.workspaces_dir, settings.folder_mode)
            for demo in await asyncio.to_thread(install_demo, settings.workspaces_dir):
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

    async def _evict(self, entry: ConnectionRecord) -> None:
        await self._close_anywhere(entry, CloseCode.REPLACED, None)

    def _turn_away(self, entry: ConnectionRecord) -> None:
        self._gateway.close(entry.connection_id, CloseCode.PROJECT_FULL)

    async def _close_anywhere(
        self, entry: ConnectionRecord, code: CloseCode, reason: str | None
    ) -> None:
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
        await self._shutdown.run()

    def _push_drain(self) -> None:
        """The steps whose order is not just that of the start turned round."""
        shutdown = self._shutdown
        for name, stop in reversed(
            [
                ("accept", self._http.stop),
                ("runs", self._runs.stop),
                ("close-sessions", self._close_sessions),
                ("presence-bye", self._fleet.end),
                ("presence", self._presence.stop),
                ("event-log", self._log.drain),
                # What waits for slow clients goes out first; places are free at once.
                ("last-words", self._say_last_words),
                ("connections", self._http.close_all_connections),
            ]
        ):
            shutdown.push(name, stop)

    def _close_sessions(self) -> None:
        self._gateway.close_all(CloseCode.GOING_AWAY)

    async def _say_last_words(self) -> None:
        await self._tasks.finish("close-session", "release-place")

    async def _finish_audit(self) -> None:
        await self.auditor.finish(self._shutdown.left_s())

    async def _finish_archive(self) -> None:
        if self._archiver is not None:
            await self._archiver.finish(self._shutdown.left_s())

    async def _flush_heads(self) -> None:
        await self._heads.flush(everything=True)

    async def _flush_audit_heads(self) -> None:
        await self._audit_heads.flush(everything=True)
