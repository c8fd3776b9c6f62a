/** The audit log as it comes: the client's connection, to `/ws/audit` instead of a project. */
import { connect } from "../client/index.js";
import { momentMs } from "../client/tokens.js";

const LONGEST_BATCH_MS = 250;
const MOST_AT_ONCE = 2_000;

/**
 * @typedef {object} FeedHandlers
 * @property {(records: object[]) => void} onRecords in order, several at once
 * @property {(state: import("../client/index.d.ts").ConnectionState, isPaused: boolean) => void} onState
 * @property {(gap: {lost: number | null, reason: string}) => void} onGap
 * @property {(welcome: object) => void} onWelcome
 */

export class Feed {
  #handlers;
  #connection;
  #batch = [];
  #flushing = null;
  #paused = false;

  /**
   * @param {object} options
   * @param {string} options.token
   * @param {URLSearchParams} options.query the filter
   * @param {number} options.history how many earlier records to begin with
   * @param {FeedHandlers} options.handlers
   */
  constructor({ token, query, history, handlers }) {
    this.#handlers = handlers;
    const path = (lastEventId) => {
      const all = new URLSearchParams(query);
      if (lastEventId === null) all.set("history", String(history));
      else all.set("last_event_id", lastEventId);
      return `/ws/audit?${all}`;
    };
    this.#connection = connect({
      token,
      socket: { path, check: () => this.#mode },
      onEvent: (record) => this.#take(record),
      onState: (state) => this.#tell(state),
      onGap: (gap) => handlers.onGap(gap),
      onWelcome: (welcome) => handlers.onWelcome(welcome),
    });
  }

  get #mode() {
    return this.#paused ? "pause" : "resume";
  }

  /** See `Api.request`. */
  request(method, path) {
    return this.#connection.api.request(method, path);
  }

  #tell(state) {
    if (state.because === "closed") return; // By this page, which goes on to something else.
    if (state.name === "live" && this.#paused) this.#sendMode();
    if (state.name !== "live") this.#flush();
    this.#handlers.onState(state, this.#paused);
  }

  /** Many records come in one network read: hand them on together, once for each frame drawn. */
  #take(record) {
    this.#batch.push(record);
    if (this.#batch.length >= MOST_AT_ONCE) this.#flush();
    if (this.#batch.length === 0 || this.#flushing !== null) return;
    requestAnimationFrame(() => this.#flush());
    // A hidden tab draws no frames, also if it was hidden only after it asked for one.
    this.#flushing = setTimeout(() => this.#flush(), LONGEST_BATCH_MS);
  }

  #flush() {
    clearTimeout(this.#flushing);
    this.#flushing = null;
    const batch = this.#batch;
    if (batch.length === 0) return;
    this.#batch = [];
    this.#handlers.onRecords(batch);
  }

  /** Let the server hold records back. It keeps them up to a bound, and says what was left out. */
  pause() {
    this.#setPaused(true);
  }

  resume() {
    this.#setPaused(false);
  }

  #setPaused(paused) {
    this.#paused = paused;
    this.#sendMode();
    this.#handlers.onState(this.#connection.state, paused);
  }

  #sendMode() {
    // Where it is lost with the connection, it is sent again over the next one.
    this.#connection.request(this.#mode).catch(() => {});
  }

  close() {
    this.#batch = [];
    clearTimeout(this.#flushing);
    this.#connection.close();
  }
}

/** @returns {string} a record's time of day, in the reader's time zone */
export function timeOf(record) {
  const ms = momentMs(record.ts);
  if (ms === null) return record.ts ?? "";
  const at = new Date(ms);
  const two = (number) => String(number).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return `${day} ${time}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}
