import json
from datetime import UTC, datetime
from typing import Any

import pytest

from rtserver.model.errors import InvalidError
from rtserver.model.identity import Identity
from rtserver.model.run import RunKind, RunState
from rtserver.reviews.proposals import Proposal
from rtserver.reviews.statuses import ProposalStatus
from rtserver.runs.commands import RunCommands
from rtserver.runs.model import Run
from tests.unit.sessions.parts import Client, Stage

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HERE = Proposal("here", "p1", "Here", "ada", [], ProposalStatus.DRAFT, NOON, NOON, "ada")
ELSEWHERE = Proposal("there", "p2", "There", "ada", [], ProposalStatus.DRAFT, NOON, NOON, "ada")
RUN_ID = "0123456789abcdef"


class Parts:
    """What commands of runs go through to, and what came there.

    Attributes:
        started: each run that was asked for, with what its work is.
        cancelled: each end that was asked for.
    """

    def __init__(self) -> None:
        self.started: list[tuple[RunKind, str, Any]] = []
        self.cancelled: list[tuple[str, RunKind | None]] = []
        self.place: int | None = None

    async def get(self, proposal_id: str) -> Proposal | None:
        return {"here": HERE, "there": ELSEWHERE}.get(proposal_id)

    def work(self, proposal: Proposal, *_more: Any) -> Any:
        if _more and not _more[1]:
            raise InvalidError("The instruction is empty")
        return ("work", proposal.proposal_id, *_more[1:])

    async def start(self, kind: RunKind, proposal: Proposal, by: Identity, work: Any) -> Run:
        self.started.append((kind, proposal.proposal_id, work))
        state = RunState.RUNNING if self.place is None else RunState.QUEUED
        return self._run(kind, by, state)

    async def cancel(self, by: Identity, run_id: str, kind: RunKind | None = None) -> Run:
        self.cancelled.append((run_id, kind))
        return self._run(kind or RunKind.VALIDATION, by, RunState.RUNNING)

    def _run(self, kind: RunKind, by: Identity, state: RunState) -> Run:
        return Run(
            RUN_ID, kind, "p1", "here", "w1", by.user_id, NOON, state=state, place=self.place
        )


async def joined(parts: Any) -> Client:
    """A client of the project p1 that can start runs."""
    return await Stage(commands=RunCommands(parts, parts, parts, parts).table()).joined()


async def said(client: Client, **message: Any) -> dict[str, Any]:
    """The answer to a message."""
    frame: dict[str, Any] = await client.say(json.dumps({"request_id": 1, **message}))
    return frame


@pytest.mark.gen_test
async def test_a_run_is_started_with_the_work_of_its_kind() -> None:
    parts = Parts()
    client = await joined(parts)
    frame = await said(client, type="start_validation", proposal_id="here")
    assert frame == {
        "type": "ack",
        "request_id": 1,
        "run_id": RUN_ID,
        "proposal_id": "here",
        "state": "running",
    }
    parts.place = 3
    frame = await said(client, type="start_iteration", proposal_id="here", instruction="Shorter")
    assert (frame["state"], frame["place"]) == ("queued", 3)
    assert parts.started == [
        (RunKind.VALIDATION, "here", ("work", "here")),
        (RunKind.ITERATION, "here", ("work", "here", "Shorter")),
    ]


@pytest.mark.parametrize("proposal_id", ["there", "nowhere"])
@pytest.mark.gen_test
async def test_a_proposal_of_another_project_is_as_unknown_as_none(proposal_id: str) -> None:
    parts = Parts()
    frame = await said(await joined(parts), type="start_validation", proposal_id=proposal_id)
    assert (frame["type"], frame["reason"]) == ("error", "not_found")
    assert parts.started == []


@pytest.mark.gen_test
async def test_what_cannot_be_worked_on_starts_nothing() -> None:
    parts = Parts()
    frame = await said(
        await joined(parts), type="start_iteration", proposal_id="here", instruction=""
    )
    assert (frame["type"], frame["reason"]) == ("error", "invalid")
    assert parts.started == []


@pytest.mark.gen_test
async def test_a_run_is_cancelled_as_one_of_its_kind() -> None:
    parts = Parts()
    client = await joined(parts)
    for kind in ("validation", "iteration"):
        frame = await said(client, type=f"cancel_{kind}", run_id=RUN_ID)
        assert (frame["type"], frame["run_id"], frame["proposal_id"]) == ("ack", RUN_ID, "here")
    assert parts.cancelled == [(RUN_ID, RunKind.VALIDATION), (RUN_ID, RunKind.ITERATION)]
    frame = await said(client, type="cancel_validation", run_id="no id!")
    assert (frame["type"], frame["reason"]) == ("error", "bad_identifier")
