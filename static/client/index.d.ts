/** Types of the browser client. What each thing means stands in docs/client.md. */

export type TransportName = "websocket" | "sse" | "sockjs";

/** `EPOCH-SEQ`: a place in the project's log. */
export type Position = string;

/** An event of the log. Keys that a type does not name may be there too. */
export interface StoredEvent {
  id: Position;
  type: string;
  project_id: string;
  /** RFC 3339, UTC. */
  ts: string;
  proposal_id?: string;
  run_id?: string;
  actor?: string;
  [key: string]: unknown;
}

export interface OutputEvent extends StoredEvent {
  type: "output";
  line: string;
  stream: "stdout" | "stderr";
  /** Number of the line within its run, from 1. */
  n: number;
  /** The line has not ended (a prompt, a progress): it comes again under its number. */
  partial?: true;
  /** It takes the place of what came under its number before. */
  replaces?: true;
}

export interface ActiveRun {
  run_id: string;
  kind: "validation" | "iteration";
  proposal_id: string;
  started_by?: string;
  started_at?: string;
  state?: "queued" | "running";
  /** How many wait until it is its turn, itself included; only while it is queued. */
  place?: number;
  /** Just before the run's first event. */
  replay_from?: Position;
}

export interface ResumeOutcome {
  outcome: "fresh" | "nothing_missed" | "replayed" | "lost";
  requested?: Position | null;
  replayed?: number;
  lost?: number | null;
}

/** The first frame of each connection. */
export interface Welcome {
  type: "welcome";
  connection_id: string;
  user_id: string;
  name: string;
  project_id: string;
  position: Position;
  resume: ResumeOutcome;
  horizon: { oldest: string | null; seconds: number };
  heartbeat: { ping_interval_s: number; pong_timeout_s: number };
  limits: { max_message_bytes: number; outbox_bytes: number; messages_per_s: number };
  token_expires_at: string;
  /** The server's time. */
  ts: string;
  active_runs: ActiveRun[];
}

/** Somebody who has the project open, once, however many windows that is. */
export interface Person {
  user_id: string;
  name: string;
  /** What they look at; empty: the project as a whole. */
  proposal_ids: string[];
}

/** Who is there: everyone (`present`), or what changed since the frame before. */
export interface Presence {
  type: "presence";
  /** How many are there, listed or not. */
  count: number;
  present?: Person[];
  joined?: Person[];
  moved?: Person[];
  /** User ids. */
  left?: string[];
}

/** Events that were missed are no longer stored. */
export interface Gap {
  type: "gap";
  requested: Position | null;
  oldest_available: Position | null;
  /** How many; null where nobody can tell. */
  lost: number | null;
  /** Address of the snapshot; null where this client itself noticed. */
  refetch: string | null;
}

export interface Resumed {
  outcome: ResumeOutcome["outcome"];
  replayed: number;
  lost: number | null;
  /** How long nothing was heard before. */
  down_ms: number;
  /** Whether this is the first connection, not one taken up again. */
  first: boolean;
  transport: TransportName;
}

export type StoppedBecause =
  "closed" | "unauthorized" | "forbidden" | "ended" | "replaced" | "not_found" | "protocol_error" | "refused";

interface StateBase {
  /** Who has the connection, where tabs share one. */
  shared?: "none" | "leader" | "follower";
  /** Live, but only for the proposals in focus: the transport cannot carry a whole project. */
  partial?: boolean;
}

/** Moments are milliseconds since 1970. */
export type ConnectionState = StateBase &
  (
    | { name: "connecting"; transport: TransportName | null; attempt: number; since: number | null }
    | { name: "live"; transport: TransportName; since: number; at: number }
    | {
        name: "stale";
        transport: TransportName;
        /** When something was last heard. */
        since: number;
        at: number;
        reason: "offline" | "silent";
      }
    | {
        name: "reconnecting";
        transport: TransportName;
        attempt: number;
        /** When it tries again. */
        at: number;
        in_ms: number;
        since: number | null;
        why: "lost" | "full" | "busy" | "unreachable" | "transport" | "token" | "not_yet_valid";
        code?: number;
        reason: string;
      }
    | {
        name: "stopped";
        because: StoppedBecause;
        code?: number;
        reason: string;
        since: number | null;
      }
  );

export interface GapHelp {
  /**
   * Fetch all that the gap may have changed; events that it contains are not told again. It is tried
   * several times where the server does not answer.
   */
  refetch(): Promise<Missed>;
}

