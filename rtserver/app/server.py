"""One worker, from its parts: the composition root, and the place to begin reading.

`rtserver.app.features` makes its features, one out of those before it. At its end
`rtserver.app.drain` comes first: what has to happen in one certain order.
"""

import structlog

from rtserver.app.drain import Drain
from rtserver.app.features import Features, build_features
from rtserver.app.folders import make_data_folder
from rtserver.app.foundation import Foundation, WorkerMetrics
from rtserver.app.http import build_application
from rtserver.app.interface import Interface
from rtserver.app.mongo import PatientStart
from rtserver.app.tokens import build_tokens
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

    def take_limits(self, settings: Settings) -> None:
        """Keep to the limits of these settings from now on, once it is started."""
        if self._features is not None:
            self._features.sessions.take_limits(settings)

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
            features = await patient.run(
                lambda: build_features(base, interface, verifier, demo=self._demo)
            )
        base.readiness.remove("start")
        self._features = features
        application = build_application(base, features, test_endpoints=self._test_endpoints)
        self._drain = Drain(features, base.settings.shutdown_grace_s)
        self._drain.push(base.shutdown)
        interface.answer(application)
        settings = base.settings
        _log.info("serving", host=settings.host, port=self.port, worker_id=settings.worker_id)

    async def stop(self, *, has_successor: bool = False) -> None:
        """Let everybody know, finish what is under way within the grace period, and end.

        Args:
            has_successor: another worker serves on the same socket already, so that clients may
                come back at once.
        """
        if self._drain is not None:
            self._drain.has_successor = has_successor
        await self._base.shutdown.run()
