"""All features of a worker."""

from dataclasses import dataclass

from rtserver.app.audit import Audit
from rtserver.app.delivery import Delivery
from rtserver.app.documents import Documents
from rtserver.app.event_log import EventLog
from rtserver.app.interface import Interface
from rtserver.app.reviews import Reviews
from rtserver.app.runs import Runs
from rtserver.app.sessions import Sessions
from rtserver.lib.tasks import TaskOwner
from store.log.tail import EventTail


@dataclass(frozen=True, slots=True)
class Features:
    """What a worker does, and its interface hands over to.

    Attributes:
        interface: where all of it is asked for.
        watches: the tasks that follow an application's collections.
        tail: brings the events of all workers.
    """

    interface: Interface
    events: EventLog
    audit: Audit
    documents: Documents
    delivery: Delivery
    reviews: Reviews
    runs: Runs
    watches: TaskOwner
    sessions: Sessions
    tail: EventTail