export interface Handlers {
  onEvent?(event: StoredEvent): void;
  onState?(state: ConnectionState): void;
  /** Events wait until what this returns is settled. */
  onGap?(gap: Gap, help: GapHelp): unknown;
  onResumed?(info: Resumed): void;
  onWelcome?(frame: Welcome): void;
  onPresence?(frame: Presence): void;
  /** Every frame that is not stored. */
  onSession?(frame: { type: string; [key: string]: unknown }): void;
  /** What went wrong and was dealt with: for logs. */
  onProblem?(error: unknown): void;
}

export interface Timing {
  open_timeout_ms: number;
  backoff_base_ms: number;
  backoff_cap_ms: number;
  stable_after_ms: number;
  check_stale_ms: number;
  check_dead_ms: number;
  silence_ms: number;
  closing_grace_ms: number;
  request_timeout_ms: number;
  failures_before_fallback: number;
  cuts_before_fallback: number;
  token_wait_ms: number;
  prefer_best_after_ms: number;
}

export interface ConnectOptions extends Handlers {
  /** The server's address, with a path where it is not at the root. The page's own unless given. */
  url?: string;
  /** Needed unless there is a `socket`. */
  project?: string;
  /** Another WebSocket of the server than a project's, as the audit console has it. */
  socket?: {
    /** Its path and query, to resume after an id, or to begin. */
    path(lastEventId: Position | null): string;
    /** The type of a command that changes nothing: its answer shows that the connection is alive. */
    check(): string;
  };
  token?: string;
  getToken?(why: { reason: "connect" | "rejected" | "expiring" }): string | Promise<string>;
  /** In order of preference; all three unless given. */
  transports?: TransportName[];
  /** What to view; none for the whole project. */
  proposals?: string[];
  /** What the user looks at: told to others, and read first where not everything can be. */
  focus?: string[];
  /** Where to resume from, a snapshot's position for instance. */
  position?: Position | null;
  /** false: this tab gets a connection of its own. */
  shareTabs?: boolean;
  /** Who the user is, for sharing, where there is only getToken. */
  user?: string;
  /** Called when SockJS is needed and there is no global of that name. */
  loadSockJS?(): Promise<unknown>;
  timing?: Partial<Timing>;
  random?(): number;
  /** Replaces what the browser offers, in tests and elsewhere. */
  env?: Record<string, unknown>;
}

export interface Ack {
  type: "ack";
  request_id: string;
  [key: string]: unknown;
}

export interface Started {
  run_id: string;
  [key: string]: unknown;
}

export interface HistoryPage {
  events: StoredEvent[];
  /** How far the page goes: ask for the next one after this. */
  position: Position;
  more: boolean;
  /** Events after the asked position that are no longer stored. */
  lost: number;
}

export interface Proposal {
  id: string;
  title: string;
  author: string;
  reviewers: string[];
  status: string;
  version: number;
  /** Who made it known. */
  created_by: string;
  [key: string]: unknown;
}

/** A run in a list; `Api.run` has what it said at its end. */
export interface RunSummary {
  run_id: string;
  kind: "validation" | "iteration";
  proposal_id: string;
  state: "queued" | "running" | "passed" | "failed" | "completed" | "cancelled" | "error";
  started_by: string;
  started_at: string;
  ended_at?: string;
  place?: number;
  replay_from?: Position;
  /** What the validator said; of an iteration, what it said of the result. */
  verdict?: "passed" | "failed" | "error";
  /** The text that was judged: outdated where the proposal's `revision` has another digest. */
  revision?: { number: number; digest: string; at: string };
  /** Why it ended in an error. */
  reason?: string;
}

export interface Snapshot {
  project_id: string;
  position: Position;
  lock: { locked: true; by: string; reason: string; at?: string } | null;
  /** All of them: `Api.snapshot` asks for as many pages as there are. */
  proposals: Proposal[];
  active_runs: ActiveRun[];
  /** Of each proposal the newest run of each kind that has ended. */
  last_runs: RunSummary[];
  /** Of each proposal the newest run in which the validator passed or failed it. */
  last_verdicts: RunSummary[];
  present: Person[];
  present_count: number;
  /** Who revises proposals; null where nobody does. */
  language_model?: { name: string; demo: boolean } | null;
}

/** What a gap may have changed: the snapshot, and of the proposals in focus what it does not have. */
export interface Missed extends Snapshot {
  /** The discussions, by proposal. */
  comments: Record<string, { id: string }[]>;
  /** Their last runs, each as `Api.run` gives it. */
  runs: EndedRun[];
  /** What is stored of the output of these and of all runs under way. */
  events: StoredEvent[];
}

