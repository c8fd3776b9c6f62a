/**
 * The runs of a project's state: which began last, and which are kept.
 *
 * A run is known from its events, from a list, or from both, in any order: a page reads history after
 * it has the snapshot. So what counts is where in the log a run began, never when this client heard
 * of it.
 */
import { dict } from "./dict.js";
import { after, comparePositions } from "./positions.js";
import { EMPTY_LOG } from "./pieces.js";

/** Runs kept for each proposal and kind; older ones are forgotten. */
const RUNS_KEPT = 3;

/** Whether a run is under way or waits for its turn. */
export function isActive(run) {
  return run?.status === "running" || run?.status === "queued";
}

/** The newest run of a proposal, of one kind or of either; null where there is none. */
export function latestRun(state, proposalId, kind = null) {
  let latest = null;
  for (const run of Object.values(state.runs)) {
    if (run.proposal_id !== proposalId || (kind && run.kind !== kind)) continue;
    if (latest === null || compareRuns(run, latest) >= 0) latest = run;
  }
  return latest;
}

/**
 * The newest run of a proposal in which the validator passed or failed its text; null where there is
 * none. A later run that was cancelled, or came to no verdict, does not hide it.
 */
export function latestVerdict(state, proposalId) {
  return newestVerdict(Object.values(state.runs), (run) => run.proposal_id === proposalId);
}

/** Whether the text is another one by now than the one that a run was about. */
export function isOutdated(run, proposal) {
  const { revision } = proposal ?? {};
  return revision != null && run?.revision?.digest !== revision.digest;
}

/** Verdicts are compared by their end: a run that began later may have ended before. */
function newestVerdict(runs, isMeant) {
  let newest = null;
  for (const run of runs) {
    const counts = run.verdict === "passed" || run.verdict === "failed";
    if (counts && isMeant(run) && !(run.finished_at < newest?.finished_at)) newest = run;
  }
  return newest;
}

/** Negative or positive as `a` began before or after `b`; 0 where that cannot be told. */
function compareRuns(a, b) {
  // Where a run is known from a list only, it began at its position or a little later.
  return comparePositions(a.position, b.position) || Number(isActive(a)) - Number(isActive(b));
}

export function newRun(entry) {
  return {
    run_id: entry.run_id,
    kind: entry.kind,
    proposal_id: entry.proposal_id,
    status: entry.state === "queued" ? "queued" : "running",
    /** Its first event, or the first that this client knows of it. */
    position: entry.id ?? after(entry.replay_from, 1),
    /** How many wait until it is its turn, itself included; only while it is queued. */
    place: entry.place ?? null,
    started_by: entry.started_by ?? null,
    started_at: entry.started_at ?? null,
    finished_at: null,
    /** Known from a list, which does not have all that its end said. */
    listed: false,
    /** What the validator said: `passed`, `failed` or `error`; null where it was not asked. */
    verdict: null,
    /** The text that it judged; null where that is not known. */
    revision: null,
    replay_from: entry.replay_from ?? null,
    command: entry.command ?? null,
    model: entry.model ?? null,
    instruction: entry.instruction ?? null,
    /** A stand-in for a model answers. */
    demo: entry.demo === true,
    /** Lines of a validation {n, stream, line, partial?}, or of an iteration's reply {first_n, n, content}. */
    output: EMPTY_LOG,
    last_n: 0,
    /** Where in the output lines stand that have not ended. */
    open: [],
    /** Pieces that this client did not get: it joined late, or there was a gap. */
    missing: 0,
  };
}

/** A run that has ended, as a list has it, put into what is known of it. */
export function endedRun(entry, known = newRun(entry)) {
  const { state, ended_at, verdict = null, revision = null, reason } = entry;
  return {
    ...known,
    status: state === "completed" ? "complete" : state,
    place: null,
    finished_at: ended_at ?? "",
    listed: true,
    verdict,
    revision,
    ...(reason !== undefined && { reason }),
  };
}

/** The state with a run that is new or has changed; older ones of its kind may be forgotten. */
export function putRun(state, run) {
  const runs = dict(state.runs, { [run.run_id]: run });
  if (!(run.run_id in state.runs)) forgetOld(runs, run);
  return { ...state, runs };
}

function forgetOld(runs, { proposal_id: proposalId, kind }) {
  const alike = Object.values(runs)
    .filter((run) => run.proposal_id === proposalId && run.kind === kind)
    .sort(compareRuns);
  const verdict = newestVerdict(Object.values(runs), (run) => run.proposal_id === proposalId);
  for (const run of alike.slice(0, -RUNS_KEPT)) {
    if (!isActive(run) && run !== verdict) delete runs[run.run_id];
  }
}
