"""The durable logs of a worker, with their writers at work."""

from dataclasses import dataclass

from rtserver.app.foundation import Foundation
from rtserver.app.logs import LogStore
from rtserver.app.mongo import MongoAccess
from rtserver.config.settings import Settings
from rtserver.eventlog.answering import Answering
from rtserver.eventlog.metrics import LogMetrics
from rtserver.eventlog.worker_messages import Control
from rtserver.lib.data_folder import make_folder
from rtserver.model.errors import OperatorError
from store.log.collection import EVENTS
from store.log.marks import MARKS_FOLDER
from store.log.writer import MongoEventLog


@dataclass(frozen=True, slots=True)
class Log:
    """A durable log.

    Attributes:
        store: what it is kept in.
        writer: the log itself.
    """

    store: LogStore
    writer: MongoEventLog


@dataclass(frozen=True, slots=True)
class EventLog(Log):
    """The log of events.

    Attributes:
        control: carries messages between workers, in this log.
        answering: whether MongoDB answers, as the log's tail sees it.
    """

    control: Control
    answering: Answering


async def build_event_log(base: Foundation, mongo: MongoAccess) -> EventLog:
    """Open the log of events.

    Raises:
        OperatorError: the data directory can't be written.
        DatabaseError: MongoDB does not answer.
    """
    store = LogStore(
        base.settings, mongo.database, base.metrics.log, EVENTS, access=mongo.log_access()
    )
    writer = await _start(base, store, "event-log")
    control = Control(writer, worker_id=base.settings.worker_id)
    return EventLog(store, writer, control, Answering())


async def build_audit_log(
    base: Foundation, mongo: MongoAccess, collection: str, metrics: LogMetrics, name: str
) -> Log:
    """Open an audit log.

    Args:
        base: of the worker.
        mongo: where it is.
        collection: `AUDIT` or `STRANGERS`.
        metrics: what is measured of it.
        name: for its tasks.
    """
    store = LogStore(base.settings, mongo.database, metrics, collection, access=mongo.log_access())
    return Log(store, await _start(base, store, f"{name}-log"))


async def _start(base: Foundation, store: LogStore, name: str) -> MongoEventLog:
    _make_marks_folder(base.settings)
    writer = await store.open()
    base.shutdown.push(f"{name}-mark", store.marks.write)
    base.shutdown.push(f"{name}-heads", store.heads.finish)
    tasks = base.shutdown.tasks(name)
    tasks.start(writer.run(), name=f"{name}-writer")
    tasks.start(store.heads.run(), name=f"{name}-heads")
    tasks.start(store.marks.run(), name=f"{name}-mark")
    tasks.start(store.extent_meter.run(), name=f"{name}-extent")
    return writer


def _make_marks_folder(settings: Settings) -> None:
    folder = settings.data_dir / MARKS_FOLDER
    try:
        make_folder(folder, settings.folder_mode)
    except OSError as error:
        raise OperatorError(
            f"how far the logs have gone can't be kept in {folder} ({error.strerror}): "
            "set RT_DATA_DIR to a directory that can be written"
        ) from error
