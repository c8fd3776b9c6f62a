"""Validations, iterations and runs over HTTP."""

from collections.abc import Callable
from typing import Annotated, ClassVar, TypedDict

import msgspec

from handlers.base.api import ApiHandler
from handlers.base.operations import Answer, operation
from rtserver.audit.record.actions import Action
from rtserver.model import ids
from rtserver.model.field_types import line_of
from rtserver.model.run import RunJson, RunKind, RunSummaryJson
from rtserver.reviews.pages import Cursor, PageLimit
from rtserver.reviews.proposals import Proposal
from rtserver.runs.iteration.factory import MAX_INSTRUCTION_CHARS
from rtserver.runs.service import proposal_for_run
from rtserver.runs.work import Work

CANCELLED = {
    RunKind.VALIDATION: Action.VALIDATION_CANCELLED,
    RunKind.ITERATION: Action.ITERATION_CANCELLED,
}


class _RunStarter(ApiHandler):
    async def start_run(
        self, kind: RunKind, proposal_id: str, work_of: Callable[[Proposal], Work]
    ) -> None:
        """Start a run on a proposal, and answer with it."""
        async with self.about(proposal_id):
            found = await proposal_for_run(self.context.proposals, self.identity, proposal_id)
        self.acting.project_id = found.project_id
        run = await self.context.runs.start(kind, found, self.identity, work_of(found))
        self.audit_details["run_id"] = run.run_id
        self.set_header("Location", f"/api/v1/runs/{run.run_id}")
        self.json(run.to_json(), 202)


class ValidationsHandler(_RunStarter):
    """`POST /api/v1/proposals/{id}/validations`."""

    audit_actions: ClassVar = {"POST": Action.VALIDATION_STARTED}

    @operation(
        "startValidation",
        {202: Answer((RunJson,), headers=("Location",), description="The run")},
        problems=(404, 409),
    )
    async def post(self, proposal: str) -> None:
        """Start a validation of a proposal.

        409 with the running one where there is one.
        """
        await self.start_run(
            RunKind.VALIDATION, ids.proposal_id(proposal), self.context.validations.work
        )


class IterationBody(msgspec.Struct):
    """The body of `POST .../iterations`."""

    instruction: Annotated[str, line_of(MAX_INSTRUCTION_CHARS)]


class IterationsHandler(_RunStarter):
    """`POST /api/v1/proposals/{id}/iterations`."""

    audit_actions: ClassVar = {"POST": Action.ITERATION_STARTED}

    @operation(
        "startIteration",
        {202: Answer((RunJson,), headers=("Location",), description="The run")},
        body=(IterationBody,),
        problems=(403, 404, 409),
    )
    async def post(self, proposal: str) -> None:
        """Have a proposal revised by a language model.

        For its author, who made it known, its reviewers, admins and services. An approved one goes
        back to `in_review`. 409 with the running one where there is one, where it is archived, and
        where somebody else holds the lock.
        """
        proposal_id = ids.proposal_id(proposal)
        body = self.body(IterationBody)
        self.audit_details["instruction"] = body.instruction
        await self.start_run(
            RunKind.ITERATION,
            proposal_id,
            lambda found: self.context.iterations.work(found, self.identity, body.instruction),
        )


class RunsQuery(msgspec.Struct):
    """Which runs.

    Attributes:
        after: `next` of the page before.
        limit: so many at most.
    """

    after: Cursor | None = None
    limit: PageLimit = 50


class RunsJson(TypedDict):
    """Runs of a proposal, newest first.

    Attributes:
        next: where it is not null there are more: ask for those `after` it.
    """

    runs: list[RunSummaryJson]
    next: Cursor | None


class RunsHandler(ApiHandler):
    """`GET /api/v1/proposals/{id}/runs`."""

    @operation(
        "listRuns",
        {200: Answer((RunsJson,), description="A page of the runs")},
        query=RunsQuery,
        problems=(404,),
    )
    async def get(self, proposal: str) -> None:
        """List a proposal's runs, newest first: validations and iterations, also those under way.

        What one of them said at its end is to be had at its own address.
        """
        query = self.query(RunsQuery)
        found, more = await self.context.runs.of_proposal(
            self.identity,
            ids.proposal_id(proposal),
            after=self.place("after", query.after),
            limit=query.limit,
        )
        self.json(
            {
                "runs": [run.to_summary() for run in found],
                "next": str(found[-1].place_in_list) if more else None,
            }
        )


class RunHandler(ApiHandler):
    """`/api/v1/runs/{run_id}`."""

    audit_actions: ClassVar = {"DELETE": Action.RUN_CANCELLED}

    @operation("getRun", {200: Answer((RunJson,), description="The run")}, problems=(404,))
    async def get(self, run_id: str) -> None:
        """Look at a run."""
        run = await self.context.runs.get(self.identity, ids.run_id(run_id))
        self.json(run.to_json())

    @operation(
        "cancelRun",
        {202: Answer((RunJson,), description="It is being ended, by its worker")},
        problems=(403, 404),
    )
    async def delete(self, run_id: str) -> None:
        """Cancel a run; one that has ended stays as it is."""
        run = await self.context.runs.cancel(self.identity, ids.run_id(run_id))
        self.audit_action = CANCELLED[run.kind]
        self.acting.project_id = run.project_id
        self.audit_target = run.proposal_id
        self.audit_details["run_id"] = run.run_id
        self.json(run.to_json(), 202)
