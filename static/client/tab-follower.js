/** A tab that is told by the leading one what comes. See `tabs.js`. */
import { CommandError } from "./errors.js";
import { comparePositions } from "./positions.js";
import { TIMING } from "./policy.js";

/** A leader that does not answer for this long is taken for hung, and replaced. */
const LEADER_TIMEOUT_MS = 3_000;
/** Of several tabs one is first, and the others hear of it. */
const JITTER_MS = 1_000;
/** A tab that is seen asks this often whether its leader is there, and still hears the server. */
const ASK_MS = 4_000;
/** A timer this late says that this tab itself stood still. */
const LATE_MS = 1_000;
/** A leader in a hidden tab has its timers slowed; it is reminded of a reconnect this late. */
const REMIND_MS = 1_500;
/** Frames kept while it reads what it missed; more are given up for a `gap`. */
const HELD_FRAMES = 20_000;
/** The history may lag behind the leader for a moment: it is asked again so often, so late. */
const LAG_ROUNDS = 5;
const LAG_MS = 200;

export class Follower {
  name = "follower";
  #seat;
  #disposed = false;
  #pending = new Map();
  #nextRequest = 1;
  /** The tab that leads, as far as this one knows. */
  #leader = null;
  /** While it finds out what it missed, what comes waits here; else null. */
  #held = null;
  #heldOverflow = false;
  #catchingUp = false;
  #leaderTimer = null;
  #remindTimer = null;
  #askTimer = null;

  /** @param {object} seat what `SharedLink` gives its roles */
  constructor(seat) {
    this.#seat = seat;
  }

  get carriesCommands() {
    const { name, transport } = this.#seat.state();
    return name === "live" && transport !== "sse";
  }

