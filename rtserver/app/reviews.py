"""Proposals, their comments and the locks of projects."""

import secrets
from dataclasses import dataclass

import structlog

from rtserver.app.audit import Audit
from rtserver.app.documents import Documents
from rtserver.app.event_log import EventLog
from rtserver.app.folders import Workspaces, tool_limits
from rtserver.app.foundation import Foundation
from rtserver.app.mongo import MongoAccess
from rtserver.audit.record.actions import Acting, Action
from rtserver.audit.record.auditor import Auditor
from rtserver.git.command import Git
from rtserver.lib.server_root import SERVER_ROOT
from rtserver.reviews.comments import CommentService
from rtserver.reviews.editing import ProposalService
from rtserver.reviews.locks import Lock, LockService
from rtserver.reviews.proposals import Proposal
from rtserver.revisions.archiving import ArchivingService
from rtserver.revisions.committing import Committer
from rtserver.revisions.openspec import OpenSpec
from rtserver.revisions.pruning import prune_now_and_then
from rtserver.revisions.recording import RevisionRecorder
from rtserver.revisions.reviewing import ReviewService
from rtserver.revisions.service import RevisionService
from rtserver.revisions.spec_changes import SpecChanges
from rtserver.revisions.threads import ThreadService
from rtserver.revisions.watching import WorkspaceWatch
from rtserver.runs.process.environment import tool_environment
from store.watch.places import MongoWatchPlaces

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reviews:
    """What may be done in a review."""

    editing: ProposalService
    recorder: RevisionRecorder
    revisions: RevisionService
    decisions: ReviewService
    archiving: ArchivingService
    openspec: OpenSpec
    spec_changes: SpecChanges
    comments: CommentService
    threads: ThreadService
    locks: LockService


def build_reviews(
    base: Foundation,
    mongo: MongoAccess,
    events: EventLog,
    documents: Documents,
    workspaces: Workspaces,
    audit: Audit,
) -> Reviews:
    """Make the services, let locks expire, and watch the workspaces."""
    records = _ReviewRecords(audit.auditor)
    locks = LockService(
        documents.locks,
        lease_s=base.settings.lock_lease_s,
        trust=base.lease_trust,
        records=records,
    )
    base.shutdown.tasks("locks").start(locks.run(), name="locks")
    editing = ProposalService(
        documents.proposals,
        locks,
        required_approvals=base.settings.required_approvals,
        records=records,
    )
    committer = _build_committer(base, mongo, documents)
    recorder = RevisionRecorder(
        documents.revisions,
        documents.proposals,
        editing,
        workspaces.writer,
        committer=committer,
    )
    revisions = RevisionService(
        documents.revisions, documents.proposals, editing, recorder, workspaces.writer
    )
    base.shutdown.tasks("revisions").start(
        prune_now_and_then(documents.revisions, base.settings.revisions_kept_days),
        name="revisions-pruning",
    )
    if base.settings.workspace_watch == "on":
        _watch_workspaces(base, mongo, events, documents, recorder)
    openspec = OpenSpec(tool_environment(SERVER_ROOT), tool_limits(base.settings))
    comments = CommentService(documents.comments, documents.proposals)
    return Reviews(
        editing=editing,
        recorder=recorder,
        revisions=revisions,
        decisions=ReviewService(documents.proposals, recorder),
        archiving=ArchivingService(
            documents.proposals,
            editing,
            recorder,
            workspaces.writer,
            openspec,
            base.settings.workspaces_dir,
            committer=committer,
        ),
        openspec=openspec,
        spec_changes=SpecChanges(revisions, openspec, base.settings.workspaces_dir),
        comments=comments,
        threads=ThreadService(comments, documents.proposals, revisions),
        locks=locks,
    )


def _build_committer(
    base: Foundation, mongo: MongoAccess, documents: Documents
) -> Committer | None:
    """What makes commits, where the settings ask for it."""
    if base.settings.git == "off":
        return None
    git = Git(tool_environment(SERVER_ROOT), tool_limits(base.settings))
    if not git.is_there():
        _log.warning("git_missing", problem="RT_GIT is commit, but there is no git on the PATH")
    committer = Committer(
        documents.commits,
        documents.revisions,
        git,
        MongoWatchPlaces(mongo.database, lease_s=base.settings.lease_s),
        base.metrics.commits,
        root=base.settings.workspaces_dir,
        holder=f"{base.settings.worker_id}:{secrets.token_hex(8)}",
        lease_s=base.settings.lease_s,
    )
    base.shutdown.tasks("commits").start(committer.run(), name="commits")
    return committer


def _watch_workspaces(
    base: Foundation,
    mongo: MongoAccess,
    events: EventLog,
    documents: Documents,
    recorder: RevisionRecorder,
) -> None:
    watch = WorkspaceWatch(
        base.settings.workspaces_dir,
        recorder,
        documents.proposals,
        events.writer,
        MongoWatchPlaces(mongo.database, lease_s=base.settings.lease_s),
        holder=f"{base.settings.worker_id}:{secrets.token_hex(8)}",
        lease_s=base.settings.lease_s,
        look_interval_s=base.settings.workspace_look_interval_s,
    )
    base.shutdown.tasks("workspaces").start(watch.run(), name="workspaces")


class _ReviewRecords:
    """Records what nobody asked for."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor

    def lock_expired(self, lock: Lock) -> None:
        by = Acting(actor=lock.by, project_id=lock.project_id)
        self._auditor.record(Action.LOCK_EXPIRED, by=by, target=lock.project_id)

    def reopened(self, proposal: Proposal, actor: str) -> None:
        self._auditor.record(
            Action.PROPOSAL_STATUS_CHANGED,
            by=Acting(actor=actor, project_id=proposal.project_id),
            target=proposal.proposal_id,
            to=proposal.status.value,
            version=proposal.version,
            cause="revised",
        )
