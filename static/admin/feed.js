/** The audit log as it comes: one WebSocket to `/ws/audit`, opened again and resumed when it ends. */
import { momentMs } from "../client/tokens.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
/** The server pings, which a page can't see; so a page that slept asks for a sign of life. */
const ANSWER_MS = 8_000;
const LONGEST_BATCH_MS = 250;
const MOST_AT_ONCE = 2_000;

/**
 * @typedef {object} FeedHandlers
 * @property {(records: object[]) => void} onRecords in order, several at once
 * @property {(state: {phase: string, reason?: string, retryAtMs?: number}) => void} onState
 *   `connecting`, `live`, `paused`, `waiting` until `retryAtMs`, `stopped`
 * @property {(gap: {lost: number | null, reason: string}) => void} onGap
 * @property {(welcome: object) => void} onWelcome
 */

export class Feed {
  #token;
  #query;
  #history;
  #handlers;
  #socket = null;
  #lastId = null;
  #failures = 0;
  #timer = null;
  #closing = null;
  #batch = [];
  #flushing = null;
  #paused = false;
  #ended = false;
  #wake = () => this.#wakeUp();

  /**
   * @param {object} options
   * @param {string} options.token
   * @param {URLSearchParams} options.query the filter
   * @param {number} options.history how many earlier records to begin with
   * @param {FeedHandlers} options.handlers
   */
  constructor({ token, query, history, handlers }) {
    this.#token = token;
    this.#query = query;
    this.#history = history;
    this.#handlers = handlers;
    addEventListener("online", this.#wake);
    document.addEventListener("visibilitychange", this.#wake);
    this.#open();
  }

  #open() {
    clearTimeout(this.#timer);
    this.#handlers.onState({ phase: "connecting" });
    const query = new URLSearchParams(this.#query);
    if (this.#lastId === null) query.set("history", String(this.#history));
    else query.set("last_event_id", this.#lastId);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const address = `${scheme}//${location.host}/ws/audit?${query}`;
    const socket = new WebSocket(address, ["bearer", this.#token]);
    this.#socket = socket;
    this.#closing = null;
    socket.onmessage = ({ data }) => socket === this.#socket && this.#take(JSON.parse(data));
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#closed(code, reason);
  }

  #take(frame) {
    clearTimeout(this.#timer);
    switch (frame.type) {
      case "audit":
        this.#lastId = frame.id;
        this.#batch.push(frame);
        this.#flushSoon();
        return;
      case "position":
        this.#lastId = frame.id;
        return;
      case "welcome":
        this.#failures = 0;
        if (frame.resume.outcome !== "replayed" && this.#lastId !== null) {
          this.#lastId = frame.position;
        }
        this.#handlers.onWelcome(frame);
        this.#handlers.onState({ phase: this.#paused ? "paused" : "live" });
        if (this.#paused) this.#send({ type: "pause" });
        return;
      case "gap":
        this.#handlers.onGap(frame);
        return;
      case "closing":
        this.#closing = frame;
        return;
    }
  }

  /** Many records come in one network read: hand them on together, once for each frame drawn. */
  #flushSoon() {
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

  #closed(code, reason) {
    this.#socket = null;
    this.#flush();
    if (this.#ended) return;
    const closing = this.#closing;
    const stops = closing ? !closing.reconnect : [4001, 4003, 4009, 4400].includes(code);
    if (stops) {
      this.#handlers.onState({ phase: "stopped", reason: closing?.reason || reason || "" });
      return;
    }
    const limit = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    this.#failures += 1;
    const waitMs = Math.max(closing?.retry_after_ms ?? 0, Math.random() * limit);
    this.#handlers.onState({ phase: "waiting", retryAtMs: Date.now() + waitMs });
    this.#timer = setTimeout(() => this.#open(), waitMs);
  }

  #wakeUp() {
    if (this.#ended || document.hidden) return;
    if (this.#socket === null) {
      if (this.#timer !== null && this.#failures > 0) this.#open();
      return;
    }
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    // Any answer will do, an error too; without one the connection is dead though it looks open.
    this.#send({ type: this.#paused ? "pause" : "resume", request_id: "alive" });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.reconnect(), ANSWER_MS);
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  reconnect() {
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onclose = null;
      socket.close();
    }
    if (!this.#ended) this.#open();
  }

  /** Let the server hold records back. It keeps them up to a bound, and says what was left out. */
  pause() {
    this.#paused = true;
    this.#send({ type: "pause" });
    this.#handlers.onState({ phase: "paused" });
  }

  resume() {
    this.#paused = false;
    this.#send({ type: "resume" });
    this.#handlers.onState({ phase: this.#socket ? "live" : "connecting" });
  }

  close() {
    this.#ended = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#flushing);
    this.#batch = [];
    removeEventListener("online", this.#wake);
    document.removeEventListener("visibilitychange", this.#wake);
    this.#socket?.close();
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
