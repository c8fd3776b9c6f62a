"""The durable log with what its writer needs, in a server or an operator's command."""

import structlog

from rtserver.config.settings import Settings
from rtserver.eventlog.extent import ExtentMeter
from rtserver.eventlog.metrics import LogMetrics
from rtserver.model.errors import OperatorError
from store.base.client import Database
from store.log.access import DriverAccess, LogAccess
from store.log.collection import (
    AUDIT,
    EVENTS,
    STRANGERS,
    log_exists,
    log_size_bytes,
    prepare_log,
    read_epoch,
    size_difference,
)
from store.log.extent import MongoLogExtents
from store.log.heads import Heads
from store.log.marks import MARKS_FOLDER, Marks
from store.log.writer import MongoEventLog

_log = structlog.get_logger()


def log_sizes(settings: Settings) -> dict[str, int]:
    """What the settings say how much each log holds, in bytes."""
    return {
        EVENTS: settings.event_log_bytes,
        AUDIT: settings.audit_log_bytes,
        STRANGERS: settings.stranger_log_bytes,
    }


class LogStore:
    """A durable log, with what its writer needs: in a server, or a command.

    There are three, each in another collection: `EVENTS`, `AUDIT` and `STRANGERS`.

    Attributes:
        collection: that it is in.
        heads: of the projects in it.
        marks: how far it is known to have gone.
        access: for its tail.
        extent_meter: measures how far back it reaches, and how full it is.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        metrics: LogMetrics,
        collection: str = EVENTS,
        *,
        access: LogAccess | None = None,
    ) -> None:
        """Take what is needed.

        Args:
            settings: sizes and time-outs.
            database: where it is.
            metrics: of this log.
            collection: of the log.
            access: how its writer and its tail get there: by way of the driver, unless given.
        """
        self._settings = settings
        self._database = database
        self._metrics = metrics
        self.collection = collection
        self.access = access or DriverAccess(database)
        self._size_bytes = log_sizes(settings)[collection]
        self.heads = Heads(database, buffer_bytes=self._size_bytes, collection=collection)
        name = f"{settings.mongodb_database}.{collection}.json"
        path = settings.data_dir / MARKS_FOLDER / name
        self.extent_meter = ExtentMeter(metrics, MongoLogExtents(database, collection))
        self.marks = Marks(database, collection, self.heads, path)

    async def prepare(self) -> str:
        """Make what is missing of the log; its epoch, another one where the log went back."""
        await prepare_log(self._database, self.collection, self._size_bytes)
        return await self.marks.check()

    async def open(self, *, existing: bool = False) -> MongoEventLog:
        """The log; its `run` is the caller's to start.

        Args:
            existing: take it as it is: an operator's shell need not have the server's settings.

        Raises:
            OperatorError: it should exist, and does not.
        """
        if not existing:
            await prepare_log(self._database, self.collection, self._size_bytes)
            epoch = await self.marks.check()
        elif await log_exists(self._database, self.collection):
            epoch = await read_epoch(self._database, self.collection)
        else:
            raise OperatorError(
                f"no server has used the database {self._database.name!r} yet: start one, or set "
                "RT_MONGODB_URI and RT_MONGODB_DATABASE to the server's"
            )
        has_bytes = await log_size_bytes(self._database, self.collection)
        if has_bytes is not None:
            self.heads.resize(has_bytes)
            difference = size_difference(self.collection, has_bytes, self._size_bytes)
            if difference is not None and not existing:
                _log.warning("log_size_differs", problem=difference)
        return MongoEventLog(
            self._database,
            self.heads,
            self._metrics,
            self.access,
            marks=self.marks,
            epoch=epoch,
            queue_bytes=self._settings.publish_queue_bytes,
            publish_timeout_s=self._settings.publish_timeout_s,
            collection=self.collection,
        )
