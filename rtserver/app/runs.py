"""Validations and iterations."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtserver.app.audit import Audit
from rtserver.app.delivery import Delivery
from rtserver.app.documents import Documents
from rtserver.app.event_log import EventLog
from rtserver.app.folders import Workspaces
from rtserver.app.foundation import Foundation
from rtserver.app.language_model import build_language_model
from rtserver.app.reviews import Reviews
from rtserver.config.settings import Settings
from rtserver.model.run import RunKind
from rtserver.runs.active_list import ActiveRuns
from rtserver.runs.iteration.background import BackgroundReader
from rtserver.runs.iteration.diffs import MAX_DIFF_BYTES
from rtserver.runs.iteration.factory import Iterations
from rtserver.runs.iteration.work import IterationParts, iteration_salvage
from rtserver.runs.service import RunLimits, RunService
from rtserver.runs.streams import RunStreams
from rtserver.runs.validation.work import Validations

if TYPE_CHECKING:
    from rtserver.runs.llm.client import LanguageModel


@dataclass(frozen=True, slots=True)
class Runs:
    """What runs, and what it runs.

    Attributes:
        active: what is under way in each project that is open here.
        streams: who reads runs here.
    """

    service: RunService
    streams: RunStreams
    active: ActiveRuns
    validations: Validations
    iterations: Iterations


async def build_runs(
    base: Foundation,
    events: EventLog,
    documents: Documents,
    delivery: Delivery,
    workspaces: Workspaces,
    reviews: Reviews,
    audit: Audit,
    *,
    demo: bool,
) -> Runs:
    """Make what starts runs and carries them out."""
    settings = base.settings
    model = build_language_model(base, demo=demo)
    tasks = base.shutdown.tasks("runs")
    service = RunService(
        documents.runs,
        documents.proposals,
        reviews.editing,
        events.writer,
        events.control,
        tasks,
        base.metrics.runs,
        audit.auditor,
        worker_id=settings.worker_id,
        lease_s=settings.lease_s,
        trust=base.lease_trust,
        limits=RunLimits(
            per_worker=settings.max_runs_per_worker,
            per_project=settings.max_runs_per_project,
            queued_per_project=settings.max_queued_runs_per_project,
        ),
        salvage={RunKind.ITERATION: iteration_salvage(workspaces.writer, reviews.editing)},
    )
    tasks.start(service.run(), name="runs")
    active = ActiveRuns(service.active_json)
    streams = RunStreams(service, events.writer, delivery.dispatcher, delivery.pages)
    delivery.dispatcher.watchers += [active, streams]
    return Runs(
        service,
        streams,
        active,
        Validations(workspaces.validator, reviews.recorder.text_of),
        Iterations(
            None
            if model is None
            else _iteration_parts(settings, model, documents, workspaces, reviews)
        ),
    )


def _iteration_parts(
    settings: Settings,
    model: "LanguageModel",
    documents: Documents,
    workspaces: Workspaces,
    reviews: Reviews,
) -> IterationParts:
    return IterationParts(
        model=model,
        runs=documents.runs,
        editing=reviews.editing,
        recorder=reviews.recorder,
        validator=workspaces.validator,
        background=BackgroundReader(
            settings.workspaces_dir,
            # With another validator it is another tool's rules that count.
            reviews.openspec if settings.validation_command is None else None,
            documents.comments,
            reviews.threads,
        ),
        writer=workspaces.writer,
        lease_s=settings.lease_s,
        max_prompt_chars=settings.llm_context_chars,
        max_diff_bytes=min(MAX_DIFF_BYTES, settings.outbox_bytes // 4),
    )
