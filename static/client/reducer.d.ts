/** Types of the reducer. What it does stands in docs/client.md. */
import type {
  ActiveRun,
  EndedRun,
  Missed,
  Person,
  Proposal,
  RunSummary,
  Snapshot,
  StoredEvent,
} from "./index.js";

/** A list that grows at its end; read it with `itemsOf` and `itemAt`. */
export interface Log<Item> {
  readonly length: number;
  readonly chunks: readonly (readonly Item[])[];
}

/** A line that a validation printed. */
export interface Line {
  n: number;
  stream: "stdout" | "stderr";
  line: string;
  /** The server kept only its beginning. */
  truncated: boolean;
  /** It has not ended (a prompt, a progress), and may change. */
  partial?: true;
}

/** A piece of an iteration's reply, or several joined: those from `first_n` to `n`. */
export interface Piece {
  first_n: number;
  n: number;
  content: string;
  /** What the model thinks before it replies; `content` is empty then. */
  reasoning?: string;
}

export interface Run {
  run_id: string;
  kind: "validation" | "iteration";
  proposal_id: string;
  /** `unknown`: it ended, and this client did not hear how. */
  status: "queued" | "running" | "passed" | "failed" | "complete" | "error" | "cancelled" | "unknown";
  /** Where it began: its first event, or the first that this client knows of it. */
  position: string | null;
  /** How many wait until it is its turn, itself included; only while it is queued. */
  place: number | null;
  started_by: string | null;
  started_at: string | null;
  finished_at: string | null;
  /** Known from a list, which does not have all that its end said. */
  listed: boolean;
  /** What the validator said, of an iteration of its result; null where it was not asked. */
  verdict: "passed" | "failed" | "error" | null;
  /** The text that was judged; null where that is not known. See `isOutdated`. */
  revision: { number: number; digest: string; at: string } | null;
  replay_from: string | null;
  command: string | null;
  model: string | null;
  instruction: string | null;
  /** A stand-in for a model answers: see `serve --demo`. */
  demo: boolean;
  output: Log<Line | Piece>;
  last_n: number;
  /** Where in `output` lines stand that have not ended. */
  open: number[];
  /** Lines or pieces that this client did not get. */
  missing: number;
  summary?: { exit_code: number | null; duration_ms: number; lines: number; report?: unknown };
  error?: string;
  reason?: string;
  cancelled_by?: string | null;
  files_modified?: string[];
  validation?: Record<string, unknown> | null;
  usage?: Record<string, unknown> | null;
  diffs?: { path: string; diff: string; truncated?: boolean }[];
  /** Files that the model was not shown, and why. */
  left_out?: Record<string, string>;
}

export interface ProjectState {
  readonly project_id: string;
  readonly position: string | null;
  /** Whether a snapshot was taken over. */
  readonly complete: boolean;
  readonly lock: { by: string | null; reason: string; at: string | null } | null;
  readonly proposals: Readonly<Record<string, Proposal & { comments: unknown[] }>>;
  /** The proposals' ids, in the server's order. */
  readonly order: readonly string[];
  /** Versions that removed proposals left. */
  readonly removed: Readonly<Record<string, number>>;
  readonly runs: Readonly<Record<string, Run>>;
  /** How new the newest list of active runs was that is taken over here. */
  readonly listed_at: string | null;
  /** Everyone once; where there are very many, the first of them. */
  readonly present: readonly Person[];
  /** How many are there, listed or not. */
  readonly present_count: number;
  /** Whether frames say who is there; until then it is the snapshot's list. */
  readonly present_live: boolean;
  /** null where the server has none, undefined where it was not asked yet. */
  readonly language_model: { name: string; demo: boolean } | null | undefined;
}

/** A stored event, or one of the session frames `welcome` and `presence`. */
export type Reducible = StoredEvent | { type: string; [key: string]: unknown };

export function emptyState(projectId: string): ProjectState;
export function fromSnapshot(snapshot: Snapshot | Missed, previous?: ProjectState): ProjectState;
export function reduce(state: ProjectState, event: Reducible): ProjectState;
export function reduceAll(state: ProjectState, events: readonly Reducible[]): ProjectState;
export function reduceHistory(state: ProjectState, events: readonly StoredEvent[]): ProjectState;
/** @param position how new the list is at least */
export function withActiveRuns(
  state: ProjectState,
  active: readonly ActiveRun[],
  position?: string | null,
): ProjectState;
export function withComments(
  state: ProjectState,
  proposalId: string,
  fetched: readonly { id: string }[],
  asked?: readonly { id: string }[],
): ProjectState;
export function withEndedRuns(state: ProjectState, entries: readonly RunSummary[]): ProjectState;
export function withRun(state: ProjectState, told: EndedRun): ProjectState;
export function refill(
  state: ProjectState,
  runId: string,
  events: readonly StoredEvent[],
): ProjectState;
export function isActive(run: Run | null | undefined): boolean;
export function latestRun(
  state: ProjectState,
  proposalId: string,
  kind?: Run["kind"] | null,
): Run | null;
export function latestVerdict(state: ProjectState, proposalId: string): Run | null;
export function isOutdated(
  run: Run | null | undefined,
  proposal: { revision?: unknown } | null | undefined,
): boolean;
export function appendTo<Item>(log: Log<Item>, items: readonly Item[]): Log<Item>;
export function itemAt<Item>(log: Log<Item>, index: number): Item | undefined;
export function itemsOf<Item>(log: Log<Item>, start?: number): Item[];