  get #position() {
    return this.#seat.window.position;
  }

  /** Ask the leader where it is, and keep what comes until the answer. */
  join() {
    this.#held ??= [];
    this.#heldOverflow = false;
    this.#hello();
    this.#expectLeader();
    this.#askLater();
  }

  dispose() {
    const { env } = this.#seat;
    this.#disposed = true;
    for (const timer of [this.#leaderTimer, this.#remindTimer, this.#askTimer]) {
      env.clearTimeout(timer);
    }
    this.#failPending();
  }

  /** Commands that the leader did not take, for the one who takes its place. */
  unsent() {
    const unsent = [...this.#pending].filter(([, { taken }]) => !taken);
    for (const [id] of unsent) this.#pending.delete(id);
    return unsent.map(([, command]) => command);
  }

  /** Commands of this tab from when it led: the leader gets them once it is known. */
  takeOver(commands) {
    for (const command of commands) this.#pending.set(this.#newId(), { ...command, taken: false });
  }

  wake(kind) {
    this.#seat.post({ kind: "wake", wake: kind });
    this.#expectLeader();
  }

  setView() {
    this.#hello();
  }

  // Every tab of the browser is told of these; the leader acts on them.
  offline() {}
  rebase() {}
  rewind() {}
  tokenChanged() {}

  request(type, fields) {
    const { env } = this.#seat;
    return new Promise((resolve, reject) => {
      if (!this.carriesCommands) {
        reject(new CommandError("not_connected", "There is no connection to send this on."));
        return;
      }
      const id = this.#newId();
      const timer = env.setTimeout(() => {
        this.#pending.delete(id);
        reject(new CommandError("timeout", "The leading tab did not answer in time."));
      }, TIMING.request_timeout_ms + 1_000);
      const since = env.monotonic();
      this.#pending.set(id, { type, fields, resolve, reject, timer, since, taken: false });
      this.#send(id);
      this.#expectLeader();
    });
  }

  #newId() {
    this.#nextRequest += 1;
    return this.#nextRequest;
  }

  /** To the leader alone: one that was deposed, and does not know it yet, would do it as well. */
  #send(id) {
    const { type, fields } = this.#pending.get(id);
    const { env, post } = this.#seat;
    post({ kind: "request", to: this.#leader, id, type, fields, sent: env.now() });
  }

  // ---- from the leader --------------------------------------------------------------------------

  receive(data) {
    if (["event", "session", "gap"].includes(data.kind) && this.#hold(data)) return;
    const { sink, deliver, session, setState } = this.#seat;
    switch (data.kind) {
      case "leader":
        this.#leader = null;
        this.#failTaken();
        this.#leaderSpoke();
        this.join();
        break;
      case "joined":
        this.#leaderSpoke();
        this.#follow(data.from);
        void this.#joined(data);
        break;
      case "state":
        if (!this.#held) this.#leaderSpoke();
        setState(data.state);
        this.#remindLater(data.state);
        break;
      case "event":
        deliver(data.frame, data.low);
        break;
      case "session":
        session(data.frame);
        break;
      case "gap":
        sink.gap(data.frame);
        break;
      case "resumed":
        sink.resumed(data.info);
        break;
      case "here":
        this.#heardOf(data.quiet);
        break;
      case "taken":
        this.#taken(data.id);
        break;
      case "answer":
        this.#answered(data);
        break;
      default: // Meant for a leader.
    }
  }

  /** @returns {boolean} whether it has to wait */
  #hold(data) {
    if (this.#held) {
      if (this.#held.length < HELD_FRAMES) this.#held.push(data);
      else this.#heldOverflow = true;
      return true;
    }
    if ((comparePositions(this.#position, data.after) ?? 0) >= 0) return false;
    // Something did not come here: a browser may drop what it sends to a sleeping tab.
    this.#held = [data];
    this.join();
    return true;
  }

  async #joined({ position, state, welcome, presence }) {
    if (this.#catchingUp) return;
    const { session, setState, window } = this.#seat;
    if (welcome) session(welcome);
    if (presence) session(presence);
    setState(state);
    const order = comparePositions(this.#position, position);
    if (this.#position === null) {
      if (position !== null) window.advance(position);
    } else if (position !== null && (order === null || order < 0)) {
      await this.#readMissed(position, order);
    }
    if (this.#disposed) return;
    const held = this.#held ?? [];
    this.#held = null;
    for (const data of held) this.receive(data);
  }

  async #readMissed(position, order) {
    const { window, sink } = this.#seat;
    this.#catchingUp = true;
    this.#held ??= [];
    try {
      if (order === null) throw new Error("the log began a new life");
      await this.#catchUp(position);
      if (this.#heldOverflow) throw new Error("more came than a tab keeps while it catches up");
    } catch (error) {
      if (this.#disposed) return;
      sink.problem(error);
      const requested = this.#position;
      window.advance(position);
      sink.gap({ type: "gap", requested, oldest_available: null, lost: null, refetch: null });
    } finally {
      this.#catchingUp = false;
    }
  }

  async #catchUp(until) {
    const { env, options, window, deliver } = this.#seat;
    let after = this.#position;
    let patience = LAG_ROUNDS;
    for (;;) {
      const page = await options.history(after);
      if (this.#disposed) return;
      if (page.lost > 0) throw new Error("some events are no longer stored");
      for (const frame of page.events) deliver(frame);
      // Events that are not for this user take a place too, so the page says how far it went.
      after = page.position;
      window.advance(after);
      const order = comparePositions(after, until);
      if (order === null || order >= 0) return;
      if (page.more) continue;
      // Another worker answered, and is not yet where the leader's is.
      if (patience === 0) throw new Error("the history does not reach what the leader has");
      patience -= 1;
      await new Promise((resolve) => {
        env.setTimeout(resolve, LAG_MS);
      });
      if (this.#disposed) return;
    }
  }

  #taken(id) {
    const waiting = this.#pending.get(id);
    if (waiting) waiting.taken = true;
    if (!this.#held) this.#leaderSpoke();
  }

  #answered({ id, ack, error }) {
    const waiting = this.#pending.get(id);
    if (!waiting) return;
    this.#pending.delete(id);
    this.#seat.env.clearTimeout(waiting.timer);
    if (ack) waiting.resolve(ack);
    else waiting.reject(new CommandError(error.reason, error.message, error.detail));
  }

  /** What the leader before did not take is for this one. */
  #follow(leader) {
    if (leader === this.#leader) return;
    this.#leader = leader;
    for (const [id, { taken }] of this.#pending) if (!taken) this.#send(id);
  }

  #failTaken() {
    const unsent = new Map([...this.#pending].filter(([, { taken }]) => !taken));
    for (const id of unsent.keys()) this.#pending.delete(id);
    this.#failPending();
    this.#pending = unsent;
  }

  #failPending() {
    for (const { reject, timer } of this.#pending.values()) {
      this.#seat.env.clearTimeout(timer);
      reject(
        new CommandError(
          "connection_lost",
          "The leading tab was closed before the server answered; it may have been done or not.",
        ),
      );
    }
    this.#pending.clear();
  }

  // ---- whether there is a leader ----------------------------------------------------------------

  #hello() {
    this.#seat.post({ kind: "hello", position: this.#position, view: this.#seat.view() });
  }

  #expectLeader() {
    if (this.#leaderTimer !== null) return;
    const { env, steal, post } = this.#seat;
    const wait = LEADER_TIMEOUT_MS + Math.random() * JITTER_MS;
    const due = env.monotonic() + wait;
    this.#leaderTimer = env.setTimeout(() => {
      this.#leaderTimer = null;
      if (env.monotonic() - due < LATE_MS) {
        steal();
        return;
      }
      // The answer may be there, and was not looked at yet.
      post({ kind: "ask" });
      this.#expectLeader();
    }, wait);
  }

  /** A leader's tab may be suspended at any time, and says nothing then. */
  #askLater() {
    const { env, post, state } = this.#seat;
    env.clearTimeout(this.#askTimer);
    this.#askTimer = env.setTimeout(() => {
      const seen = (env.document?.visibilityState ?? "visible") === "visible";
      if (seen && state().name !== "stopped") {
        post({ kind: "ask" });
        this.#expectLeader();
      }
      this.#askLater();
    }, ASK_MS);
  }

  /** The leader is there. Its timers may be slowed, so whether its connection is, too, is seen here. */
  #heardOf(quiet) {
    if (!this.#held) this.#leaderSpoke();
    if (quiet === null) return;
    if (quiet.quiet_ms > quiet.dead_ms) this.#seat.steal();
    else if (quiet.quiet_ms > quiet.silence_ms) this.#seat.post({ kind: "wake", wake: "slept" });
  }

  #leaderSpoke() {
    this.#seat.env.clearTimeout(this.#leaderTimer);
    this.#leaderTimer = null;
  }

  #remindLater(state) {
    const { env } = this.#seat;
    env.clearTimeout(this.#remindTimer);
    if (state.name !== "reconnecting") return;
    // It may have been said a while ago, and the clock set since then.
    const wait = Math.min(state.in_ms, Math.max(0, state.at - env.now())) + REMIND_MS;
    this.#remindTimer = env.setTimeout(() => this.wake("visible"), wait);
  }
}
