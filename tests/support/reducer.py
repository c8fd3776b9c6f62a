"""A twin of `static/client/reducer.js`: what a page makes of a snapshot and the events after it.

Only what a snapshot says: what was printed in a run is no part of it.
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


def from_snapshot(snapshot: Frame) -> State:
    """The state that a snapshot describes."""
    lock = snapshot["lock"]
    return {
        "position": snapshot["position"],
        "lock": None if lock is None else _lock(lock),
        "proposals": {proposal["id"]: dict(proposal) for proposal in snapshot["proposals"]},
        "runs": {run["run_id"]: _run(run, run["kind"]) for run in snapshot["active_runs"]},
    }


def reduce_all(state: State, events: Iterable[Frame]) -> State:
    """The state after events, which may be such as the snapshot contains already."""
    for event in events:
        state = reduce(state, event)
    return state


def reduce(state: State, event: Frame) -> State:
    """The state after one event."""
    after = {**state, "position": event["id"]}
    kind = event["type"]
    if kind in ("proposal_created", "proposal_updated"):
        given = event["proposal"]
        known = state["proposals"].get(given["id"])
        if known is None or known["version"] <= given["version"]:
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
    elif kind == "lock_changed":
        after["lock"] = _lock(event) if event["locked"] else None
    elif kind in _STARTS:
        after["runs"] = {**state["runs"], event["run_id"]: _run(event, _STARTS[kind])}
    elif kind in _ENDS:
        after["runs"] = {
            run_id: run for run_id, run in state["runs"].items() if run_id != event["run_id"]
        }
    return after


def _lock(lock: Frame) -> Frame:
    return {key: lock[key] for key in ("by", "reason", "at")}


def _run(run: Frame, kind: str) -> Frame:
    return {"run_id": run["run_id"], "kind": kind, "proposal_id": run["proposal_id"]}
