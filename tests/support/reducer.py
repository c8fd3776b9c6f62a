"""A twin of `static/client/reducer.js`: what a page makes of a snapshot and the events after it.

Only what a snapshot says, and which runs there were: what was printed in a run is no part of it.
"""

from collections.abc import Iterable
from typing import Any

State = dict[str, Any]
Frame = dict[str, Any]

_STARTS = {"validation_start": "validation", "iteration_start": "iteration"}
_ENDS = frozenset(
    {
        "validation_complete",
        "validation_error",
        "validation_cancelled",
        "iteration_complete",
        "iteration_error",
        "iteration_cancelled",
    }
)
_ABOUT_RUNS_OR_THEIR_END = {*_STARTS, *_ENDS, "run_queued", "output", "token", "proposal_deleted"}
_ABOUT_RUNS = {*_STARTS, *_ENDS, "run_queued", "output", "token"}


def from_snapshot(snapshot: Frame, previous: State | None = None) -> State:
    """The state that a snapshot describes.

    Args:
        snapshot: as the server gives it.
        previous: the state before a refetch: its runs, and what it knows of later events.
    """
    state = {
        "position": snapshot["position"],
        "lock": None if snapshot["lock"] is None else _lock(snapshot["lock"]),
        "proposals": {
            proposal["id"]: dict(proposal)
            for proposal in snapshot["proposals"]
            if previous is None or not _is_over(previous, proposal)
        },
        "removed": {} if previous is None else previous["removed"],
        "runs": {} if previous is None else previous["runs"],
        "listed_at": 0 if previous is None else previous["listed_at"],
    }
    told = [*snapshot["last_verdicts"], *snapshot["last_runs"]]
    if previous is not None and seq_of(snapshot["position"]) < seq_of(previous["position"]):
        state["position"], state["lock"] = previous["position"], previous["lock"]
        # What is not known was removed since; what is newer there comes by an event as well.
        state["proposals"] = {
            proposal_id: max(
                known,
                state["proposals"].get(proposal_id, known),
                key=lambda one: int(one["version"]),
            )
            for proposal_id, known in previous["proposals"].items()
        }
        listed = with_active_runs(state, snapshot["active_runs"], snapshot["position"])
        return with_ended_runs(listed, told)
    listed = with_active_runs(state, snapshot["active_runs"], snapshot["position"])
    if previous is None:
        return with_ended_runs(listed, told)
    gone = {
        proposal_id
        for proposal_id, known in previous["proposals"].items()
        if state["proposals"].get(proposal_id, {}).get("created_at") != known["created_at"]
    }
    runs = {
        run_id: run
        for run_id, run in listed["runs"].items()
        if run["active"] or run["proposal_id"] not in gone
    }
    return with_ended_runs({**listed, "runs": runs}, told)


def with_ended_runs(state: State, entries: list[Frame]) -> State:
    """The state after a list of runs that have ended; what events told of them stays."""
    runs = dict(state["runs"])
    for entry in entries:
        known = runs.get(entry["run_id"]) or _run(
            entry, entry["kind"], seq_of(entry["replay_from"]) + 1, queued=False
        )
        if known["over"] or entry["proposal_id"] not in state["proposals"]:
            continue
        runs[entry["run_id"]] = {**known, **_ended(entry, entry["ended_at"])}
    return {**state, "runs": runs}


def with_active_runs(state: State, active: list[Frame], position: str) -> State:
    """The state after a list of active runs that is at least as new as a position.

    A run that was under way and is not in the list has ended, unless it began later.
    """
    if seq_of(position) < state["listed_at"]:
        return state  # It came late: it may have runs that ended unheard before the newer list.
    listed = {run["run_id"]: run for run in active}
    runs = {}
    for run_id, run in state["runs"].items():
        gone = run_id not in listed and run["began"] <= seq_of(position)
        runs[run_id] = {**run, "active": False, "queued": False} if gone else run
    for run_id, entry in listed.items():
        known = runs.get(run_id)
        began = seq_of(entry["replay_from"]) + 1
        queued = entry["state"] == "queued"
        if known is None:
            runs[run_id] = _run(entry, entry["kind"], began, queued=queued)
        elif not known["over"] and (known["queued"] or not known["active"]):
            has_begun = known["queued"] and not queued
            at = began if has_begun else known["began"]
            runs[run_id] = {**known, "active": True, "queued": queued, "began": at}
    return {**state, "runs": runs, "listed_at": seq_of(position)}


def reduce_all(state: State, events: Iterable[Frame]) -> State:
    """The state after events, which may be such as the snapshot contains already."""
    for event in events:
        state = reduce(state, event)
    return state


def reduce_history(state: State, events: Iterable[Frame]) -> State:
    """What events that are older than the snapshot say of runs."""
    about_runs = (event for event in events if event["type"] in _ABOUT_RUNS_OR_THEIR_END)
    return {**reduce_all(state, about_runs), "position": state["position"]}


