import assert from "node:assert/strict";
import { test } from "node:test";
import {
  appendTo,
  emptyState,
  fromSnapshot,
  itemsOf,
  latestRun,
  reduce,
  reduceAll,
  reduceHistory,
  refill,
  withActiveRuns,
  withComments,
} from "../../static/client/reducer.js";

const SNAPSHOT = {
  project_id: "demo",
  position: "e-10",
  lock: null,
  proposals: [
    { id: "p1", title: "One", author: "ada", reviewers: [], status: "draft", version: 1 },
    { id: "p2", title: "Two", author: "ben", reviewers: ["ada"], status: "draft", version: 1 },
  ],
  active_runs: [],
  present: [{ user_id: "ada" }],
};

function freeze(value) {
  if (value && typeof value === "object" && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}

let seq = 10;
function event(type, fields = {}) {
  seq += 1;
  return { id: `e-${seq}`, type, project_id: "demo", ts: "2026-01-01T00:00:00.000Z", ...fields };
}

function run(
  lines,
  end = { type: "validation_complete", status: "passed", summary: { exit_code: 0 } },
) {
  const about = { proposal_id: "p1", run_id: "r1" };
  const output = lines.map((line, at) =>
    event("output", { ...about, line, stream: "stdout", n: at + 1 }),
  );
  const { type, ...fields } = end;
  return [
    event("validation_start", { ...about, actor: "ada", command: "openspec validate p1" }),
    ...output,
    event(type, { ...about, ...fields }),
  ];
}

const lines = (state, id = "r1") => itemsOf(state.runs[id].output).map(({ line }) => line);

test("a snapshot becomes a state", () => {
  const state = fromSnapshot(SNAPSHOT);
  assert.deepEqual(state.order, ["p1", "p2"]);
  assert.equal(state.position, "e-10");
  assert.equal(state.proposals.p2.author, "ben");
  assert.equal(latestRun(state, "p1"), null);
});

test("a validation is followed from start to end", () => {
  let state = fromSnapshot(SNAPSHOT);
  for (const each of run(["a", "b"])) state = reduce(freeze(state), each);
  assert.deepEqual(lines(state), ["a", "b"]);
  const last = latestRun(state, "p1", "validation");
  assert.equal(last.status, "passed");
  assert.equal(last.started_by, "ada");
  assert.equal(last.summary.exit_code, 0);
  assert.equal(state.position, `e-${seq}`);
});

test("no state is ever changed, and what is not concerned stays the same object", () => {
  const state = freeze(fromSnapshot(SNAPSHOT));
  const next = reduce(
    state,
    event("status_changed", { proposal_id: "p1", from: "draft", to: "in_review" }),
  );
  assert.equal(next.proposals.p1.status, "in_review");
  assert.equal(state.proposals.p1.status, "draft");
  assert.equal(next.proposals.p2, state.proposals.p2);
  assert.equal(next.runs, state.runs);
});

test("events one by one, all at once, twice or in batches: the same state", () => {
  const events = [
    ...run(Array.from({ length: 1300 }, (_, at) => `line ${at}`)),
    event("comment_created", { proposal_id: "p2", comment: { id: "c1", text: "hm" } }),
    event("lock_changed", { locked: true, by: "ben", reason: "freeze" }),
  ];
  const start = freeze(fromSnapshot(SNAPSHOT));
  const one = events.reduce(reduce, start);
  const all = reduceAll(start, events);
  const twice = reduceAll(all, events);
  let batches = start;
  for (let at = 0; at < events.length; at += 97)
    batches = reduceAll(batches, events.slice(at, at + 97));
  for (const other of [one, twice, batches]) {
    assert.deepEqual(lines(other), lines(all));
    assert.deepEqual(other.proposals, all.proposals);
    assert.deepEqual(other.lock, all.lock);
    assert.equal(other.position, all.position);
    assert.equal(other.runs.r1.status, "passed");
  }
  assert.equal(lines(all).length, 1300);
  assert.equal(all.proposals.p2.comments.length, 1);
});

test("state fetched, events applied to the old state: equal to a fresh fetch", () => {
  const changes = [
    event("status_changed", { proposal_id: "p1", from: "draft", to: "approved" }),
    event("proposal_created", {
      proposal_id: "p3",
      proposal: { id: "p3", title: "Three", version: 1 },
    }),
    event("proposal_updated", {
      proposal_id: "p2",
      proposal: { id: "p2", title: "Two, better", version: 2 },
    }),
    event("lock_changed", { locked: true, by: "ada", reason: "" }),
    event("lock_changed", { locked: false, by: "ada" }),
  ];
  const followed = reduceAll(fromSnapshot(SNAPSHOT), changes);
  const [p1, p2] = SNAPSHOT.proposals;
  const fetched = fromSnapshot({
    ...SNAPSHOT,
    position: changes.at(-1).id,
    proposals: [
      { ...p1, status: "approved" },
      { ...p2, title: "Two, better", version: 2 },
      { id: "p3", title: "Three", version: 1 },
    ],
  });
  assert.deepEqual({ ...followed, listed_at: fetched.listed_at }, fetched);
});

test("an older update of a proposal does not undo a newer one", () => {
  const state = fromSnapshot({ ...SNAPSHOT, proposals: [{ id: "p1", title: "New", version: 5 }] });
  const next = reduce(
    state,
    event("proposal_updated", { proposal: { id: "p1", title: "Old", version: 4 } }),
  );
  assert.equal(next.proposals.p1.title, "New");
});

test("whoever joins late knows how much is missing", () => {
  let state = fromSnapshot(SNAPSHOT);
  const about = { proposal_id: "p1", run_id: "r1", stream: "stdout" };
  state = reduce(state, event("output", { ...about, line: "x", n: 8 }));
  state = reduce(state, event("output", { ...about, line: "y", n: 11 }));
  assert.equal(state.runs.r1.missing, 9);
  assert.deepEqual(lines(state), ["x", "y"]);
});

test("history tells of runs and changes nothing that the snapshot says", () => {
  const old = [
    { id: "e-1", type: "status_changed", proposal_id: "p1", to: "rejected" },
    { id: "e-2", type: "validation_start", proposal_id: "p1", run_id: "r0", actor: "ben", ts: "t" },
    {
      id: "e-3",
      type: "output",
      proposal_id: "p1",
      run_id: "r0",
      line: "hi",
      stream: "stdout",
      n: 1,
    },
    {
      id: "e-4",
      type: "validation_complete",
      proposal_id: "p1",
      run_id: "r0",
      status: "failed",
      ts: "t",
    },
  ];
  const state = reduceHistory(fromSnapshot(SNAPSHOT), old);
  assert.equal(state.proposals.p1.status, "draft");
  assert.equal(state.position, "e-10");
  assert.equal(latestRun(state, "p1").status, "failed");
  assert.deepEqual(lines(state, "r0"), ["hi"]);
});

test("a run that is no longer listed has ended, until its end is heard", () => {
  const active = [
    { run_id: "r1", kind: "validation", proposal_id: "p1", started_by: "ben", started_at: "t" },
  ];
  let state = fromSnapshot({ ...SNAPSHOT, active_runs: active });
  assert.equal(latestRun(state, "p1").status, "running");
  state = withActiveRuns(state, []);
  assert.equal(latestRun(state, "p1").status, "unknown");
  state = reduce(
    state,
    event("validation_cancelled", { proposal_id: "p1", run_id: "r1", actor: "ben" }),
  );
  assert.equal(latestRun(state, "p1").status, "cancelled");
  state = withActiveRuns(state, active);
  assert.equal(latestRun(state, "p1").status, "cancelled", "an ended run does not come back");
});

test("the start event completes what a list of active runs said", () => {
  const active = [
    { run_id: "r1", kind: "validation", proposal_id: "p1", started_by: "ada", started_at: "t" },
  ];
  let state = reduce(fromSnapshot(SNAPSHOT), { type: "welcome", active_runs: active });
  state = reduceAll(state, run(["a"]).slice(0, 2));
  assert.equal(state.runs.r1.command, "openspec validate p1");
  assert.deepEqual(lines(state), ["a"]);
});

test("a refetch keeps the output that is known", () => {
  const state = reduceAll(fromSnapshot(SNAPSHOT), run(["a", "b"]).slice(0, 3));
  const active = [{ run_id: "r1", kind: "validation", proposal_id: "p1" }];
  const again = fromSnapshot({ ...SNAPSHOT, position: `e-${seq}`, active_runs: active }, state);
  assert.deepEqual(lines(again), ["a", "b"]);
  assert.equal(again.position, `e-${seq}`);
  assert.equal(again.runs.r1.status, "running");
});

test("an iteration's tokens and its outcome", () => {
  const about = { proposal_id: "p1", run_id: "i1" };
  const state = reduceAll(fromSnapshot(SNAPSHOT), [
    event("iteration_start", { ...about, model: "m", instruction: "do", actor: "ada" }),
    event("token", { ...about, content: "Hel", n: 1 }),
    event("token", { ...about, content: "lo", n: 2 }),
    event("iteration_complete", {
      ...about,
      files_modified: ["a.md"],
      validation: { status: "passed" },
    }),
  ]);
  assert.equal(
    itemsOf(state.runs.i1.output)
      .map(({ content }) => content)
      .join(""),
    "Hello",
  );
  assert.equal(state.runs.i1.status, "complete");
  assert.deepEqual(state.runs.i1.files_modified, ["a.md"]);
});

const ITERATION = { proposal_id: "p1", run_id: "i1" };
const text = (state) =>
  itemsOf(state.runs.i1.output)
    .map(({ content }) => content)
    .join("");
const WORDS = Array.from({ length: 40 }, (_, at) => `word${at} `.repeat((at % 3) + 1));

/** The token events `from` to `to`, as one frame. */
function joined(events, from, to) {
  const frame = { ...events[to - 1], content: WORDS.slice(from - 1, to).join("") };
  return from === to ? frame : { ...frame, first_n: from };
}

function tokens() {
  return WORDS.map((content, at) => event("token", { ...ITERATION, content, n: at + 1 }));
}

test("joined pieces: the text of whoever comes late has no seam and nothing twice", () => {
  const events = tokens();
  const start = fromSnapshot(SNAPSHOT);
  const late = reduce(start, joined(events, 1, 30));
  assert.equal(text(late), WORDS.slice(0, 30).join(""));
  assert.equal(late.runs.i1.missing, 0);
  assert.equal(late.runs.i1.last_n, 30);
  assert.equal(text(reduceAll(late, events.slice(30))), WORDS.join(""));
  assert.equal(reduce(late, joined(events, 1, 30)), late, "again: nothing changes");
});

test("thoughts are kept apart from the reply, also where they come joined", () => {
  const thought = (reasoning, n, more = {}) =>
    event("token", { ...ITERATION, content: "", reasoning, n, ...more });
  const events = [thought("Let ", 1), thought("me ", 2), thought("think.", 3)];
  const reply = event("token", { ...ITERATION, content: "Done", n: 4 });
  const rest = { ...events[2], reasoning: "Let me think.", first_n: 1 };
  for (let known = 0; known <= 3; known += 1) {
    const here = reduceAll(fromSnapshot(SNAPSHOT), events.slice(0, known));
    const state = reduceAll(freeze(here), [rest, reply]);
    const items = itemsOf(state.runs.i1.output);
    assert.equal(text(state), "Done");
    assert.equal(items.map(({ reasoning = "" }) => reasoning).join(""), "Let me think.");
    assert.equal(state.runs.i1.missing, 0);
  }
  const late = reduce(fromSnapshot(SNAPSHOT), reply);
  const filled = refill(freeze(late), "i1", [...events, reply]);
  assert.deepEqual(
    itemsOf(filled.runs.i1.output).map(({ n, reasoning }) => [n, reasoning]),
    [[1, "Let "], [2, "me "], [3, "think."], [4, undefined]],
  );
});

test("joined pieces that overlap what is known, wherever they begin and end", () => {
  for (let known = 1; known < 40; known += 3) {
    for (let from = 1; from <= 40; from += 4) {
      const events = tokens();
      const here = reduceAll(fromSnapshot(SNAPSHOT), events.slice(0, known));
      const state = reduce(freeze(here), joined(events, from, 40));
      const { missing, last_n } = state.runs.i1;
      assert.equal(last_n, 40);
      assert.equal(missing, Math.max(0, from - known - 1));
      const expected = [...WORDS.slice(0, known), ...WORDS.slice(Math.max(known, from - 1))];
      assert.equal(text(state), expected.join(""), `${known} known, then ${from} to 40`);
    }
  }
});

test("joined pieces amid others that came joined are not guessed at, but can be filled in", () => {
  const events = tokens();
  const late = reduce(fromSnapshot(SNAPSHOT), joined(events, 1, 20));
  const cut = reduceAll(late, [joined(events, 15, 30), ...events.slice(30, 35)]);
  assert.equal(cut.runs.i1.missing, 10);
  assert.equal(cut.runs.i1.last_n, 35);
  // The history is not yet where this client is.
  const filled = refill(freeze(cut), "i1", events.slice(0, 32));
  assert.equal(text(filled), WORDS.slice(0, 35).join(""));
  assert.equal(filled.runs.i1.missing, 0);
  assert.equal(filled.runs.i1.last_n, 35);
  assert.equal(refill(cut, "i1", events.slice(0, 12)), cut, "what does not help changes nothing");
  assert.equal(refill(cut, "nobody", events), cut);
});

test("any way of joining, cutting off and repeating gives the same text", () => {
  let random = 12345;
  const below = (limit) => {
    random = (random * 1103515245 + 12345) % 2 ** 31;
    return random % limit;
  };
  for (let round = 0; round < 100; round += 1) {
    const events = tokens();
    let state = fromSnapshot(SNAPSHOT);
    for (let sent = 0; sent < 40;) {
      // A connection begins at or before what is known, as the earliest of several tabs needs it.
      const from = Math.max(0, sent - below(8)) + 1;
      const to = Math.min(40, sent + 1 + below(10));
      state = reduce(state, joined(events, from, to));
      sent = to;
    }
    state = refill(state, "i1", events);
    assert.equal(text(state), WORDS.join(""));
    assert.equal(state.runs.i1.missing, 0);
  }
});

test("what is said of a run after its end is not taken", () => {
  const events = tokens();
  const end = event("iteration_error", { ...ITERATION, error: "gone", reason: "worker_lost" });
  const state = reduceAll(fromSnapshot(SNAPSHOT), [...events.slice(0, 3), end]);
  const stray = event("token", { ...ITERATION, content: "stray", n: 4 });
  const after = reduce(state, stray);
  assert.equal(after.runs, state.runs);
  assert.equal(after.position, stray.id);
});

test("a run that waits says its place, and begins when its turn comes", () => {
  const queued = (place) =>
    event("run_queued", { ...ITERATION, kind: "iteration", place, actor: "ben" });
  let state = reduceAll(fromSnapshot(SNAPSHOT), [queued(3), queued(1)]);
  const waiting = latestRun(state, "p1", "iteration");
  assert.deepEqual([waiting.status, waiting.place, waiting.started_by], ["queued", 1, "ben"]);
  const entry = { ...ITERATION, kind: "iteration", started_by: "ben", started_at: "t" };
  const listed = { type: "welcome", active_runs: [{ ...entry, state: "queued", place: 2 }] };
  assert.equal(reduce(state, listed).runs.i1.place, 2);
  assert.equal(reduce(state, { type: "welcome", active_runs: [] }).runs.i1.status, "unknown");
  const begun = event("iteration_start", { ...ITERATION, model: "m", actor: "ben", demo: true });
  state = reduce(state, begun);
  const { status, place, model, demo, replay_from } = state.runs.i1;
  const before = `e-${Number(begun.id.slice(2)) - 1}`;
  assert.deepEqual([status, place, model, demo, replay_from], ["running", null, "m", true, before]);
  assert.equal(reduce(state, queued(1)).runs.i1.status, "running", "an older word");
  state = reduce(state, event("iteration_cancelled", { ...ITERATION, actor: "ben" }));
  assert.equal(state.runs.i1.status, "cancelled");
});

test("a list of active runs does not hide which model was asked, and for what", () => {
  const active = [
    { ...ITERATION, kind: "iteration", state: "running", started_by: "ada", started_at: "t" },
  ];
  const start = event("iteration_start", { ...ITERATION, model: "m", instruction: "do", ts: "t" });
  const state = reduceHistory(fromSnapshot({ ...SNAPSHOT, active_runs: active }), [start]);
  assert.deepEqual([state.runs.i1.model, state.runs.i1.instruction], ["m", "do"]);
  assert.equal(state.runs.i1.status, "running");
});

test("only the last runs of a proposal are kept, and never a running one forgotten", () => {
  let state = fromSnapshot(SNAPSHOT);
  for (let at = 0; at < 6; at += 1) {
    const about = { proposal_id: "p1", run_id: `r${at}` };
    state = reduce(state, event("validation_start", about));
    if (at > 0) state = reduce(state, event("validation_complete", { ...about, status: "passed" }));
  }
  assert.deepEqual(Object.keys(state.runs), ["r0", "r3", "r4", "r5"]);
});

test("unknown events move the position and nothing else", () => {
  const state = freeze(fromSnapshot(SNAPSHOT));
  const next = reduce(state, event("build.finished", { data: 1 }));
  assert.deepEqual({ ...next, position: state.position }, state);
});

test("presence and an empty project", () => {
  const state = reduce(emptyState("demo"), { type: "presence", present: [{ user_id: "ben" }] });
  assert.deepEqual(state.present, [{ user_id: "ben" }]);
  assert.deepEqual(fromSnapshot({ project_id: "demo" }).order, []);
});

test("appending shares what was there", () => {
  const first = appendTo(
    { length: 0, chunks: [] },
    Array.from({ length: 1025 }, (_, at) => at),
  );
  const second = appendTo(first, ["x"]);
  assert.equal(first.length, 1025);
  assert.equal(second.length, 1026);
  assert.equal(second.chunks[0], first.chunks[0]);
  assert.deepEqual(itemsOf(first, 1023), [1023, 1024]);
  assert.deepEqual(itemsOf(second, 1024), [1024, "x"]);
  assert.deepEqual(itemsOf(second, 1026), []);
});

test("a page that is reloaded during a run shows that run, and not the one before it", () => {
  const about = (id) => ({ proposal_id: "p1", run_id: id });
  const before = event("validation_start", about("r1"));
  const old = [before, event("validation_complete", { ...about("r1"), status: "failed" })];
  const start = event("validation_start", about("r2"));
  const first = [start, event("output", { ...about("r2"), line: "hello", n: 1 })];
  const active_runs = [{ ...about("r2"), kind: "validation", replay_from: old[1].id }];
  const position = first[1].id;
  let state = fromSnapshot({ ...SNAPSHOT, position, active_runs });
  state = reduceHistory(freeze(state), [...old, ...first]);
  state = withActiveRuns(state, active_runs, position);
  assert.deepEqual([latestRun(state, "p1").run_id, lines(state, "r2")], ["r2", ["hello"]]);
  state = reduce(state, event("validation_complete", { ...about("r2"), status: "passed" }));
  assert.equal(latestRun(state, "p1").status, "passed");
});

test("what comes from outside finds nothing but what was put in", () => {
  const state = fromSnapshot({ ...SNAPSHOT, proposals: [] });
  for (const id of ["constructor", "toString", "__proto__"]) {
    assert.equal(state.proposals[id], undefined);
    assert.equal(state.runs[id], undefined);
    const next = reduce(freeze(state), event(id, { proposal_id: id, run_id: id }));
    assert.deepEqual({ ...next, position: state.position }, state);
    const about = { proposal_id: id, run_id: id, comment: { id: "c1" }, to: "draft" };
    for (const type of ["status_changed", "comment_created", "output", "validation_complete"]) {
      assert.deepEqual(Object.keys(reduce(next, event(type, about)).proposals), [], type);
    }
    const proposal = { id, title: "T", version: 1 };
    const made = reduceAll(state, [
      event("proposal_created", { proposal }),
      event("validation_start", { ...about, run_id: id }),
      event("output", { ...about, line: "hi", n: 1 }),
      event("comment_created", about),
    ]);
    assert.equal(made.proposals[id].title, "T");
    assert.equal(made.proposals[id].comments.length, 1);
    assert.equal(latestRun(made, id).run_id, id);
    assert.deepEqual(lines(made, id), ["hi"]);
  }
});

test("comments that were fetched do not hide one that came meanwhile", () => {
  const came = { id: "c2", text: "late" };
  let state = reduce(fromSnapshot(SNAPSHOT), event("comment_created", { proposal_id: "p1", comment: came }));
  state = withComments(freeze(state), "p1", [{ id: "c1", text: "early" }]);
  assert.deepEqual(state.proposals.p1.comments.map(({ id }) => id), ["c1", "c2"]);
  state = withComments(state, "p1", [{ id: "c1" }, { id: "c2" }]);
  assert.deepEqual(state.proposals.p1.comments.map(({ id }) => id), ["c1", "c2"]);
  assert.equal(withComments(state, "nobody", []), state);
});

test("a proposal that was removed is gone with its ended runs, and comes back only anew", () => {
  const of = (version, created_at = "then") => ({ id: "a", version, created_at, title: `v${version}` });
  const snapshot = (seq, ...proposals) => ({
    project_id: "p", position: `e-${seq}`, lock: null, proposals, active_runs: [],
  });
  const about = (seq, type, fields) => ({ id: `e-${seq}`, type, proposal_id: "a", ...fields });
  let state = fromSnapshot(snapshot(1, of(1)));
  for (const event of [
    about(2, "validation_start", { run_id: "r1", actor: "ada", command: "c" }),
    about(3, "validation_complete", { run_id: "r1", status: "passed", summary: {} }),
    about(4, "iteration_start", { run_id: "r2", actor: "ada", model: "m" }),
    about(5, "proposal_deleted", { version: 2, actor: "ada" }),
  ]) {
    state = reduce(state, event);
  }
  assert.deepEqual([Object.keys(state.proposals), state.order], [[], []]);
  // One that is under way has its end to come.
  assert.deepEqual(Object.keys(state.runs), ["r2"]);
  // Neither what is told again nor a snapshot that comes late brings it back.
  const again = reduce(state, about(1, "proposal_created", { proposal: of(1) }));
  assert.deepEqual(Object.keys(again.proposals), []);
  assert.deepEqual(Object.keys(fromSnapshot(snapshot(4, of(1)), state).proposals), []);
  // A new one of the same name does, and is not taken away by the end of the old one.
  state = reduce(state, about(6, "proposal_created", { proposal: of(3, "now") }));
  assert.equal(state.proposals.a.title, "v3");
  state = reduce(state, about(5, "proposal_deleted", { version: 2, actor: "ada" }));
  assert.equal(state.proposals.a.title, "v3");
  assert.deepEqual(state.order, ["a"]);
});

const about = { proposal_id: "p1", run_id: "r1", stream: "stdout" };
const line = (n, text, more = {}) => event("output", { ...about, n, line: text, ...more });
const partial = { partial: true };
const again = { partial: true, replaces: true };

test("a line that has not ended is one line that changes", () => {
  const events = [
    line(1, "start"),
    line(2, "10%", partial),
    line(3, "a warning", { stream: "stderr" }),
    line(2, "50%", again),
    line(2, "100%", { replaces: true }),
    line(4, "done"),
  ];
  const start = fromSnapshot(SNAPSHOT);
  assert.deepEqual(lines(reduceAll(start, events.slice(0, 4))), ["start", "50%", "a warning"]);
  const all = reduceAll(start, events);
  const shown = ["start", "100%", "a warning", "done"];
  assert.deepEqual(lines(all), shown);
  assert.deepEqual([all.runs.r1.missing, all.runs.r1.last_n, all.runs.r1.open], [0, 4, []]);
  assert.deepEqual(lines(events.reduce(reduce, freeze(start))), shown, "one by one");
  assert.deepEqual(lines(reduceAll(freeze(all), events)), shown, "twice");
  for (let from = 0; from < events.length; from += 1) {
    const some = reduceAll(start, events.slice(0, from));
    assert.deepEqual(lines(reduceAll(some, events)), shown, `the first ${from} twice`);
  }
  const early = reduceAll(start, events.slice(0, 2));
  const late = reduceAll(early, [events[3], events[1]]);
  assert.deepEqual(lines(late), ["start", "50%"], "an older state does not come back");
});

test("a line that changes is found again wherever it stands, and in what is filled in", () => {
  const start = fromSnapshot(SNAPSHOT);
  const many = Array.from({ length: 1100 }, (_, at) => line(at + 2, `line ${at + 2}`, { stream: "stderr" }));
  const first = line(1, "waiting", partial);
  const last = line(1, "waited", { replaces: true });
  const state = reduceAll(start, [first, ...many, last]);
  assert.deepEqual([lines(state)[0], lines(state).length], ["waited", 1101]);
  const late = reduceAll(start, [...many.slice(500), last]);
  assert.equal(late.runs.r1.missing, 501, "whoever comes late does not know of it");
  const filled = refill(freeze(late), "r1", [first, ...many]);
  assert.equal(filled.runs.r1.missing, 0);
  const stored = refill(freeze(late), "r1", [first, ...many, last]);
  assert.equal(lines(stored)[0], "waited");
  const known = reduceAll(start, [first, last, ...many.slice(500)]);
  const again = refill(freeze(known), "r1", [first, ...many]);
  assert.equal(lines(again)[0], "waited", "what is known here is newer than what was stored by then");
});
