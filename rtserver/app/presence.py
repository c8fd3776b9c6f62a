"""Who has a project open, on this worker and on the others."""

from dataclasses import dataclass

from rtserver.app.audit import Audit
from rtserver.app.delivery import Delivery
from rtserver.app.documents import Documents
from rtserver.app.event_log import EventLog
from rtserver.app.foundation import Foundation
from rtserver.presence.fleet import PresenceFleet
from rtserver.presence.room import MAX_LIST_BYTES, Bounds
from rtserver.presence.service import PresenceService
from rtserver.sessions.admission import Admission


@dataclass(frozen=True, slots=True)
class Presence:
    """This worker's rooms, and what is known of the other workers."""

    service: PresenceService
    fleet: PresenceFleet


async def build_presence(
    base: Foundation,
    events: EventLog,
    documents: Documents,
    audit: Audit,
    delivery: Delivery,
    admission: Admission,
) -> Presence:
    """Find the other workers, and watch who comes and goes."""
    settings = base.settings
    service = PresenceService(
        delivery.dispatcher.feeds,
        Bounds(frame_bytes=min(MAX_LIST_BYTES, settings.outbox_bytes // 8)),
        admission,
    )
    tasks = base.shutdown.tasks("presence")
    service.fleet = fleet = PresenceFleet(
        service,
        documents.connections,
        audit.registry,
        events.control,
        tasks,
        worker_id=settings.worker_id,
        lease_s=settings.lease_s,
        trust=base.lease_trust,
    )
    await fleet.begin()
    tasks.start(fleet.run(), name="presence")
    return Presence(service, fleet)
