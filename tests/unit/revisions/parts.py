"""Proposals with folders, on real stores and files."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rtserver.model.identity import Identity
from rtserver.model.moments import present_moment
from rtserver.reviews.editing import ProposalService, creation_event
from rtserver.reviews.locks import LockService
from rtserver.reviews.proposals import Proposal
from rtserver.reviews.statuses import ProposalStatus
from rtserver.revisions.model import Revision
from rtserver.revisions.recording import RevisionRecorder
from rtserver.revisions.service import RevisionService
from rtserver.runs.files.write import ProposalWriter
from store.base.client import Database
from store.base.relay import OutboxRelay
from store.documents.locks import LOCKS, MongoLocks
from store.documents.proposals import PROPOSALS, MongoProposals
from store.documents.revisions import (
    REVISIONS,
    MongoRevisions,
    revision_document,
    revision_event_fields,
)
from tests.support.lease_trust import ScriptedTrust
from tests.support.waiting import running
from tests.unit.store.parts import make_log

ADA = Identity("ada", "Ada", frozenset({"p1"}), frozenset(), time.time() + 600)


class Folders:
    """A project's workspace, and all that makes revisions of what is in it."""

    def __init__(self, db: Database, log: Any, root: Path) -> None:
        relay = OutboxRelay(db, log, (PROPOSALS, LOCKS), {REVISIONS: revision_event_fields})
        self.root = root
        self.proposals = MongoProposals(
            db, relay, records={Revision: (REVISIONS, revision_document)}
        )
        locks = LockService(MongoLocks(db, relay), lease_s=60, trust=ScriptedTrust())
        self.editing = ProposalService(self.proposals, locks)
        self.writer = ProposalWriter(root)
        self.store = MongoRevisions(db)
        self.recorder = RevisionRecorder(self.store, self.proposals, self.editing, self.writer)
        self.service = RevisionService(
            self.store, self.proposals, self.editing, self.recorder, self.writer
        )

    async def propose(
        self, name: str, text: str, status: ProposalStatus = ProposalStatus.IN_REVIEW
    ) -> Proposal:
        """Make a folder with one file, and make it known; ada is the author."""
        folder = self.folder(name)
        folder.mkdir(parents=True)
        (folder / "proposal.md").write_text(text)
        now = present_moment()
        proposal = Proposal(name, "p1", "T", "ada", [], status, now, now, "ada")
        await self.proposals.create(proposal, creation_event(proposal, "ada"))
        return proposal

    def folder(self, name: str) -> Path:
        """Where the files of a proposal are."""
        return self.root / "p1" / "openspec" / "changes" / name


@asynccontextmanager
async def make_folders(db: Database, root: Path) -> AsyncIterator[Folders]:
    """A workspace root with nothing in it, and a log that runs."""
    log = await make_log(db)
    async with running(log.run()):
        yield Folders(db, log, root)
