/**
 * A project's state from a snapshot and the events after it: `reduce(state, event) -> state`.
 *
 * Pure: no state is ever changed, and what an event does not concern stays the same object, so
 * that a view can tell by `===` what to draw again. Applying an event twice, or events that a
 * snapshot already contains, changes nothing; a page may therefore refetch at any time.
 */
import { dict } from "./dict.js";
import { itemAt, refilled, withPieces } from "./pieces.js";
import { before, comparePositions } from "./positions.js";
import { withPresence } from "./presence.js";
import { endedRun, isActive, newRun, putRun } from "./runs.js";

export { appendTo, itemAt, itemsOf } from "./pieces.js";
export { isActive, isOutdated, latestRun, latestVerdict } from "./runs.js";

/** @returns {import("./reducer.d.ts").ProjectState} before anything is known */
export function emptyState(projectId) {
  return {
    project_id: projectId,
    position: null,
    /** Whether a snapshot was taken over: what is not here then is not there. */
    complete: false,
    lock: null,
    proposals: dict(),
    order: [],
    /** Versions that removed proposals left, by id: nothing older of them is true any more. */
    removed: dict(),
    runs: dict(),
    /** How new the newest list of active runs was that is taken over here. */
    listed_at: null,
    present: [],
    present_count: 0,
    /** Whether frames say who is there. They are newer than any snapshot that is fetched later. */
    present_live: false,
    /** {name, demo}; null where the server has none, undefined where it was not asked yet. */
    language_model: undefined,
  };
}

/**
 * @param {object} snapshot of `GET /api/v1/projects/{id}`, or what `refetch` of a gap gave
 * @param {object} [previous] the state before a refetch: what it knows of the runs is kept, and
 *   what it learned of later events while the snapshot was on its way
 */
export function fromSnapshot(snapshot, previous = emptyState(snapshot.project_id)) {
  const isBehind = (comparePositions(snapshot.position, previous.position) ?? 0) < 0;
  const proposals = dict();
  // What was removed while the snapshot was on its way may still be in it.
  const isComplete = isBehind && previous.complete;
  const given = (snapshot.proposals ?? []).filter(
    ({ id, version }) =>
      !isOver(previous, id, version) && (!isComplete || id in previous.proposals),
  );
  for (const proposal of given) {
    const known = previous.proposals[proposal.id];
    const comments = snapshot.comments?.[proposal.id] ?? sameAs(known, proposal)?.comments ?? [];
    const isNewer = isBehind && known?.version > proposal.version;
    proposals[proposal.id] = isNewer ? known : { comments, ...proposal };
  }
  // One that was removed and made anew between two pages is on both.
  const order = [...new Set(given.map(({ id }) => id))];
  for (const id of isBehind ? previous.order : []) {
    if (id in proposals) continue;
    proposals[id] = previous.proposals[id];
    order.push(id);
  }
  const state = {
    ...previous,
    complete: true,
    project_id: snapshot.project_id,
    position: isBehind ? previous.position : (snapshot.position ?? null),
    lock: isBehind ? previous.lock : lockOf(snapshot.lock),
    proposals,
    order,
    ...(!previous.present_live && {
      present: snapshot.present ?? [],
      present_count: snapshot.present_count ?? snapshot.present?.length ?? 0,
    }),
    language_model: snapshot.language_model,
  };
  const isGone = ({ proposal_id: id }) =>
    !isBehind && id in previous.proposals && !sameAs(previous.proposals[id], proposals[id]);
  const active = withActiveRuns(state, snapshot.active_runs ?? [], snapshot.position);
  const kept = { ...active, runs: runsWithout(active.runs, isGone) };
  const listed = withEndedRuns(kept, [
    ...(snapshot.last_verdicts ?? []),
    ...(snapshot.last_runs ?? []),
  ]);
  const told = (snapshot.runs ?? []).reduce(withRun, listed);
  return refillAll(told, snapshot.events ?? []);
}

/**
 * Take over runs that have ended, from `last_runs` and `last_verdicts` of a snapshot or from a list
 * of a proposal's runs. What is known of a run from its events stays.
 */
export function withEndedRuns(state, entries) {
  let next = state;
  for (const entry of entries) {
    const known = next.runs[entry.run_id];
    const isNews = !known || isActive(known) || known.status === "unknown";
    if (!isNews || entry.ended_at === undefined || !(entry.proposal_id in next.proposals)) continue;
    next = putRun(next, endedRun(entry, known));
  }
  return next;
}

