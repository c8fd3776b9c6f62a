"""All features of a worker: what they are, and how one is made out of those before it."""

from dataclasses import dataclass

from rtserver.app.audit import Audit, build_audit
from rtserver.app.delivery import Delivery, build_delivery, build_tails
from rtserver.app.demo import build_demo, tell_demo_story
from rtserver.app.documents import Documents, build_documents
from rtserver.app.event_log import EventLog, build_event_log
from rtserver.app.folders import build_workspaces
from rtserver.app.foundation import Foundation
from rtserver.app.interface import Interface
from rtserver.app.mongo import build_mongo
from rtserver.app.reviews import Reviews, build_reviews
from rtserver.app.runs import Runs, build_runs
from rtserver.app.sessions import Sessions, build_sessions
from rtserver.app.watches import build_watches
from rtserver.app.webhooks import build_webhooks
from rtserver.auth.tokens import TokenVerifier
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


async def build_features(
    base: Foundation, interface: Interface, verifier: TokenVerifier, *, demo: bool
) -> Features:
    """Make all features and start them.

    Each `build_...` makes one out of those before it, starts what runs in it, and pushes what stops
    it onto the worker's `Shutdown`. So this is the order of the start, and read from below that of
    the end.

    Args:
        base: what all stand on.
        interface: where the worker listens.
        verifier: of tokens.
        demo: with the demo's project, and its stand-in where there is no language model.

    Raises:
        OperatorError: something on this host or in its settings is in the way.
        StoreUnavailableError: MongoDB does not answer.
    """
    mongo = await build_mongo(base)
    events = await build_event_log(base, mongo)
    audit = await build_audit(base, mongo)
    documents = await build_documents(base, mongo, events)
    made = await build_demo(base, documents) if demo else set()
    delivery = build_delivery(base, events, audit, documents)
    workspaces = await build_workspaces(base, demo=demo)
    reviews = build_reviews(base, mongo, events, documents, workspaces, audit)
    await tell_demo_story(reviews, made)
    runs = await build_runs(
        base, events, documents, delivery, workspaces, reviews, audit, demo=demo
    )
    watches = build_watches(base, mongo, events, audit)
    webhooks = await build_webhooks(base, mongo, events, audit)
    sessions = await build_sessions(base, verifier, events, audit, documents, delivery, runs)
    tail = await build_tails(base, mongo, events, audit, delivery, sessions.table, webhooks)
    return Features(
        interface, events, audit, documents, delivery, reviews, runs, watches, sessions, tail
    )
