"""The followers of an application's own collections."""

import secrets

from rtserver.audit import Acting, Auditor
from rtserver.audit_actions import Action, Outcome
from rtserver.metrics import Metrics
from rtserver.settings import Settings
from rtserver.watch_spec import Watch
from rtserver.watching import Watching
from store.change_stream import ChangeStreams
from store.client import Database
from store.event_log import MongoEventLog
from store.watches import MongoWatchPlaces


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
