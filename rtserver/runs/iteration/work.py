"""The iteration run: a language model revises a proposal, and the validator judges the result."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from rtserver.lib.threads import finish_in_thread, see_through
from rtserver.model.errors import RefusedError
from rtserver.model.events import EventType
from rtserver.model.identity import Identity
from rtserver.model.run import JudgedText, RunState
from rtserver.reviews.editing import ProposalService
from rtserver.reviews.proposals import Proposal
from rtserver.revisions.model import Cause, Origin
from rtserver.revisions.recording import RevisionRecorder
from rtserver.runs.files.paths import UnsafePathError
from rtserver.runs.files.read import ProposalFiles, WorkspaceError
from rtserver.runs.files.write import ProposalWriter
from rtserver.runs.iteration.background import BackgroundReader
from rtserver.runs.iteration.changes import Changes, changes_of
from rtserver.runs.iteration.diffs import diffs_of
from rtserver.runs.iteration.findings import findings_of
from rtserver.runs.iteration.prompt import MAX_NAMED, Prompt, build_prompt
from rtserver.runs.iteration.reply_files import BadReplyError, is_complete_in_form
from rtserver.runs.iteration.token_batcher import TokenJoiner
from rtserver.runs.judged import judged
from rtserver.runs.llm.errors import LlmError, cut_off
from rtserver.runs.llm.reply import Reply
from rtserver.runs.model import Run, RunStore
from rtserver.runs.run_log import until_answered
from rtserver.runs.validation.validator import Validator
from rtserver.runs.work import Emit, Ending

if TYPE_CHECKING:
    from rtserver.runs.llm.client import LanguageModel

WRITING = "writing"
VALIDATING = "validating"
SETTLE_TIMEOUT_S = 5.0
"""How long another worker may take that looks after the same files of a lost one."""

T = TypeVar("T")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class IterationParts:
    """What iterations need of the server. One object for all of them.

    Attributes:
        model: whom to ask.
        runs: where runs are kept.
        editing: who may change a proposal's text, and what becomes of its approval then.
        recorder: makes what is written a revision.
        validator: judges the result.
        background: what the model has to know beside the files.
        writer: reads and writes the projects' files.
        lease_s: how long a run counts as this worker's after its last sign of life.
        max_prompt_chars: most characters of files and background that the model is shown.
        max_diff_bytes: most of the diffs that viewers are shown.
    """

    model: "LanguageModel"
    runs: RunStore
    editing: ProposalService
    recorder: RevisionRecorder
    validator: Validator
    background: BackgroundReader
    writer: ProposalWriter
    lease_s: float
    max_prompt_chars: int
    max_diff_bytes: int


class IterationWork:
    """Has one proposal revised. See `rtserver.runs.work.Work`."""

    started = EventType.ITERATION_START
    cancelled = EventType.ITERATION_CANCELLED
    failed = EventType.ITERATION_ERROR

    def __init__(
        self, parts: IterationParts, proposal: Proposal, by: Identity, instruction: str
    ) -> None:
        self._parts = parts
        self._proposal = proposal
        self._by = by
        self._instruction = instruction

    def start_fields(self) -> dict[str, Any]:
        """Who is asked, and what for."""
        model = self._parts.model
        fields: dict[str, Any] = {"model": model.name, "instruction": self._instruction}
        if model.is_demo:
            fields["demo"] = True
        return fields

    async def carry_out(self, run: Run, emit: Emit) -> Ending:
        """Ask, write, validate. Up to the write everything can be taken back, after it nothing."""
        try:
            files = await asyncio.to_thread(
                self._parts.writer.read, run.project_id, run.proposal_id
            )
            prompt = await self._prompt(run, files)
            joiner = TokenJoiner(lambda tokens: emit(EventType.TOKEN, tokens))
            reply = await self._ask(prompt, joiner)
            changes = await asyncio.to_thread(_changes_in, reply, files, prompt)
            diffs = await asyncio.to_thread(diffs_of, changes.texts, self._parts.max_diff_bytes)
            interrupted = await self._write(run, changes)
        except (LlmError, WorkspaceError, BadReplyError) as error:
            return _failed(error.reason, str(error))
        except UnsafePathError as error:
            return _failed("unsafe_path", str(error))
        except RefusedError as error:
            return _failed(error.reason, str(error))
        validation, text = await self._validation(run, changes, interrupted=interrupted)
        fields: dict[str, Any] = {
            "files_modified": changes.paths,
            "validation": validation,
            "usage": reply.usage or {},
            "diffs": diffs,
        }
        if text is not None:
            fields["revision"] = text
        if prompt.left_out:
            fields["left_out"] = dict(islice(prompt.left_out.items(), MAX_NAMED))
        return Ending(RunState.COMPLETED, EventType.ITERATION_COMPLETE, fields)

    async def _prompt(self, run: Run, files: ProposalFiles) -> Prompt:
        found = await until_answered(lambda: self._parts.runs.last_validation(run.proposal_id), run)
        texts = {path: file.text for path, file in files.files.items()}
        reader = self._parts.background
        background = await until_answered(lambda: reader.of(self._by, self._proposal, texts), run)
        return build_prompt(
            proposal_id=run.proposal_id,
            title=self._proposal.title,
            files=files,
            findings=findings_of(found or {}),
            instruction=self._instruction,
            max_chars=self._parts.max_prompt_chars,
            background=background,
        )

    async def _ask(self, prompt: Prompt, joiner: TokenJoiner) -> Reply:
        """The reply goes to the joiner, and all of it is durable when this returns or raises.

        Raises:
            LlmError: there is no whole reply.
        """
        outcome: Reply | LlmError
        async with asyncio.TaskGroup() as group:
            group.create_task(joiner.run())
            try:
                outcome = await self._parts.model.reply(
                    prompt.messages, joiner.add, joiner.add_reasoning
                )
            except LlmError as error:
                outcome = error
            finally:
                joiner.close()
        if isinstance(outcome, LlmError):
            raise outcome
        return outcome

    async def _write(self, run: Run, changes: Changes) -> bool:
        """Write the files.

        Returns:
            Whether the task was cancelled when it was too late to take the files back.

        Raises:
            RefusedError: who asked for it may not have the text changed any more, or not now.
            WorkspaceError: nothing was written.
            UnsafePathError: nothing was written.
            CancelledError: nothing was written.
        """
        if not changes.files:
            return False
        # What is about to be overwritten may have been seen by nobody: it is a revision first.
        await until_answered(lambda: self._parts.recorder.text_of(run.proposal_id), run)
        deadline_s = await self._claim(run, changes)
        ended = threading.Event()

        origin = Origin(Cause.ITERATION, run.started_by, run.run_id)
        seen = self._parts.recorder.after_write(run.proposal_id, origin)

        def write() -> None:
            self._parts.writer.write(
                run.project_id,
                run.proposal_id,
                run.run_id,
                changes.files,
                lambda: not ended.is_set() and time.monotonic() < deadline_s,
                seen,
            )

        interrupted = await finish_in_thread(write, on_cancel=ended.set)
        return await see_through(self._reopen(run)) or interrupted

    async def _reopen(self, run: Run) -> None:
        """See to it that the proposal is not approved: its text is not what was approved."""
        await until_answered(
            lambda: self._parts.editing.reopen(run.proposal_id, run.started_by), run
        )

    async def _claim(self, run: Run, changes: Changes) -> float:
        """Note that the files are about to be written.

        Returns:
            Until when, by the monotonic clock, nobody else can end the run.

        Raises:
            RefusedError, CancelledError: see `_write`.
        """
        parts = self._parts

        async def claim() -> float | None:
            # The lease runs from before the question, so it is over here before it is elsewhere.
            asked_s = time.monotonic()
            claimed = await parts.runs.progress(run, WRITING, changes.paths)
            return asked_s + parts.lease_s if claimed else None

        while True:
            deadline_s = await until_answered(claim, run)
            if deadline_s is None:
                raise asyncio.CancelledError  # another worker has ended this run
            # Last of all: between these answers and the write there is nothing that takes time.
            await until_answered(lambda: parts.editing.check_text(self._by, run.proposal_id), run)
            await self._reopen(run)
            if time.monotonic() < deadline_s:
                return deadline_s

    async def _validation(
        self, run: Run, changes: Changes, *, interrupted: bool
    ) -> tuple[dict[str, Any], JudgedText | None]:
        """Have the files judged, and say which text that was; cancelled or not, they stay."""
        try:
            if interrupted:
                raise asyncio.CancelledError
            if changes.files:
                await until_answered(
                    lambda: self._parts.runs.progress(run, VALIDATING, changes.paths), run
                )
                await asyncio.to_thread(self._forget_write, run)
            outcome, text = await judged(
                self._parts.recorder.text_of,
                run.proposal_id,
                lambda: self._parts.validator.validate(run.project_id, run.proposal_id, _no_lines),
            )
        except asyncio.CancelledError:
            if not changes.files:
                raise
            stopped = "The files were written; then the run was stopped, before the validator "
            return {"status": "error", "reason": "cancelled", "error": f"{stopped}had ended"}, None
        validation = {"status": outcome.status, **outcome.summary}
        if outcome.status == "error":
            validation |= {"reason": outcome.reason, "error": outcome.error}
        return validation, text

    def _forget_write(self, run: Run) -> None:
        try:
            self._parts.writer.forget(run.project_id, run.proposal_id, run.run_id)
        except WorkspaceError as error:
            _log.warning("write_not_forgotten", run_id=run.run_id, problem=str(error))


def iteration_salvage(
    writer: ProposalWriter, editing: ProposalService
) -> Callable[[Run], Awaitable[dict[str, Any]]]:
    """What to do about an iteration whose worker is gone; see `rtserver.runs.work.Salvage`."""

    def settle(run: Run) -> bool:
        if run.stage == VALIDATING:
            return True
        if run.stage != WRITING:
            return False
        settled = writer.settle(run.project_id, run.proposal_id, lock_timeout_s=SETTLE_TIMEOUT_S)
        return settled.outcome == "committed" and settled.run_id == run.run_id

    async def salvage(run: Run) -> dict[str, Any]:
        gone = "The server that carried this out is gone"
        try:
            written = await asyncio.to_thread(settle, run)
        except WorkspaceError as error:
            _log.warning("write_not_settled", run_id=run.run_id, problem=str(error))
            return {"error": f"{gone}; look at the files before you start it again"}
        if written:
            await editing.reopen(run.proposal_id, run.started_by)  # its worker may not have got to
            return {
                "error": f"{gone}. The files were written, and not validated any more",
                "files_modified": run.files,
            }
        return {"error": f"{gone}; nothing was written. Start it again"}

    return salvage


def _changes_in(reply: Reply, files: ProposalFiles, prompt: Prompt) -> Changes:
    """What a reply changes; see `changes_of`.

    Raises:
        LlmError: nothing says that the reply came to its end.
    """
    if not reply.ended and not is_complete_in_form(reply.text, prompt.nonce):
        raise cut_off()
    return changes_of(reply.text, files, prompt)


def _failed(reason: str, message: str) -> Ending:
    return Ending(RunState.ERROR, EventType.ITERATION_ERROR, {"reason": reason, "error": message})


async def _no_lines(_lines: list[Any]) -> None:
    """The validator's words are not shown: its findings are in the report."""
