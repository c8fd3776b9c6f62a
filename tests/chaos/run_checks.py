"""Promises about runs. See `tests.chaos.checker` for their words."""

from collections import defaultdict
from collections.abc import Iterator

from rtserver.runs.run_log import RUN_ENDS
from tests.chaos.history import Frame, ProjectLog, Story

STARTS = {"validation_start", "iteration_start"}
PIECES = {"output", "token"}
ENDED_AS = {"error": "error", "cancelled": "cancelled"}


def runs_of(log: ProjectLog) -> dict[str, list[Frame]]:
    """The events of each run, in order."""
    runs: dict[str, list[Frame]] = defaultdict(list)
    for event in log.of("run_queued", *STARTS, *PIECES, *RUN_ENDS):
        runs[event["run_id"]].append(event)
    return runs


def ended_once(story: Story) -> Iterator[str]:
    for project_id, log in story.logs.items():
        runs = runs_of(log)
        for run_id, events in runs.items():
            ends = [event["type"] for event in events if event["type"] in RUN_ENDS]
            if len(ends) != 1:
                yield f"run {run_id} has the ends {ends}"
        for call in (*story.done("validate"), *story.done("iterate")):
            if call.sent["project_id"] == project_id and call.answer is not None:
                run_id = call.answer["body"]["run_id"]
                if run_id not in runs:
                    yield f"run {run_id} was accepted, and nothing is told of it"
    for project_id, state in story.states.items():
        if active := state["snapshot"]["active_runs"]:
            yield f"{project_id}: {[run['run_id'] for run in active]} are under way still"


def fenced(story: Story) -> Iterator[str]:
    for log in story.logs.values():
        for run_id, events in runs_of(log).items():
            kinds = [event["type"] for event in events]
            ends = [place for place, kind in enumerate(kinds) if kind in RUN_ENDS]
            if ends and ends[0] != len(kinds) - 1:
                yield f"run {run_id}: {kinds[ends[0] + 1]} stands behind {kinds[ends[0]]}"
            if any(kind in PIECES for kind in kinds):
                first = next(place for place, kind in enumerate(kinds) if kind in PIECES)
                if not STARTS & set(kinds[:first]):
                    yield f"run {run_id}: {kinds[first]} stands before its beginning"


def lines(story: Story) -> Iterator[str]:
    for log in story.logs.values():
        for run_id, events in runs_of(log).items():
            told = 0
            for event in events:
                if event["type"] in PIECES:
                    expected = told if event.get("replaces") else told + 1
                    if event["n"] != expected:
                        yield f"run {run_id}: {event['type']} {event['n']} follows {told}"
                    told = event["n"]
            counted = events[-1].get("summary", {}).get("lines")
            if events[-1]["type"] == "validation_complete" and counted != told:
                yield f"run {run_id}: {told} lines were told, and the verdict counts {counted}"


def alone(story: Story) -> Iterator[str]:
    for log in story.logs.values():
        under_way: dict[tuple[str, str], str] = {}
        for event in log.of(*STARTS, *RUN_ENDS):
            slot = (event["proposal_id"], event["type"].partition("_")[0])
            if event["type"] in STARTS:
                if slot in under_way:
                    yield f"run {event['run_id']} began when {under_way[slot]} was under way"
                under_way[slot] = event["run_id"]
            elif under_way.get(slot) == event["run_id"]:
                del under_way[slot]


def run_state(story: Story) -> Iterator[str]:
    for project_id, log in story.logs.items():
        readable = story.states.get(project_id, {}).get("runs", {})
        for run_id, events in runs_of(log).items():
            last = events[-1]
            if last["type"] not in RUN_ENDS:
                continue
            what = last["type"].partition("_")[2]
            state = ENDED_AS.get(what) or last.get("status", "completed")
            if readable.get(run_id, {}).get("state") != state:
                found = readable.get(run_id, {}).get("state")
                yield f"run {run_id} ended in {last['type']} and is {found}"
