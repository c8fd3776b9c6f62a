"""The documents in MongoDB, and the relay that brings their events into the log."""

from dataclasses import dataclass

from rtserver.app.event_log import EventLog
from rtserver.app.foundation import Foundation
from rtserver.app.mongo import MongoAccess
from rtserver.reviews.collision_upkeep import settle_collisions
from rtserver.revisions.model import Revision
from store.base.relay import OutboxRelay
from store.documents.comments import COMMENTS, MongoComments, comment_fields
from store.documents.commits import MongoCommits
from store.documents.connections import MongoLeases
from store.documents.locks import LOCKS, MongoLocks
from store.documents.proposals import (
    PROPOSALS,
    MongoProposals,
    forget_with_removed,
    settling,
)
from store.documents.revisions import (
    REVISIONS,
    MongoRevisions,
    revision_document,
    revision_event_fields,
)
from store.documents.revocations import MongoRevocations
from store.documents.runs import RUNS, MongoRuns, telling_in_order


@dataclass(frozen=True, slots=True)
class Documents:
    """A store for each kind of document."""

    proposals: MongoProposals
    revisions: MongoRevisions
    commits: MongoCommits
    comments: MongoComments
    locks: MongoLocks
    runs: MongoRuns
    connections: MongoLeases
    revocations: MongoRevocations


async def build_documents(base: Foundation, mongo: MongoAccess, events: EventLog) -> Documents:
    """Make the stores and what is missing of their collections, and start the relay."""
    lease_s, database = base.settings.lease_s, mongo.database

    async def settle(project_id: str, proposal_id: str) -> None:
        await settle_collisions(documents.proposals, project_id, proposal_id)

    relay = OutboxRelay(
        database,
        events.writer,
        (RUNS, PROPOSALS, LOCKS, COMMENTS),
        {COMMENTS: comment_fields, REVISIONS: revision_event_fields},
        {PROPOSALS: forget_with_removed, RUNS: telling_in_order(lambda: relay)},
        {PROPOSALS: settling(settle)},
    )
    documents = Documents(
        proposals=MongoProposals(
            database,
            relay,
            required_approvals=base.settings.required_approvals,
            records={Revision: (REVISIONS, revision_document)},
        ),
        revisions=MongoRevisions(database),
        commits=MongoCommits(database),
        comments=MongoComments(database, relay),
        locks=MongoLocks(database, relay),
        runs=MongoRuns(database, relay, lease_s=lease_s),
        connections=MongoLeases(database, lease_s=lease_s),
        revocations=MongoRevocations(database),
    )
    await documents.proposals.prepare()
    await documents.commits.prepare()
    await documents.comments.prepare()
    await documents.locks.prepare()
    await relay.prepare()
    await documents.connections.prepare()
    await documents.runs.prepare()
    await documents.revisions.prepare()
    await documents.revocations.prepare()
    base.shutdown.tasks("outbox-relay").start(relay.run(), name="outbox-relay")
    return documents