/** Take over a run as `Api.run` gives it: where it has ended, with all that its end said. */
export function withRun(state, told) {
  const { run_id, kind, proposal_id, ended_at, result = {} } = told;
  if (ended_at === undefined) return state;
  const listed = withEndedRuns(state, [told]);
  if (!(run_id in listed.runs)) return state;
  const type = `${kind}_${ENDINGS[told.state] ?? "complete"}`;
  const event = { actor: null, ...result, type, run_id, proposal_id, ts: ended_at };
  const next = HANDLERS[type]?.(listed, event) ?? listed;
  const run = next.runs[run_id];
  // Its output is another matter: it comes from the log, as far as that still has it.
  const unseen = Math.max(0, (run.summary?.lines ?? 0) - run.last_n);
  return unseen === 0 ? next : putRun(next, { ...run, missing: run.missing + unseen });
}

/** How the terminal events of runs are called; the others are `_complete`. */
const ENDINGS = { error: "error", cancelled: "cancelled" };

/**
 * Take over the list of active runs of a snapshot or a `welcome`.
 *
 * A run that was under way and is not in the list has ended without this client hearing how.
 *
 * @param {string | null} [position] how new the list is at least: it says nothing of later runs
 */
export function withActiveRuns(state, active, position = null) {
  // An older list, which came late, may have runs that ended unheard before the newer one.
  if (comparePositions(position, state.listed_at) < 0) return state;
  const listed = new Set(active.map((run) => run.run_id));
  let next = { ...state, listed_at: position ?? state.listed_at };
  for (const run of Object.values(state.runs)) {
    const isLater = (comparePositions(run.position, position) ?? 0) > 0;
    if (isActive(run) && !listed.has(run.run_id) && !isLater) {
      next = putRun(next, { ...run, status: "unknown" });
    }
  }
  for (const entry of active) {
    const known = next.runs[entry.run_id];
    if (known && known.status !== "unknown" && known.status !== "queued") continue;
    const listedRun = newRun(entry);
    const { status, place, replay_from } = listedRun;
    const begun = known?.status === "queued" && status === "running";
    const at = begun ? listedRun.position : (known?.position ?? listedRun.position);
    next = putRun(next, { ...listedRun, ...known, status, place, replay_from, position: at });
  }
  return next;
}

/** Apply events in order. Runs of output are appended in one go. */
export function reduceAll(state, events) {
  let next = state;
  for (let at = 0; at < events.length; at += 1) {
    const event = events[at];
    if (event.type !== "output" && event.type !== "token") {
      next = reduce(next, event);
      continue;
    }
    let end = at + 1;
    while (end < events.length && sameRun(events[end], event)) end += 1;
    next = appendToRun(next, events.slice(at, end));
    at = end - 1;
  }
  return next;
}

/**
 * Only what events say about runs: for history that is older than the snapshot, whose status
 * changes and comments the snapshot already contains.
 */
export function reduceHistory(state, events) {
  const about = events.filter((event) =>
    /^(validation_|iteration_|output$|token$|run_queued$|proposal_deleted$)/.test(event.type),
  );
  return { ...reduceAll(state, about), position: state.position };
}

/**
 * @param {import("./reducer.d.ts").ProjectState} state
 * @param {object} event a stored event, or the session frames `welcome` and `presence`
 * @returns {import("./reducer.d.ts").ProjectState}
 */
export function reduce(state, event) {
  const handler = HANDLERS[event.type];
  const next = handler ? handler(state, event) : state;
  return moveTo(next, event.id);
}

/**
 * Fill in what this client did not get of a run's output, and of what its first event said.
 *
 * @param {object[]} events the run's events as they are stored, from its first one on
 * @returns {object} the same state where they do not have what is missing
 */
export function refill(state, runId, events) {
  if (!(runId in state.runs)) return state;
  const about = events.filter(({ run_id: id }) => id === runId);
  const start = about.find(({ type }) => type === `${state.runs[runId].kind}_start`);
  const begun = start ? begin(state, start, state.runs[runId].kind) : state;
  const run = begun.runs[runId];
  const mine = about.filter(({ type }) => type === "output" || type === "token");
  if (mine.length === 0) return begun;
  // Of a run that began long ago the log may have the end only, and this client the beginning.
  const first = ({ first_n, n }) => first_n ?? n;
  const isWhole = run.output.length === 0 || first(mine[0]) <= first(itemAt(run.output, 0));
  const pieces = isWhole ? refilled(run, mine) : withPieces(run, mine);
  const isMore = pieces.last_n > run.last_n || pieces.missing < run.missing;
  return isMore ? putRun(begun, { ...run, ...pieces }) : begun;
}

