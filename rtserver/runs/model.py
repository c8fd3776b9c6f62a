"""A run: one validation or iteration of a proposal, from its start to its one terminal event."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from rtserver.model.errors import ConflictError
from rtserver.model.events import EventDraft
from rtserver.model.moments import rfc3339
from rtserver.model.run import JudgedText, RunJson, RunKind, RunState, RunSummaryJson
from rtserver.reviews.pages import Place


@dataclass(slots=True)
class Run:
    """A run as it is stored.

    Attributes:
        run_id, kind, project_id, proposal_id: what it is.
        owner: the worker that carries it out.
        started_by: the user who asked for it.
        started_at, ended_at: when; `ended_at` only in a final state.
        state: see `RunState`.
        replay_from: the position just before its first event, for those who come late.
        cancel_by: who asked for its end, if somebody did.
        place: how many wait until it is its turn, itself included; only while it is queued.
        stage: how far its work is, in the work's own words; None before the first that matters.
        files: what its work writes, from the stage in which it does on.
        result: what its terminal event said.
        verdict: what the validator said in it, if it was asked.
        revision: the text that was judged, where it stayed the same meanwhile.
        reason: why it ended in an error, as a word.
    """

    run_id: str
    kind: RunKind
    project_id: str
    proposal_id: str
    owner: str
    started_by: str
    started_at: datetime
    state: RunState = RunState.RUNNING
    ended_at: datetime | None = None
    replay_from: str | None = None
    cancel_by: str | None = None
    place: int | None = None
    stage: str | None = None
    files: list[str] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    verdict: Literal["passed", "failed", "error"] | None = None
    revision: JudgedText | None = None
    reason: str | None = None

    @property
    def place_in_list(self) -> Place:
        """Where it stands among its proposal's runs."""
        return Place(self.started_at, self.run_id)

    def to_summary(self) -> RunSummaryJson:
        """The run as lists have it; times in RFC 3339."""
        shown: RunSummaryJson = {
            "run_id": self.run_id,
            "kind": self.kind,
            "proposal_id": self.proposal_id,
            "state": self.state,
            "started_by": self.started_by,
            "started_at": rfc3339(self.started_at),
        }
        if self.ended_at is not None:
            shown["ended_at"] = rfc3339(self.ended_at)
        if self.place is not None:
            shown["place"] = self.place
        if self.replay_from is not None:
            shown["replay_from"] = self.replay_from
        if self.verdict is not None:
            shown["verdict"] = self.verdict
        if self.revision is not None:
            shown["revision"] = self.revision
        if self.reason is not None:
            shown["reason"] = self.reason
        return shown

    def to_json(self) -> RunJson:
        """The run as clients see it; times in RFC 3339."""
        shown: RunJson = {
            "run_id": self.run_id,
            "kind": self.kind,
            "project_id": self.project_id,
            "proposal_id": self.proposal_id,
            "state": self.state,
            "started_by": self.started_by,
            "started_at": rfc3339(self.started_at),
        }
        if self.place is not None:
            shown["place"] = self.place
        if self.ended_at is not None:
            shown["ended_at"] = rfc3339(self.ended_at)
        if self.replay_from is not None:
            shown["replay_from"] = self.replay_from
        if self.result:
            shown["result"] = self.result
        return shown


@dataclass(frozen=True, slots=True)
class LastRuns:
    """How the last runs of some proposals ended, as clients see it.

    Attributes:
        runs: of each proposal the newest that has ended of each kind, cancelled or not.
        verdicts: of each proposal the newest in which the validator passed or failed it, which a
            later one that came to no verdict does not hide.
    """

    runs: list[RunSummaryJson] = field(default_factory=list)
    verdicts: list[RunSummaryJson] = field(default_factory=list)


class RunConflictError(ConflictError):
    """The proposal has a run of this kind already.

    Attributes:
        running: that run.
    """

    reason = "already_running"

    def __init__(self, running: Run) -> None:
        super().__init__(
            f"Another {running.kind.value} of the proposal is under way already",
            run=running.to_json(),
        )
        self.running = running


class RunStore(Protocol):
    """Runs, kept where all workers see them. Each change and its event are one."""

    async def create(self, run: Run, started: EventDraft) -> None:
        """Store a new run and its first event.

        Raises:
            RunConflictError: the proposal has one of this kind under way.
        """

    async def begin(self, run: Run, started: EventDraft) -> bool:
        """Turn a run that waited into a running one, with its start event.

        Its `replay_from` is stored anew. False if it was ended meanwhile.
        """

    async def take_place(self, run: Run, limit: int) -> bool:
        """Count a run as under way in its project.

        False where `limit` others are, or would be if those had asked for it who wait since
        before. A place is held on the run's lease; who waits has to ask again every second or so.
        """

    async def release_place(self, run: Run) -> None:
        """Count a run no longer as under way, or as waiting."""

    async def progress(self, run: Run, stage: str, files: Sequence[str]) -> bool:
        """Note how far a run is and renew its lease; False if it is not this owner's any more."""

    async def last_validation(self, proposal_id: str) -> dict[str, Any] | None:
        """What the newest run of a proposal that validated it said; None where none did."""

    async def finish(
        self, run: Run, state: RunState, result: dict[str, Any], ended: EventDraft
    ) -> bool:
        """End a run that this owner still holds, with its terminal event; False if it was ended."""

    async def lose(self, run: Run, result: dict[str, Any], ended: EventDraft) -> bool:
        """End a run whose lease lapsed; False where somebody else did, or the owner came back."""

    async def get(self, run_id: str) -> Run | None:
        """A run, or None."""

    async def of_proposal(
        self, proposal_id: str, *, after: Place | None, limit: int
    ) -> tuple[list[Run], bool]:
        """Runs of a proposal without their results, newest first, and whether there are more."""

    async def last_of(self, proposal_ids: Sequence[str]) -> LastRuns:
        """How the last runs of proposals ended."""

    async def renew(self, runs: Sequence[Run], owner: str) -> list[Run]:
        """Give an owner's runs a new lease, and the running ones their places.

        Returns:
            Those that are still under way and its own.
        """

    async def ask_cancel(self, run_id: str, by: str) -> None:
        """Note that a run is to end, so that the wish outlives the worker that was asked."""

    async def active(self, project_id: str) -> list[Run]:
        """The runs of a project that are under way, oldest first, the queued with their place."""

    async def lapsed(self) -> list[Run]:
        """Runs under way whose owner has not renewed their lease in time."""
