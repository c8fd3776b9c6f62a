"""Validations and runs over HTTP."""

from handlers.base import ApiHandler
from rtserver import ids
from rtserver.metrics import RunKind
from rtserver.runs import proposal_for_run
from rtserver.validation import ValidationWork


class ValidationsHandler(ApiHandler):
    """`POST /api/v1/proposals/{id}/validations`."""

    async def post(self, proposal: str) -> None:
        """Start a validation; 202 with the run, 409 with the running one."""
        found = await proposal_for_run(
            self.context.proposals, self.identity, ids.proposal_id(proposal)
        )
        work = ValidationWork(self.context.validator, found.project_id, found.proposal_id)
        run = await self.context.runs.start(RunKind.VALIDATION, found, self.identity, work)
        self.set_header("Location", f"/api/v1/runs/{run.run_id}")
        self.json(run.to_json(), 202)


class RunHandler(ApiHandler):
    """`/api/v1/runs/{run_id}`."""

    async def get(self, run_id: str) -> None:
        """Answer with the run as it is."""
        run = await self.context.runs.get(self.identity, ids.run_id(run_id))
        self.json(run.to_json())

    async def delete(self, run_id: str) -> None:
        """Cancel it; 202, for its owner ends it a moment later."""
        run = await self.context.runs.cancel(self.identity, ids.run_id(run_id))
        self.json(run.to_json(), 202)
