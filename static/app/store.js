/**
 * What the page knows, and its connection. Views are told at most once for each animation frame,
 * however many events came in between.
 */
import {
  ApiError,
  before,
  comparePositions,
  Connection,
  earlier,
  emptyState,
  expiresAtMs,
  fromSnapshot,
  latestRun,
  latestVerdict,
  reduceAll,
  reduceHistory,
  refill,
  withActiveRuns,
  withComments,
  withRun,
} from "../client/index.js";
import { Texts } from "./review/texts.js";
import { Withheld } from "./withheld.js";

/** How far back the output of a run is looked for whose beginning is not known. */
const HISTORY_EVENTS = 2_000;
const HISTORY_PAGES = 30;
/** Over a stream for one proposal, the rest of the project is asked for this often. */
const POLL_MS = 15_000;
const QUEUE_LIMIT = 4_000;
const RUN_ENDS = /_(complete|error|cancelled)$/;
/** So many events in one frame are a flood: drawing it less often gets through it sooner. */
const MANY_EVENTS = 50;
const BUSY_MS = 100;

export class ProjectStore {
  #connection;
  #queue = [];
  #scheduled = false;
  #busy = false;
  #listeners = new Set();
  #poll = null;
  #over = false;
  /** Runs whose output was asked for again: run id to how much of it was missing then. */
  #asked = new Map();
  #focused = null;
  #withheld = new Withheld();
  /** Runs that were asked for, because only a list said of them how they ended. */
  #opened = new Set();

