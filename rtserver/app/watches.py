"""The followers of an application's own collections."""

import secrets

from rtserver.app.audit import Audit
from rtserver.app.event_log import EventLog
from rtserver.app.foundation import Foundation
from rtserver.app.mongo import MongoAccess
from rtserver.audit.record.actions import Acting, Action, Outcome
from rtserver.audit.record.auditor import Auditor
from rtserver.lib.tasks import TaskOwner
from rtserver.model.watch import Watch
from rtserver.watch.follower import Watching
from store.watch.change_stream import ChangeStreams
from store.watch.places import MongoWatchPlaces


def build_watches(
    base: Foundation, mongo: MongoAccess, events: EventLog, audit: Audit
) -> TaskOwner:
    """Follow the collections that the settings name; the tasks that do so."""
    settings = base.settings
    tasks = base.shutdown.tasks("watches")
    places = MongoWatchPlaces(mongo.database, lease_s=settings.lease_s)
    source = ChangeStreams(mongo.database.client)
    records = _WatchRecords(audit.auditor)
    holder = f"{settings.worker_id}:{secrets.token_hex(8)}"
    # An event has to fit into every viewer's outbox, and into a publication.
    most_bytes = (
        settings.max_message_bytes,
        settings.outbox_bytes // 2,
        settings.event_log_bytes // 8,
    )
    for watch in settings.watches:
        watching = Watching(
            watch,
            places,
            source,
            events.writer,
            base.metrics.watch,
            records=records,
            holder=holder,
            lease_s=settings.lease_s,
            max_data_bytes=min(most_bytes),
        )
        tasks.start(watching.run(), name=f"watch {watching.name}")
    return tasks


class _WatchRecords:
    """Records what becomes of watches."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor

    def history_lost(self, watch: Watch) -> None:
        self._auditor.record(
            Action.WATCH_HISTORY_LOST, Outcome.FAILED, by=Acting(), target=watch.name
        )
