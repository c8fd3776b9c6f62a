"""How a process gets at MongoDB: the configured one, a shared one, or one of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from rtserver.app.folders import make_data_folder
from rtserver.app.foundation import Foundation
from rtserver.config.settings import Settings
from rtserver.lib.backoff import Backoff
from rtserver.lib.shutdown import Shutdown
from rtserver.model.errors import OperatorError, StoreUnavailableError, UnusableSettingError
from store.base.client import Database, DatabaseError, connect, is_replica_set
from store.base.mending import lack_problem, unusable_address, what_to_mend
from store.base.outage import require_majority, what_is_missing
from store.base.rights import what_is_not_allowed
from store.base.topology import PrimaryWatch
from store.log.access import DriverAccess, LogAccess
from store.log.wire_access import WireAccess, is_plain
from store.mongod.directory import MongodError
from store.mongod.process import PrivateMongod
from store.mongod.reach import attach, reach

NO_REPLICA_SET = "MongoDB is not a replica set: start it with --replSet and initiate it"
MONGOD_STOP_S = 10.0
RESTART_S, MAX_RESTART_S = 0.5, 5.0
START_AGAIN_S = 0.5
"""Between two attempts to start. Each takes seconds where nobody answers."""

T = TypeVar("T")

_log = structlog.get_logger()


class MongoAccess:
    """A way to MongoDB: the configured one, one that is shared here, or a private one.

    Attributes:
        primary: tells when there is no primary any more, and when there is again.
        private: the mongod that this process started, if it did.
    """

    def __init__(self, settings: Settings) -> None:
        """Take the settings; nothing is connected before `open`.

        Args:
            settings: where MongoDB is.
        """
        self._settings = settings
        self.primary = PrimaryWatch()
        self.private: PrivateMongod | None = None
        self._database: Database | None = None
        self._log_by_wire = False

    @property
    def database(self) -> Database:
        """The server's database, once it is open."""
        if self._database is None:
            raise RuntimeError("MongoDB is not open")
        return self._database

    async def open(self, *, may_start: bool = True, beside: bool = False) -> Database:
        """Connect, after starting a private mongod where there is no other.

        Args:
            may_start: whether a private mongod may be started.
            beside: use one that a running server holds for itself: the operator's commands.

        Raises:
            OperatorError: there is no MongoDB to be had.
            UnusableSettingError: its address is one that the driver does not take.
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
        try:
            client = connect(uri, [self.primary])
        except (DatabaseError, OSError, ValueError) as error:
            raise UnusableSettingError(unusable_address(error)) from error
        self._log_by_wire = is_plain(uri)
        self._database = client[settings.mongodb_database]
        return self._database

    def log_access(self) -> LogAccess:
        """What the writer and the tail of one log use: separate connections where that goes."""
        way = WireAccess if self._log_by_wire else DriverAccess
        return way(self.database)

    async def watch(self) -> None:
        """Start a private mongod again whenever it ends, until cancelled."""
        backoff = Backoff(RESTART_S, MAX_RESTART_S)
        while self.private is not None:
            status = await asyncio.shield(self.private.exited)
            _log.error("private_mongod_ended", status=status)
            while True:
                try:
                    await self.private.restart()
                    backoff.reset()
                    break
                except MongodError as error:
                    wait_s = backoff.next_s()
                    _log.error("private_mongod_not_restarted", error=str(error), retry_s=wait_s)
                    await asyncio.sleep(wait_s)

    async def close(self) -> None:
        """Disconnect, and stop the private mongod if there is one."""
        if self._database is not None:
            self._database.client.close()
        if self.private is not None:
            await self.private.stop()


async def build_mongo(base: Foundation) -> MongoAccess:
    """Connect a worker.

    Raises:
        OperatorError: there is no MongoDB to be had, it is no replica set, or its user lacks
            rights.
        DatabaseError: it does not answer, or has no majority.
    """
    mongo = MongoAccess(base.settings)
    base.shutdown.push("mongodb", mongo.close, least_s=MONGOD_STOP_S)
    database = await mongo.open()
    if mongo.private is not None:
        base.shutdown.tasks("mongod").start(mongo.watch(), name="mongod-watch")
    if not await is_replica_set(database):
        raise OperatorError(NO_REPLICA_SET)
    lack = await what_is_not_allowed(database)
    if lack is not None and lack.stops_start:
        raise OperatorError(lack_problem(lack, database.name))
    await require_majority(database)
    return mongo


class PatientStart:
    """Starts what needs MongoDB again until it is there, as what runs waits for it."""

    def __init__(
        self, shutdown: Shutdown, *, wait_s: float, on_missing: Callable[[], None]
    ) -> None:
        """Make it.

        Args:
            shutdown: gets the steps that undo what a start did.
            wait_s: how long to wait.
            on_missing: is told when MongoDB was not there: this start will take its time.
        """
        self._shutdown = shutdown
        self._on_missing = on_missing
        self._wait_s = wait_s
        self._missing: str | None = None

    def problem(self) -> str | None:
        """See `rtserver.observe.readiness.Part`."""
        return self._missing or "the worker is starting"

    async def run(self, start: Callable[[], Awaitable[T]]) -> T:
        """Start; what a start did that MongoDB let down is undone.

        Raises:
            OperatorError: MongoDB did not answer in time, or refuses the worker.
            StoreUnavailableError: it did not answer in time.
        """
        clock = asyncio.get_running_loop().time
        began_s = clock()
        mark = self._shutdown.mark()
        while True:
            try:
                started = await start()
            except (DatabaseError, StoreUnavailableError) as error:
                missing = what_is_missing(error)
                if missing is None or clock() + START_AGAIN_S >= began_s + self._wait_s:
                    cause = error if isinstance(error, DatabaseError) else error.__cause__
                    if isinstance(cause, DatabaseError):
                        raise OperatorError(what_to_mend(cause)) from error
                    raise
                await self._shutdown.back_to(mark)
                self._tell(missing, error)
                self._on_missing()
                await asyncio.sleep(START_AGAIN_S)
            else:
                if self._missing is not None:
                    _log.info("mongodb_there", waited_s=round(clock() - began_s, 1))
                return started

    def _tell(self, missing: str, error: Exception) -> None:
        """One line for as long as it is the same that is missing."""
        if missing != self._missing:
            self._missing = missing
            _log.warning(
                "waiting_for_mongodb", problem=missing, longest_s=self._wait_s, error=str(error)
            )


async def run_shared_mongod(settings: Settings) -> None:
    """Hold a private mongod for all workers of this host, until cancelled.

    Raises:
        OperatorError: it cannot run, or ended by itself.
    """
    make_data_folder(settings)
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