/** Fill in the output of all runs that some stored events are about. */
function refillAll(state, events) {
  const runs = new Set(events.map(({ run_id: id }) => id).filter((id) => id !== undefined));
  return [...runs].reduce((next, id) => refill(next, id, events), state);
}

/**
 * The state with a proposal's comments as they were fetched. Those that came by events meanwhile stay.
 *
 * @param {readonly object[]} [asked] the comments that were known when they were asked for: what is
 *   among these and was not fetched was removed. Nothing counts as removed unless given
 */
export function withComments(state, proposalId, fetched, asked = []) {
  const known = state.proposals[proposalId]?.comments ?? [];
  const ids = new Set([...fetched, ...asked].map((comment) => comment.id));
  const comments = [...fetched, ...known.filter(({ id }) => !ids.has(id))];
  return changeProposal(state, proposalId, { comments });
}

const HANDLERS = dict({
  run_queued: (state, event) => enqueue(state, event),
  validation_start: (state, event) => begin(state, event, "validation"),
  iteration_start: (state, event) => begin(state, event, "iteration"),
  output: (state, event) => appendToRun(state, [event]),
  token: (state, event) => appendToRun(state, [event]),
  validation_complete: (state, event) =>
    finish(state, event, {
      status: event.status,
      verdict: event.status,
      summary: event.summary ?? {},
    }),
  validation_error: (state, event) => finish(state, event, failure(event)),
  validation_cancelled: (state, event) => finish(state, event, cancelled(event)),
  iteration_complete: (state, event) =>
    finish(state, event, {
      status: "complete",
      files_modified: event.files_modified ?? [],
      validation: event.validation ?? null,
      verdict: event.validation?.status ?? null,
      usage: event.usage ?? null,
      diffs: event.diffs ?? [],
      left_out: event.left_out ?? {},
    }),
  iteration_error: (state, event) => finish(state, event, failure(event)),
  iteration_cancelled: (state, event) => finish(state, event, cancelled(event)),

  status_changed: (state, event) => {
    const { version, updated_at } = state.proposals[event.proposal_id] ?? {};
    if (version > event.version) return state; // The snapshot was newer.
    return changeProposal(state, event.proposal_id, {
      status: event.to,
      version: event.version ?? version,
      updated_at: event.updated_at ?? updated_at,
    });
  },
  comment_created: (state, event) => {
    const proposal = state.proposals[event.proposal_id];
    const known = proposal?.comments?.some((comment) => comment.id === event.comment?.id);
    if (!proposal || known) return state;
    const comments = [...(proposal.comments ?? []), event.comment];
    return changeProposal(state, event.proposal_id, { comments });
  },
  comment_updated: (state, event) =>
    changeComments(state, event.proposal_id, (comments) =>
      comments.map((comment) =>
        comment.id === event.comment?.id ? { ...comment, ...event.comment } : comment,
      ),
    ),
  comment_deleted: (state, event) =>
    changeComments(state, event.proposal_id, (comments) =>
      comments.filter((comment) => comment.id !== event.comment_id),
    ),
  lock_changed: (state, event) => ({ ...state, lock: lockOf(event) }),
  proposal_created: (state, event) => mergeProposal(state, event),
  proposal_updated: (state, event) => mergeProposal(state, event),
  proposal_deleted: (state, event) => removeProposal(state, event),

  welcome: (state, frame) => withActiveRuns(state, frame.active_runs ?? [], frame.position),
  presence: (state, frame) => {
    const { present, count } = withPresence(
      { present: state.present, count: state.present_count },
      frame,
    );
    const live = state.present_live || frame.present !== undefined;
    return { ...state, present, present_count: count, present_live: live };
  },
});

function changeComments(state, proposalId, change) {
  const comments = state.proposals[proposalId]?.comments;
  return comments ? changeProposal(state, proposalId, { comments: change(comments) }) : state;
}

function failure({ error, reason }) {
  return { status: "error", error, reason };
}

function cancelled({ actor }) {
  return { status: "cancelled", cancelled_by: actor ?? null };
}

function begin(state, event, kind) {
  const known = state.runs[event.run_id];
  const told = known?.command === (event.command ?? null) && known.model === (event.model ?? null);
  const isKnown = known?.started_at && known.status !== "queued" && known.position === event.id;
  if (isKnown && told) return state;
  const started = newRun({
    replay_from: before(event.id, 1),
    ...event,
    kind,
    started_by: event.actor,
    started_at: event.ts,
  });
  if (!known) return putRun(state, started);
  // It was in a list of active runs, or waited: neither says all that the event does.
  const { output, last_n, missing, open, finished_at, listed, verdict, revision } = known;
  const status = known.status === "queued" ? "running" : known.status;
  const heard = { status, output, last_n, missing, open, finished_at, listed, verdict, revision };
  return putRun(state, { ...known, ...started, ...heard });
}

