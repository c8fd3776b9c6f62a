"""At every step of a random history the page, its Python twin and the server say the same."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

from tests.support import reducer as twin
from tests.support.histories import KINDS, Frame, Server, walk
from tests.support.node import need_node

CLIENT = Path(__file__).parents[2] / "static" / "client"
ROUNDS = 150
IDS = ["constructor", "toString", "__proto__", "hasOwnProperty", "10", "9", "plain"]
"""What an object of JavaScript has by itself, or sorts by itself."""

SCRIPT = """
const { emptyState, fromSnapshot, isActive, latestRun, latestVerdict, reduceAll, reduceHistory,
  reduce, withActiveRuns } = await import(CLIENT);
let text = ""; for await (const part of process.stdin) text += part;
const does = {
  snapshot: (state, { of }) => fromSnapshot(of, state),
  history: (state, { events, of }) =>
    withActiveRuns(reduceHistory(state, events), of.active_runs, of.position),
  events: (state, { events }) => reduceAll(state, events),
  welcome: (state, { of }) => reduce(state, of),
};
const told = (state) => {
  const { position, lock, proposals, order, runs } = state;
  const latest = [];
  for (const id of Object.keys(proposals)) {
    for (const kind of ["validation", "iteration"]) {
      latest.push([id, kind, latestRun(state, id, kind)?.run_id ?? null]);
    }
  }
  const verdicts = Object.keys(proposals).flatMap((id) => {
    const run = latestVerdict(state, id);
    return run ? [[id, run.run_id, run.verdict, run.revision.digest]] : [];
  });
  const active = Object.values(runs).filter(isActive).map(({ run_id }) => run_id).sort();
  return { position, lock, proposals: Object.values(proposals), order, active, latest, verdicts };
};
console.log(JSON.stringify(JSON.parse(text).map((steps) => {
  let state = emptyState("p");
  return steps.map((step) => told((state = does[step.do](state, step))));
})));
"""


def _by_the_page(walks: list[list[Frame]]) -> list[list[Frame]]:
    script = SCRIPT.replace("CLIENT", json.dumps(str(CLIENT / "reducer.js")))
    answer = subprocess.run(
        [need_node(), "--input-type=module", "-e", script],
        input=json.dumps(walks), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    told: list[list[Frame]] = json.loads(answer.stdout)
    for state in (state for states in told for state in states):
        for proposal in state["proposals"]:
            del proposal["comments"]
        state["proposals"].sort(key=lambda proposal: proposal["id"])
        state["latest"].sort()
        state["verdicts"].sort()
    return told


def _by_the_twin(steps: list[Frame]) -> list[Frame]:
    state: Any = None
    told = []
    for step in steps:
        if step["do"] == "snapshot":
            state = twin.from_snapshot(step["of"], state)
        elif step["do"] == "history":
            state = twin.reduce_history(state, step["events"])
            state = twin.with_active_runs(state, step["of"]["active_runs"], step["of"]["position"])
        elif step["do"] == "events":
            state = twin.reduce_all(state, step["events"])
        else:
            state = twin.with_active_runs(state, step["of"]["active_runs"], step["of"]["position"])
        told.append(
            {
                "position": state["position"],
                "lock": state["lock"],
                "proposals": sorted(state["proposals"].values(), key=lambda known: known["id"]),
                "order": list(state["proposals"]),
                "active": sorted(twin.active_runs(state)),
                "latest": sorted(
                    [proposal_id, kind, twin.latest_run(state, proposal_id, kind)]
                    for proposal_id in state["proposals"]
                    for kind in KINDS
                ),
                "verdicts": sorted(
                    [proposal_id, *verdict]
                    for proposal_id in state["proposals"]
                    if (verdict := twin.latest_verdict(state, proposal_id))
                ),
            }
        )
    return told


def _check_against(server: Server, steps: list[Frame], told: list[Frame]) -> None:
    """Compare what the page shows with what is true at the position where it is."""
    newest = 0
    for step, shown in zip(steps, told, strict=True):
        here = twin.seq_of(shown["position"])
        newest = max(newest, step.get("read_at", 0))
        if here < newest:
            continue  # the snapshot was read later than its position says
        truth = server.states[here]
        active = {run["run_id"] for run in truth["active_runs"]}
        assert set(shown["active"]) == active
        assert shown["lock"] == truth["lock"]
        assert shown["proposals"] == sorted(truth["proposals"], key=lambda one: one["id"])
        for proposal_id, kind, latest in shown["latest"]:
            begun = server.begun[here].get((proposal_id, kind), [])
            is_stray = latest in server.strays and latest not in begun
            assert is_stray or latest == (begun[-1] if begun else None)
        verdicts = {proposal_id: tuple(rest) for proposal_id, *rest in shown["verdicts"]}
        assert verdicts == server.verdicts[here]


def test_the_page_its_twin_and_the_server_agree_at_every_step() -> None:
    servers = []
    for seed in range(ROUNDS):
        server = Server(random.Random(seed), IDS)
        server.live(150)
        servers.append(server)
    walks = [walk(server) for server in servers]
    for seed, by_the_page in enumerate(_by_the_page(walks)):
        by_the_twin = _by_the_twin(walks[seed])
        for number, (page, double) in enumerate(zip(by_the_page, by_the_twin, strict=True)):
            assert page == double, f"seed {seed}, step {number}: {walks[seed][number]['do']}"
        _check_against(servers[seed], walks[seed], by_the_page)
