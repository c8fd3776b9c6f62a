"""The followers of an application's own collections."""

import secrets

from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.config.settings import Settings
from rtserver.model.watch import Watch
from rtserver.watch.follower import Watching
from rtserver.watch.metrics import WatchMetrics
from store.base.client import Database
from store.log.writer import MongoEventLog
from store.watch.change_stream import ChangeStreams
from store.watch.places import MongoWatchPlaces


def make_watches(
    settings: Settings,
    database: Database,
    log: MongoEventLog,
    metrics: WatchMetrics,
    auditor: Auditor,
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