function enqueue(state, event) {
  const known = state.runs[event.run_id];
  if (known && known.status !== "queued") return state;
  const { kind, actor: started_by, ts: started_at, place } = event;
  const replay_from = before(event.id, 1);
  const first = { ...event, kind, started_by, started_at, replay_from, state: "queued" };
  const run = known ?? newRun(first);
  return putRun(state, { ...run, place: place ?? null });
}

function appendToRun(state, events) {
  const [{ id: position, run_id: id, type, proposal_id: proposalId }] = events;
  if (id === undefined) return state;
  const kind = type === "token" ? "iteration" : "validation";
  const about = { id: position, run_id: id, kind, proposal_id: proposalId };
  const run = state.runs[id] ?? newRun(about);
  // A worker that stood still may say something more of a run that others have ended.
  const isOver = run.finished_at !== null && !run.listed;
  const pieces = isOver ? run : withPieces(run, events);
  const last = events.at(-1).id;
  if (pieces.output === run.output && pieces.last_n === run.last_n) return moveTo(state, last);
  return moveTo(putRun(state, { ...run, ...pieces }), last);
}

function finish(state, event, result) {
  const id = event.run_id;
  if (id === undefined) return state;
  const kind = event.type.startsWith("iteration") ? "iteration" : "validation";
  const run = state.runs[id] ?? newRun({ ...event, kind });
  if (run.finished_at !== null && !run.listed) return state;
  const revision = event.revision ?? null;
  const ended = { place: null, listed: false, revision, finished_at: event.ts ?? "" };
  return putRun(state, { ...run, ...result, ...ended });
}

function changeProposal(state, id, changes) {
  const proposal = state.proposals[id];
  if (!proposal) return state;
  const news = Object.entries(changes).filter(
    ([key, value]) => value !== undefined && proposal[key] !== value,
  );
  if (news.length === 0) return state;
  const changed = { ...proposal, ...Object.fromEntries(news) };
  return { ...state, proposals: dict(state.proposals, { [id]: changed }) };
}

function mergeProposal(state, event) {
  const given = event.proposal ?? {};
  const id = given.id ?? event.proposal_id;
  if (id === undefined) return state;
  const known = state.proposals[id];
  if (known && given.version !== undefined && known.version > given.version) return state;
  if (isOver(state, id, given.version)) return state;
  const proposal = { comments: [], ...known, ...given, id };
  const order = known ? state.order : [...state.order, id];
  return { ...state, proposals: dict(state.proposals, { [id]: proposal }), order };
}

/** Whether a version of a proposal is of one that was removed. */
function isOver(state, id, version) {
  return state.removed?.[id] >= version;
}

/** What is known of a proposal; nothing where another one has its name now, or none. */
function sameAs(known, proposal) {
  return known?.created_at === proposal?.created_at ? known : undefined;
}

/** The runs but for those of a proposal that is gone; one that is under way has its end to come. */
function runsWithout(runs, isGone) {
  const kept = Object.entries(runs).filter(([, run]) => isActive(run) || !isGone(run));
  return dict(Object.fromEntries(kept));
}

function removeProposal(state, { id: position, proposal_id: id, version }) {
  const went = (run) => run.proposal_id === id && comparePositions(run.position, position) <= 0;
  const runs = runsWithout(state.runs, went);
  if (isOver(state, id, version)) return { ...state, runs };
  const next = { ...state, runs, removed: dict(state.removed, { [id]: version }) };
  const known = state.proposals[id];
  if (!known || known.version > version) return next; // One of the same name was made since.
  const proposals = dict(state.proposals);
  delete proposals[id];
  return { ...next, proposals, order: state.order.filter((other) => other !== id) };
}

function lockOf(lock) {
  if (!lock || lock.locked === false) return null;
  return {
    by: lock.by ?? lock.user_id ?? null,
    reason: lock.reason ?? "",
    at: lock.at ?? lock.ts ?? null,
  };
}

function moveTo(state, id) {
  if (id === undefined || id === state.position) return state;
  const order = comparePositions(id, state.position);
  return order !== null && order <= 0 ? state : { ...state, position: id };
}

function sameRun(a, b) {
  return a.type === b.type && a.run_id === b.run_id;
}
