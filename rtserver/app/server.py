"""One worker, from its parts: the composition root, and the place to begin reading.

Each `build_...` makes one feature out of those before it, starts what runs in it, and pushes what
stops it onto the worker's `Shutdown`. So the code below is also the order of the start, and read
from below that of the end; `rtserver.app.drain` comes before all of it.
"""

import structlog

from rtserver.app.audit import build_audit
from rtserver.app.delivery import build_delivery, build_tails
from rtserver.app.demo import build_demo, tell_demo_story
from rtserver.app.documents import build_documents
from rtserver.app.drain import Drain
from rtserver.app.event_log import build_event_log
from rtserver.app.features import Features
from rtserver.app.folders import build_workspaces, make_data_folder
from rtserver.app.foundation import Foundation, WorkerMetrics
from rtserver.app.http import build_application
from rtserver.app.interface import Interface
from rtserver.app.mongo import PatientStart, build_mongo
from rtserver.app.reviews import build_reviews
from rtserver.app.runs import build_runs
from rtserver.app.sessions import build_sessions
from rtserver.app.tokens import build_tokens
from rtserver.app.watches import build_watches
from rtserver.auth.tokens import TokenVerifier
from rtserver.config.settings import Settings
from rtserver.lib.lease_trust import LeaseTrust
from rtserver.lib.shutdown import Shutdown
from rtserver.observe.readiness import Readiness

_log = structlog.get_logger()


class Server:
    """One worker.

    Attributes:
        metrics: what it counts.
        port: where it listens, once it is started.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        secret: str | None,
        demo: bool = False,
        test_endpoints: bool = False,
    ) -> None:
        """Make it; nothing is touched before `start`.

        Args:
            settings: of the worker.
            secret: for tokens that are signed with one.
            demo: add the demo project, and its stand-in where there is no language model.
            test_endpoints: add what protocol test suites ask for.
        """
        self.metrics = WorkerMetrics()
        self.port = settings.port
        shutdown = Shutdown(grace_s=settings.shutdown_grace_s)
        self._base = Foundation(
            settings, self.metrics, shutdown, Readiness(), LeaseTrust(settings.lease_s)
        )
        self._base.readiness.add("stopping", shutdown)
        self._secret = secret
        self._demo = demo
        self._test_endpoints = test_endpoints
        self._features: Features | None = None
        self._drain: Drain | None = None

    @property
    def features(self) -> Features:
        """What it is made of, once it is started."""
        if self._features is None:
            raise RuntimeError("the worker is not started")
        return self._features

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
            await self.stop()
            raise

    async def _start(self) -> None:
        base = self._base
        verifier = build_tokens(base, self._secret)
        make_data_folder(base.settings)
        # Before all else: a port that is in use is said before anything is started.
        interface = Interface(base)
        self.port = interface.port
        patient = PatientStart(
            base.shutdown,
            wait_s=base.settings.startup_wait_s,
            on_missing=interface.say_starting,
        )
        base.readiness.add("start", patient)
        with interface.answering_meanwhile():
            features = await patient.run(lambda: self._build(interface, verifier))
        base.readiness.remove("start")
        self._features = features
        application = build_application(base, features, test_endpoints=self._test_endpoints)
        self._drain = Drain(features, base.settings.shutdown_grace_s)
        self._drain.push(base.shutdown)
        interface.answer(application)
        settings = base.settings
        _log.info("serving", host=settings.host, port=self.port, worker_id=settings.worker_id)

    async def _build(self, interface: Interface, verifier: TokenVerifier) -> Features:
        base = self._base
        mongo = await build_mongo(base)
        events = await build_event_log(base, mongo)
        audit = await build_audit(base, mongo)
        documents = await build_documents(base, mongo, events)
        made = await build_demo(base, documents) if self._demo else set()
        delivery = build_delivery(base, events, audit, documents)
        workspaces = await build_workspaces(base)
        reviews = build_reviews(base, mongo, events, documents, workspaces, audit)
        await tell_demo_story(reviews, made)
        runs = await build_runs(
            base, events, documents, delivery, workspaces, reviews, audit, demo=self._demo
        )
        watches = build_watches(base, mongo, events, audit)
        sessions = await build_sessions(base, verifier, events, audit, documents, delivery, runs)
        tail = await build_tails(base, mongo, events, audit, delivery, sessions.table)
        return Features(
            interface, events, audit, documents, delivery, reviews, runs, watches, sessions, tail
        )

    async def stop(self, *, has_successor: bool = False) -> None:
        """Let everybody know, finish what is under way within the grace period, and end.

        Args:
            has_successor: another worker serves on the same socket already, so that clients may
                come back at once.
        """
        if self._drain is not None:
            self._drain.has_successor = has_successor
        await self._base.shutdown.run()
