"""How a process gets at MongoDB: the configured one, a shared one, or one of its own."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from rtserver.app.parts import make_data_folder
from rtserver.config.settings import Settings
from rtserver.model.errors import OperatorError
from store.base.client import Database, connect
from store.base.topology import PrimaryWatch
from store.log.access import DriverAccess, LogAccess
from store.log.wire_access import WireAccess, is_plain
from store.mongod.directory import MongodError
from store.mongod.process import PrivateMongod
from store.mongod.reach import attach, reach

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
        self._log_by_wire = False

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
        self._log_by_wire = is_plain(uri)
        database: Database = self._client[settings.mongodb_database]
        return database

    def log_access(self, database: Database) -> LogAccess:
        """What the writer and the tail of one log use: connections of their own where that goes."""
        return WireAccess(database) if self._log_by_wire else DriverAccess(database)

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


def no_answer(error: Exception) -> OperatorError:
    """What an operator is told where MongoDB does not answer."""
    return OperatorError(
        f"MongoDB does not answer ({type(error).__name__}); `check` tries the settings"
    )