/** A run that has ended, with what its terminal event said. */
export interface EndedRun extends RunSummary {
  result?: Record<string, unknown>;
}

/** A lock as its holder is answered. */
export interface HeldLock {
  locked: true;
  by: string;
  reason: string;
  at: string;
  expires_at: string;
  /** How long it is held without renewal, from this answer on. */
  lease_s: number;
}

/** The HTTP interface. Each call rejects with an ApiError where it is refused. */
export interface Api {
  snapshot(project: string): Promise<Snapshot>;
  history(
    project: string,
    page?: { after?: Position | null; limit?: number },
  ): Promise<HistoryPage>;
  startValidation(proposal: string): Promise<Started>;
  startIteration(proposal: string, instruction: string): Promise<Started>;
  cancelRun(run: string): Promise<unknown>;
  run(run: string): Promise<Record<string, unknown>>;
  runs(
    proposal: string,
    page?: { after?: string | null; limit?: number },
  ): Promise<{ runs: RunSummary[]; next: string | null }>;
  comments(proposal: string): Promise<{ comments: unknown[] }>;
  addComment(proposal: string, comment: { text: string }): Promise<unknown>;
  updateProposal(proposal: string, changes: Partial<Proposal>): Promise<Proposal>;
  removeProposal(proposal: string): Promise<unknown>;
  lock(project: string, reason?: string): Promise<HeldLock>;
  /** Rejects with 409 where the caller does not hold the lock (any more). */
  renewLock(project: string): Promise<HeldLock>;
  unlock(project: string): Promise<unknown>;
  request(
    method: string,
    path: string,
    options?: { body?: unknown; raw?: boolean },
  ): Promise<unknown>;
}

export interface EventMap {
  event: StoredEvent;
  state: ConnectionState;
  gap: Gap;
  resumed: Resumed;
  welcome: Welcome;
  presence: Presence;
  session: { type: string; [key: string]: unknown };
  problem: unknown;
}

export class Connection {
  constructor(options: ConnectOptions);
  readonly state: ConnectionState;
  readonly position: Position | null;
  readonly api: Api;
  /** The server's time, in milliseconds since 1970. */
  serverNow(): number;
  start(): void;
  close(): void;
  reconnect(): void;
  on<Name extends keyof EventMap>(
    name: Name,
    handler: (value: EventMap[Name], help: Name extends "gap" ? GapHelp : undefined) => unknown,
  ): () => void;
  view(proposals: string[], options?: { focus?: string[] }): void;
  rebase(position: Position): void;
  setToken(token: string): void;
  snapshot(): Promise<Snapshot>;
  history(after?: Position | null, limit?: number): Promise<HistoryPage>;
  request(type: string, fields?: Record<string, unknown>): Promise<Ack>;
  startValidation(proposal: string): Promise<Started>;
  cancelValidation(run: string): Promise<unknown>;
  startIteration(proposal: string, instruction: string): Promise<Started>;
  cancelIteration(run: string): Promise<unknown>;
}

export function connect(options: ConnectOptions): Connection;

export class CommandError extends Error {
  /** The server's word, or `not_connected`, `connection_lost`, `timeout`. */
  reason: string;
  detail: Record<string, unknown>;
}

export class ApiError extends Error {
  /** 0 where no answer came. */
  status: number;
  problem: Record<string, unknown>;
  retryAfterMs: number;
}

export class ServerClock {
  constructor(env: { now(): number; monotonic(): number });
  now(): number;
  set(moment: string | number): void;
  atLeast(moment: string | number | null): void;
}

export const STOPPED: Readonly<Record<string, StoppedBecause>>;
export const TIMING: Readonly<Timing>;

export function before(id: Position, count: number): Position | null;
/** The earlier of two; where they cannot be compared, the first. A null counts as absent. */
export function earlier(a: Position | null, b: Position | null): Position | null;
export function comparePositions(a: Position | null, b: Position | null): number | null;
export function withPresence(
  known: { present: readonly Person[]; count: number },
  frame: Presence,
): { present: readonly Person[]; count: number };
export function parsePosition(id: unknown): { epoch: string; seq: number } | null;
export function claimsOf(token: string): Record<string, unknown>;
export function expiresAtMs(token: string): number | null;

export {
  emptyState,
  fromSnapshot,
  isActive,
  isOutdated,
  itemAt,
  itemsOf,
  latestRun,
  latestVerdict,
  reduce,
  reduceAll,
  reduceHistory,
  refill,
  withActiveRuns,
  withComments,
  withEndedRuns,
  withRun,
} from "./reducer.js";
export type { Line, Log, Piece, ProjectState, Run } from "./reducer.js";