  /**
   * @param {object} options {project, token, transports, loadSockJS, focus}
   */
  constructor(options) {
    this.project = options.project;
    this.token = options.token;
    /** @type {{phase: "loading" | "ready" | "failed", error: unknown}} */
    this.load = { phase: "loading", error: null };
    this.state = emptyState(options.project);
    this.historyLoaded = false;
    this.welcome = null;
    this.#connection = new Connection({
      project: options.project,
      token: options.token,
      transports: options.transports,
      loadSockJS: options.loadSockJS,
      focus: options.focus,
      onEvent: (event) => this.#enqueue(event),
      onWelcome: (frame) => {
        this.welcome = frame;
        this.#withheld.position(frame.position);
        this.#enqueue(frame);
      },
      onPresence: (frame) => this.#enqueue(frame),
      onSession: (frame) => {
        if (frame.type !== "position") return;
        this.#withheld.position(frame.id);
        this.changed();
      },
      onState: (state) => this.#connectionChanged(state),
      onGap: (gap, { refetch }) => this.#gap(gap, refetch),
      onResumed: (info) => this.#tellNow("resumed", info),
      onProblem: (error) => console.warn("connection:", error.message),
    });
    this.connection = this.#connection.state;
    this.#focused = options.focus?.[0] ?? null;
    this.texts = new Texts(
      (method, path, given) => this.api.request(method, path, given),
      () => this.changed(),
    );
  }

  get api() {
    return this.#connection.api;
  }

  /**
   * @param {(kind: "change" | "resumed" | "gap" | "lock" | "event" | "fetched", detail?: unknown) => void}
   *   listener fetched: the position of a snapshot, which may hold what no event told of
   */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Fetch what is, then follow what happens. Also the way to try again after a failure. */
  async open() {
    this.load = { phase: "loading", error: null };
    this.changed();
    try {
      const snapshot = await this.#connection.snapshot();
      if (this.#over) return;
      this.state = fromSnapshot(snapshot);
      this.load = { phase: "ready", error: null };
      this.#withheld.position(snapshot.position);
      this.#tellNow("fetched", snapshot.position);
      await this.#readActive(snapshot);
      void this.#openRuns();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.load = { phase: "failed", error };
      this.changed();
      return;
    }
    if (!this.#over) this.#connection.start();
  }

  close() {
    this.#over = true;
    clearInterval(this.#poll);
    this.#connection.close();
    this.#listeners.clear();
  }

  reconnect() {
    this.#connection.reconnect();
  }

  setToken(token) {
    this.token = token;
    this.#connection.setToken(token);
    this.changed();
  }

  /** What time it is at the server; this computer's clock may be off. */
  serverNow() {
    return this.#connection.serverNow();
  }

  get tokenExpiresAt() {
    return expiresAtMs(this.token);
  }

  /** How often it was seen that something was stored which is not told to this user. */
  get withheld() {
    return this.#withheld.count;
  }

  focus(proposalId) {
    this.#focused = proposalId;
    void this.#openRuns();
    this.#connection.view([], { focus: proposalId ? [proposalId] : [] });
  }

  startValidation(proposalId) {
    return this.#connection.startValidation(proposalId);
  }

  startIteration(proposalId, instruction) {
    return this.#connection.startIteration(proposalId, instruction);
  }

  cancel(run) {
    return run.kind === "iteration"
      ? this.#connection.cancelIteration(run.run_id)
      : this.#connection.cancelValidation(run.run_id);
  }

  /** A page of the stored events after a position. */
  history(after) {
    return this.#connection.history(after, 1000);
  }

  async loadComments(proposalId) {
    const asked = this.state.proposals[proposalId]?.comments;
    const { comments } = await this.api.comments(proposalId);
    this.state = withComments(this.state, proposalId, comments, asked);
    this.changed();
  }

  /** Read what this page did not get of a run's output, as far as it is stored. */
  async loadEarlier(runId) {
    const known = this.state.runs[runId];
    const reach = HISTORY_EVENTS + (known?.missing ?? 0) * 2;
    const from = known?.replay_from ?? before(this.state.position, reach);
    const isEnd = ({ run_id: id, type }) => id === runId && RUN_ENDS.test(type);
    const events = await this.#historyAfter(from, null, isEnd);
    const filled = refill(this.state, runId, events);
    if (filled === this.state) return false;
    this.state = filled;
    this.changed();
    return true;
  }

  /**
   * A run that has ended, with all that its end said and as much of its output as is stored. It need not
   * be one that the state keeps.
   *
   * @returns {Promise<import("../client/reducer.d.ts").Run>}
   * @throws {ApiError} where there is no such run any more, or the server cannot be reached
   */
  async readRun(runId) {
    const { told, events } = await this.#storedRun(runId);
    const about = { [told.proposal_id]: { id: told.proposal_id } };
    const alone = withRun({ ...emptyState(this.project), proposals: about }, told);
    return refill(alone, runId, events).runs[runId];
  }

  async #storedRun(runId) {
    const told = await this.api.run(runId);
    const isEnd = ({ run_id: id, type }) => id === runId && RUN_ENDS.test(type);
    const events = told.replay_from ? await this.#historyAfter(told.replay_from, null, isEnd) : [];
    return { told, events };
  }

  /** What the reader looks at is known in full, also where it ended before the page was opened. */
  async #openRuns() {
    const id = this.#focused;
    if (id === null) return;
    const shown = [
      latestRun(this.state, id, "validation"),
      latestRun(this.state, id, "iteration"),
      latestVerdict(this.state, id),
    ];
    for (const run of shown) {
      if (!run?.listed || this.#opened.has(run.run_id)) continue;
      this.#opened.add(run.run_id);
      try {
        const { told, events } = await this.#storedRun(run.run_id);
        this.state = refill(withRun(this.state, told), run.run_id, events);
        this.changed();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        this.#opened.delete(run.run_id); // It is asked for again when it is looked at again.
        console.warn("run:", error.message);
      }
    }
  }

  /**
   * A reply is read as a whole, and so is what the reader looks at: what is missing in them is fetched
   * unasked, once for each connection.
   */
  async #completeRuns() {
    for (const run of Object.values(this.state.runs)) {
      const isRead = run.kind === "iteration" || run.proposal_id === this.#focused;
      if (!isRead || run.missing === 0) continue;
      if (this.#asked.get(run.run_id) === run.missing) continue;
      this.#asked.set(run.run_id, run.missing);
      try {
        await this.loadEarlier(run.run_id);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        console.warn("history:", error.message); // The page says that something is missing.
      }
    }
  }

  // ---- what comes -------------------------------------------------------------------------------

  /** What the runs under way have printed until now. How others ended the snapshot says. */
  async #readActive(snapshot) {
    const { position, active_runs: active = [] } = snapshot;
    const after = active.reduce((least, run) => earlier(least, run.replay_from), null);
    let events = [];
    try {
      if (after !== null) events = await this.#historyAfter(after, position);
    } catch (error) {
      // What is no longer stored cannot be shown; the page works without it.
      if (!(error instanceof ApiError)) throw error;
      console.warn("history:", error.message);
    }
    const withRuns = reduceHistory(this.state, events);
    this.state = withActiveRuns(withRuns, active, position);
    this.historyLoaded = true;
    this.changed();
  }

  /** All stored events after a position, up to another, to one that ends them, or to the newest. */
  async #historyAfter(from, until = null, isEnd = () => false) {
    const events = [];
    let after = from;
    for (let asked = 0; after !== null && asked < HISTORY_PAGES; asked += 1) {
      const page = await this.#connection.history(after, 1000);
      for (const event of page.events) {
        if (until === null || (comparePositions(event.id, until) ?? 1) <= 0) events.push(event);
      }
      const reached = until !== null && (comparePositions(page.position, until) ?? 0) >= 0;
      after = page.more && !reached && !page.events.some(isEnd) ? page.position : null;
    }
    return events;
  }

  async #gap(gap, refetch) {
    try {
      this.#flush();
      this.#tellNow("gap", { ...gap, refetched: null });
      const missed = await refetch();
      this.state = fromSnapshot(missed, this.state);
      this.#tellNow("gap", { ...gap, refetched: true });
      this.#tell("fetched", missed.position);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#tellNow("gap", { ...gap, refetched: false });
    }
  }

  #connectionChanged(state) {
    const wasPartial = this.#poll !== null;
    if (state.name === "live" && this.connection.name !== "live") {
      // What could not be had before may be had now.
      this.texts.retry();
      this.#asked.clear();
      void this.#openRuns();
      void this.#completeRuns();
    }
    this.connection = state;
    if (state.partial && !wasPartial) {
      this.#poll = setInterval(() => void this.#refresh(), POLL_MS);
    } else if (!state.partial && wasPartial) {
      clearInterval(this.#poll);
      this.#poll = null;
    }
    this.changed();
  }

  async #refresh() {
    try {
      const snapshot = await this.#connection.snapshot();
      this.#flush();
      this.state = fromSnapshot(snapshot, this.state);
      this.#withheld.position(snapshot.position);
      this.#tellNow("fetched", snapshot.position);
      void this.#openRuns();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      console.warn("snapshot:", error.message); // The connection's state says what is wrong.
    }
  }

  #enqueue(event) {
    this.#queue.push(event);
    if (event.type === "lock_changed") this.#tell("lock", event); // The state has no causes.
    if (event.id !== undefined) {
      this.#withheld.event(event.id);
      this.#tell("event", event);
    }
    if (event.type === "revision_created") this.texts.heard(event);
    if (this.#queue.length >= QUEUE_LIMIT) this.#flush();
    this.changed();
  }

  #flush() {
    if (this.#queue.length === 0) return;
    const events = this.#queue;
    this.#queue = [];
    this.state = reduceAll(this.state, events);
    void this.#completeRuns();
  }

  /** Tell the views, in the next frame. A hidden page draws no frames, but goes on working. */
  changed() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const run = () => {
      this.#scheduled = false;
      this.#busy = this.#queue.length > MANY_EVENTS;
      this.#flush();
      this.#tell("change");
    };
    if (document.hidden) setTimeout(run, BUSY_MS);
    else if (this.#busy) setTimeout(() => requestAnimationFrame(run), BUSY_MS);
    else requestAnimationFrame(run);
  }

  #tellNow(kind, detail) {
    this.#tell(kind, detail);
    this.changed();
  }

  #tell(kind, detail) {
    for (const listener of [...this.#listeners]) listener(kind, detail);
  }
}
