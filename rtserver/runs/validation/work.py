"""The validation run: the validator's lines as events, and its verdict."""

from typing import Any

from rtserver.model.events import EventType
from rtserver.model.run import RunState
from rtserver.reviews.proposals import Proposal
from rtserver.runs.judged import TextOf, judged
from rtserver.runs.model import Run
from rtserver.runs.process.lines import OutputLine
from rtserver.runs.validation.validator import Validator
from rtserver.runs.work import Emit, Ending


class ValidationWork:
    """Runs the validator on a proposal. See `rtserver.runs.work.Work`."""

    started = EventType.VALIDATION_START
    cancelled = EventType.VALIDATION_CANCELLED
    failed = EventType.VALIDATION_ERROR

    def __init__(
        self, validator: Validator, text_of: TextOf, project_id: str, proposal_id: str
    ) -> None:
        self._validator = validator
        self._text_of = text_of
        self._project_id = project_id
        self._proposal_id = proposal_id

    def start_fields(self) -> dict[str, Any]:
        """The command, as people would type it."""
        return {"command": self._validator.command_line(self._project_id, self._proposal_id)}

    async def carry_out(self, run: Run, emit: Emit) -> Ending:
        """Stream the output, then say how it went."""

        async def on_lines(lines: list[OutputLine]) -> None:
            await emit(EventType.OUTPUT, [_line_fields(line) for line in lines])

        outcome, text = await judged(
            self._text_of,
            run.proposal_id,
            lambda: self._validator.validate(run.project_id, run.proposal_id, on_lines),
        )
        notices = _notices(outcome.summary)
        if notices:
            await emit(EventType.OUTPUT, notices)
        if outcome.status == "error":
            return Ending(
                RunState.ERROR,
                EventType.VALIDATION_ERROR,
                {"error": outcome.error, "reason": outcome.reason, "summary": outcome.summary},
            )
        fields: dict[str, Any] = {"status": outcome.status, "summary": outcome.summary}
        if text is not None:
            fields["revision"] = text
        return Ending(RunState(outcome.status), EventType.VALIDATION_COMPLETE, fields)


class Validations:
    """Makes the work of validations."""

    def __init__(self, validator: Validator, text_of: TextOf) -> None:
        self._validator = validator
        self._text_of = text_of

    def work(self, proposal: Proposal) -> ValidationWork:
        """The validation of a proposal."""
        return ValidationWork(
            self._validator, self._text_of, proposal.project_id, proposal.proposal_id
        )


def _line_fields(line: OutputLine) -> dict[str, Any]:
    fields: dict[str, Any] = {"line": line.text, "stream": line.stream, "n": line.n}
    if line.partial:
        fields["partial"] = True
    if line.replaces:
        fields["replaces"] = True
    if line.truncated:
        fields["truncated"] = True
        fields["omitted_bytes"] = line.omitted_bytes
    return fields


def _notices(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """What is to be said of output that is not there, as lines after the last one."""
    said = []
    if dropped := summary.get("lines_dropped"):
        said.append(
            ("output_cut", f"{dropped} more lines are not shown; the limit is {summary['lines']}")
        )
    if summary.get("output_may_be_lost"):
        said.append(
            (
                "output_may_be_lost",
                "the command ended before all that it printed was taken; what follows may be lost",
            )
        )
    return [
        {"line": f"[{words}]", "stream": "stderr", "n": n, "notice": notice}
        for n, (notice, words) in enumerate(said, start=summary["lines"] + 1)
    ]
