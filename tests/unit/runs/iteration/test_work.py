"""The iteration's work on real stores and files: no text changes under an approval."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rtserver.model.events import EventDraft, EventType
from rtserver.model.identity import Identity
from rtserver.model.moments import present_moment
from rtserver.model.run import RunKind, RunState
from rtserver.reviews.editing import ProposalService, creation_event
from rtserver.reviews.locks import LockService
from rtserver.reviews.proposals import Proposal, ProposalChanges
from rtserver.reviews.statuses import ProposalStatus
from rtserver.revisions.model import Cause, Revision
from rtserver.revisions.recording import RevisionRecorder
from rtserver.revisions.service import RevisionService
from rtserver.runs.files.write import ProposalWriter
from rtserver.runs.iteration.background import Background, BackgroundReader
from rtserver.runs.iteration.work import IterationParts, IterationWork, iteration_salvage
from rtserver.runs.llm.reply import Reply
from rtserver.runs.model import Run
from rtserver.runs.validation.validator import Validator
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
from store.documents.runs import RUNS, MongoRuns
from tests.support.lease_trust import ScriptedTrust
from tests.support.waiting import running
from tests.unit.store.parts import make_log

ADA = Identity("ada", "Ada", frozenset({"p1"}), frozenset(), time.time() + 600)
REPLY = '<file path="proposal.md">\n# New\n</file>'


class Model:
    """A language model that gives one file."""

    name = "m"
    is_demo = False

    async def reply(
        self, _messages: Any, add: Callable[[str], Any], _add_reasoning: Callable[[str], Any]
    ) -> Reply:
        added = add(REPLY)
        if added is not None:
            await added
        return Reply(REPLY, None, ended=True, notes=())


class NoBackground(BackgroundReader):
    """Nothing is to be known beside the files."""

    def __init__(self) -> None:
        """Read nothing."""

    async def of(self, *_parts: Any) -> Background:
        return Background()


class SlowWriter(ProposalWriter):
    """A writer under which something happens just before it writes, and just after.

    Attributes:
        before, after: done then, on the loop.
    """

    before: Callable[[], Any] | None = None
    after: Callable[[], Any] | None = None

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._loop = asyncio.get_running_loop()

    def write(self, *parts: Any) -> None:
        self._do(self.before)
        super().write(*parts)
        self._do(self.after)

    def _do(self, act: Callable[[], Any] | None) -> None:
        if act is not None:
            asyncio.run_coroutine_threadsafe(act(), self._loop).result(30)


class World:
    """A proposal in review, with one file, and an iteration of it that is under way."""

    def __init__(self, db: Database, log: Any, root: Path) -> None:
        relay = OutboxRelay(db, log, (PROPOSALS, LOCKS, RUNS), {REVISIONS: revision_event_fields})
        self.store = MongoProposals(db, relay, records={Revision: (REVISIONS, revision_document)})
        locks = LockService(MongoLocks(db, relay), lease_s=60, trust=ScriptedTrust())
        self.service = ProposalService(self.store, locks)
        self.runs = MongoRuns(db, relay, lease_s=60)
        self.folder = root / "p1" / "openspec" / "changes" / "a"
        self.folder.mkdir(parents=True)
        (self.folder / "proposal.md").write_text("# Old\n")
        self.writer = SlowWriter(root)
        model: Any = Model()
        store = MongoRevisions(db)
        recorder = RevisionRecorder(store, self.store, self.service, self.writer)
        self.revisions = RevisionService(store, self.store, self.service, recorder, self.writer)
        self.parts = IterationParts(
            model=model,
            runs=self.runs,
            editing=self.service,
            recorder=recorder,
            validator=Validator("true", "", 30, root, root),
            background=NoBackground(),
            writer=self.writer,
            lease_s=60,
            max_prompt_chars=10_000,
            max_diff_bytes=10_000,
        )
        now = present_moment()
        self.run = Run("r1", RunKind.ITERATION, "p1", "a", "w1", "ada", now)

    async def begin(self) -> IterationWork:
        await self.runs.prepare()
        status, now = ProposalStatus.IN_REVIEW, present_moment()
        proposal = Proposal("a", "p1", "T", "ada", [], status, now, now, "ada")
        await self.store.create(proposal, creation_event(proposal, "ada"))
        work = IterationWork(self.parts, proposal, ADA, "x")
        fields = {"run_id": "r1", **work.start_fields()}
        await self.runs.create(self.run, _draft(EventType.ITERATION_START, fields))
        return work

    async def approve(self) -> None:
        await self.service.change(ADA, "a", ProposalChanges(status=ProposalStatus.APPROVED))

    async def status(self) -> ProposalStatus:
        found = await self.store.get("a")
        assert found is not None
        return found.status

    def text(self) -> str:
        return (self.folder / "proposal.md").read_text()


def _draft(type_: EventType, fields: dict[str, Any]) -> Any:
    return EventDraft("p1", type_, fields)


@asynccontextmanager
async def a_world(db: Database, root: Path) -> AsyncIterator[World]:
    log = await make_log(db)
    async with running(log.run()):
        yield World(db, log, root)


async def _nothing(*_parts: Any) -> None:
    """Where the events of the run go."""


@pytest.mark.gen_test
async def test_an_approval_right_before_the_write_ends_after_it(
    db: Database, tmp_path: Path
) -> None:
    async with a_world(db, tmp_path) as world:
        work = await world.begin()
        world.writer.before = world.approve
        ending = await work.carry_out(world.run, _nothing)
        assert (ending.state, world.text()) == (RunState.COMPLETED, "# New\n")
        assert await world.status() is ProposalStatus.IN_REVIEW


@pytest.mark.gen_test
async def test_it_ends_also_where_the_run_is_cancelled_meanwhile(
    db: Database, tmp_path: Path
) -> None:
    async with a_world(db, tmp_path) as world:
        work = await world.begin()
        task = asyncio.ensure_future(work.carry_out(world.run, _nothing))

        async def cancel() -> None:
            await world.approve()
            task.cancel()

        world.writer.after = cancel
        ending = await task
        assert (ending.state, world.text()) == (RunState.COMPLETED, "# New\n")
        assert ending.fields["validation"]["reason"] == "cancelled"
        assert await world.status() is ProposalStatus.IN_REVIEW


@pytest.mark.gen_test
async def test_it_ends_also_where_the_worker_is_lost_meanwhile(
    db: Database, tmp_path: Path
) -> None:
    async with a_world(db, tmp_path) as world:
        await world.begin()
        await world.runs.progress(world.run, "validating", ["proposal.md"])
        await world.approve()
        run = await world.runs.get("r1")
        assert run is not None
        said = await iteration_salvage(world.writer, world.service)(run)
        assert said["files_modified"] == ["proposal.md"]
        assert await world.status() is ProposalStatus.IN_REVIEW


@pytest.mark.gen_test
async def test_a_text_that_nobody_has_seen_is_a_revision_before_it_is_overwritten(
    db: Database, tmp_path: Path
) -> None:
    async with a_world(db, tmp_path) as world:
        work = await world.begin()
        await work.carry_out(world.run, _nothing)
        made, _ = await world.revisions.of_proposal(ADA, "a", before=None, limit=10)
        assert [(one.number, one.cause) for one in made] == [
            (2, Cause.ITERATION),
            (1, Cause.FIRST),
        ]
        assert await world.revisions.contents(made[1]) == {"proposal.md": b"# Old\n"}