def reduce(state: State, event: Frame) -> State:
    """The state after one event."""
    after = {**state, "position": event["id"]}
    kind = event["type"]
    if kind in ("proposal_created", "proposal_updated"):
        given = event["proposal"]
        known = state["proposals"].get(given["id"])
        is_news = known is None or known["version"] <= given["version"]
        if is_news and not _is_over(state, given):
            after["proposals"] = {**state["proposals"], given["id"]: given}
    elif kind == "status_changed":
        known = state["proposals"].get(event["proposal_id"])
        if known is not None and known["version"] <= event["version"]:
            changes = {
                "status": event["to"],
                "version": event["version"],
                "updated_at": event["updated_at"],
            }
            after["proposals"] = {**state["proposals"], known["id"]: {**known, **changes}}
    elif kind == "proposal_deleted":
        after |= _without(state, event)
    elif kind == "lock_changed":
        after["lock"] = _lock(event) if event["locked"] else None
    elif kind in _ABOUT_RUNS:
        after["runs"] = {**state["runs"], event["run_id"]: _after(state, event)}
    return after


def _is_over(state: State, proposal: Frame) -> bool:
    """Whether this is of a proposal that was removed."""
    return bool(state["removed"].get(proposal["id"], 0) >= proposal["version"])


def _without(state: State, event: Frame) -> State:
    """What changes where a proposal was removed."""
    proposal_id, version = event["proposal_id"], event["version"]
    kept = {
        run_id: run
        for run_id, run in state["runs"].items()
        if run["proposal_id"] != proposal_id or run["active"] or run["began"] > seq_of(event["id"])
    }
    if state["removed"].get(proposal_id, 0) >= version:
        return {"runs": kept}
    return {
        "runs": kept,
        "removed": {**state["removed"], proposal_id: version},
        "proposals": {
            known_id: known
            for known_id, known in state["proposals"].items()
            if known_id != proposal_id or known["version"] > version
        },
    }


def _after(state: State, event: Frame) -> Frame:
    """A run as an event leaves it."""
    kind = event["type"]
    here = seq_of(event["id"])
    of_iteration = kind.startswith(("iteration", "token"))
    run_kind = event.get("kind") or ("iteration" if of_iteration else "validation")
    run = state["runs"].get(event["run_id"]) or _run(
        event, run_kind, here, queued=kind == "run_queued"
    )
    if kind in _ENDS:
        if run["over"]:
            return run
        said = event["validation"]["status"] if "validation" in event else event.get("status")
        return {**run, **_ended({**event, "verdict": said}, event["ts"])}
    if kind in _STARTS:
        active = run["active"] or run["queued"]
        return {**run, "began": here, "queued": False, "active": active and not run["over"]}
    return run


def active_runs(state: State) -> dict[str, Frame]:
    """The runs under way or waiting, as a snapshot lists them."""
    shown = ("run_id", "kind", "proposal_id")
    return {
        run_id: {key: run[key] for key in shown}
        for run_id, run in state["runs"].items()
        if run["active"]
    }


def latest_run(state: State, proposal_id: str, kind: str) -> str | None:
    """The id of the run of a proposal that began last."""
    alike = [
        run
        for run in state["runs"].values()
        if run["proposal_id"] == proposal_id and run["kind"] == kind
    ]
    latest = max(alike, key=lambda run: (run["began"], run["active"]), default=None)
    return None if latest is None else str(latest["run_id"])


def latest_verdict(state: State, proposal_id: str) -> tuple[str, str, str] | None:
    """The run of a proposal that was judged last: its id, the verdict, and of which text."""
    judged = [
        run
        for run in state["runs"].values()
        if run["proposal_id"] == proposal_id and run["verdict"] in ("passed", "failed")
    ]
    latest = max(judged, key=lambda run: str(run["ended_at"]), default=None)
    if latest is None:
        return None
    return latest["run_id"], latest["verdict"], (latest["revision"] or {}).get("digest", "")


def as_snapshot(state: State) -> Frame:
    """Of a state what a snapshot says."""
    told = {key: state[key] for key in ("position", "lock", "proposals")}
    return {**told, "runs": active_runs(state)}


def seq_of(position: str) -> int:
    """The number in a position."""
    return int(position.rpartition("-")[2])


def _lock(lock: Frame) -> Frame:
    return {key: lock[key] for key in ("by", "reason", "at")}


def _ended(told: Frame, ended_at: str) -> Frame:
    """What is known of a run that has ended."""
    news = {"active": False, "over": True, "queued": False, "ended_at": ended_at}
    return {**news, "verdict": told.get("verdict"), "revision": told.get("revision")}


def _run(run: Frame, kind: str, began: int, *, queued: bool) -> Frame:
    return {
        "run_id": run["run_id"],
        "kind": kind,
        "proposal_id": run["proposal_id"],
        "began": began,
        "queued": queued,
        "active": True,
        "over": False,
        "ended_at": None,
        "verdict": None,
        "revision": None,
    }
