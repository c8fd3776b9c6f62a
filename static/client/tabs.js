/**
 * One connection for all tabs of a browser that show the same project as the same user.
 *
 * The tab that holds a Web Lock leads: it has the link, and passes what comes by BroadcastChannel.
 * The others follow; when the leader's tab goes, the browser gives the lock to one of them, and it
 * resumes from the earliest position that any tab has. Every tab lets each event through once, so
 * it does not matter that some come twice. Tokens never travel between tabs.
 */
import { comparePositions, DeliveryWindow, earlier } from "./positions.js";
import { CommandError } from "./link.js";
import { STOPPED, TIMING } from "./policy.js";

const TABS = Object.freeze({
  /** A new leader waits this long to hear where the others are. */
  gather_ms: 120,
  /** A leader that does not answer for this long is taken for hung, and replaced. */
  leader_timeout_ms: 3_000,
  /** A leader in a hidden tab has its timers slowed; a follower reminds it this late. */
  remind_ms: 1_500,
  /** Frames kept while a follower reads what it missed; more are given up for a `gap`. */
  held_frames: 20_000,
});

/** What a narrowed view leaves out. Other events come to a user whatever is viewed. */
const BY_VIEW = /^(validation_|iteration_|output$|token$|status_changed$)/;

export function canShare(env) {
  return typeof env.BroadcastChannel === "function" && typeof env.locks?.request === "function";
}

export class SharedLink {
  #options;
  #env;
  #sink;
  #id;
  #channel = null;
  /** none (electing), follower, gathering (has the lock, hears where the others are), leader */
  #role = "none";
  /** Changes with each leadership, so that what an earlier link still says is not passed on. */
  #term = null;
  #link = null;
  #release = null;
  #waiting = null;
  #window;
  #view;
  #tabs = new Map();
  #pending = new Map();
  #nextRequest = 1;
  #held = null;
  #heldOverflow = false;
  #leaderTimer = null;
  #remindTimer = null;
  #lastWelcome = null;
  #state = { name: "connecting", transport: null, attempt: 0, since: null };

  /**
   * @param {object} options
   * @param {string} options.key the same for the tabs that share
   * @param {(sink: object, position: string | null, view: object) => import("./link.js").Link}
   *   options.makeLink
   * @param {(after: string) => Promise<object>} options.history a page, as `Api.history` gives it
   * @param {string | null} options.position
   * @param {{proposals: string[], focus: string[]}} options.view
   * @param {object} env {BroadcastChannel, locks, setTimeout, clearTimeout, now, uuid}
   * @param {object} sink as for Link
   */
  constructor(options, env, sink) {
    this.#options = options;
    this.#env = env;
    this.#sink = sink;
    this.#id = env.uuid();
    this.#view = options.view;
    this.#window = new DeliveryWindow(options.position);
  }

  get state() {
    return { ...this.#state, shared: this.#role };
  }

  get position() {
    return this.#window.position;
  }

  get carriesCommands() {
    if (this.#link) return this.#link.carriesCommands;
    return this.#state.name === "live" && this.#state.transport !== "sse";
  }

  start() {
    if (this.#channel) {
      this.wake("manual");
      return;
    }
    this.#channel = new this.#env.BroadcastChannel(this.#options.key);
    this.#channel.onmessage = ({ data }) => this.#receive(data);
    this.#setState({ name: "connecting", transport: null, attempt: 0, since: null });
    void this.#env.locks
      .request(this.#options.key, { ifAvailable: true }, (lock) => {
        if (!lock || !this.#channel) return undefined;
        // One that asked in the same moment may have said hello before this tab was leading.
        this.#post({ kind: "leader" });
        return this.#lead(this.position, this.#begin());
      })
      .then(
        () => {
          if (this.#channel && this.#role === "none") this.#follow();
        },
        (error) => this.#deposed(error),
      );
  }

  /** Leave the others to go on without this tab. */
  stop(because = STOPPED.closed, detail = {}) {
    this.#leave();
    this.#setState({ name: "stopped", because, reason: detail.reason ?? "", since: null });
  }

  wake(kind) {
    if (this.#link) {
      this.#link.wake(kind);
    } else if (!this.#channel) {
      if (kind === "manual") this.start();
    } else if (this.#role === "follower") {
      this.#post({ kind: "wake", wake: kind });
      this.#expectLeader();
    }
  }

  offline() {
    // Every tab of the browser is told so; the leader says what it makes of it.
    this.#link?.offline();
  }

  rebase(position) {
    this.#window.advance(position);
    if (this.#link && this.#tabs.size === 0) this.#link.rebase(position);
  }

  rewind(position) {
    this.#window.rewind(position);
    this.#link?.rewind(position);
  }

  tokenChanged() {
    if (this.#link) this.#link.tokenChanged();
    else if (!this.#channel) this.start();
  }

  setView(view) {
    this.#view = view;
    if (this.#link) this.#link.setView(this.#union());
    else this.#hello();
  }

  request(type, fields = {}) {
    if (this.#link) return this.#link.request(type, fields);
    return new Promise((resolve, reject) => {
      if (!this.carriesCommands || !this.#channel) {
        reject(new CommandError("not_connected", "There is no connection to send this on."));
        return;
      }
      const id = this.#nextRequest;
      this.#nextRequest += 1;
      const timer = this.#env.setTimeout(() => {
        this.#pending.delete(id);
        reject(new CommandError("timeout", "The leading tab did not answer in time."));
      }, TIMING.request_timeout_ms + 1_000);
      this.#pending.set(id, { resolve, reject, timer });
      this.#post({ kind: "request", id, type, fields });
    });
  }

  // ---- leading ----------------------------------------------------------------------------------

  /** Hold the lock, and with it the link, until released. */
  #lead(position, term) {
    this.#role = "leader";
    this.#link = this.#options.makeLink(this.#leaderSink(term), position, this.#union());
    const held = new Promise((resolve) => {
      this.#release = resolve;
    });
    if (this.#mayConnect()) this.#link.start();
    else this.#setState(this.#state);
    return held;
  }

  /** After "replaced" and the like, a change of leader is no reason to try again unasked. */
  #mayConnect() {
    const { name, because } = this.#state;
    return name !== "stopped" || because === STOPPED.unauthorized || because === STOPPED.closed;
  }

  #begin() {
    this.#role = "gathering";
    this.#term = {};
    this.#tabs.clear();
    this.#clearTimers();
    this.#failPending();
    return this.#term;
  }

  async #succeed() {
    if (!this.#channel) return undefined;
    const term = this.#begin();
    this.#post({ kind: "leader" });
    await new Promise((resolve) => {
      this.#env.setTimeout(resolve, TABS.gather_ms);
    });
    if (this.#term !== term) return undefined;
    let position = this.position;
    for (const tab of this.#tabs.values()) position = earlier(position, tab.position);
    return this.#lead(position, term);
  }

  #leaderSink(term) {
    const sink = {
      state: (state) => {
        this.#setState(state);
        this.#post({ kind: "state", state });
        if (state.name === "stopped" && state.because === STOPPED.unauthorized) {
          // Another tab may have a token that is still good.
          this.#leave();
        }
      },
      event: (frame, low) => {
        this.#post({ kind: "event", frame, low });
        this.#deliver(frame, low);
      },
      session: (frame) => {
        if (frame.type === "welcome") this.#lastWelcome = frame;
        if (frame.request_id === undefined) this.#post({ kind: "session", frame });
        this.#session(frame);
      },
      gap: (frame) => {
        this.#post({ kind: "gap", frame });
        this.#sink.gap(frame);
      },
      resumed: (info) => {
        this.#post({ kind: "resumed", info });
        this.#sink.resumed(info);
      },
      problem: (error) => this.#sink.problem(error),
    };
    const whileLeading = ([name, tell]) => [
      name,
      (...args) => {
        if (this.#term === term) tell(...args);
      },
    ];
    return Object.fromEntries(Object.entries(sink).map(whileLeading));
  }

  #union() {
    const views = [this.#view, ...[...this.#tabs.values()].map((tab) => tab.view)];
    const whole = views.some((view) => view.proposals.length === 0);
    return {
      proposals: whole ? [] : [...new Set(views.flatMap((view) => view.proposals))],
      focus: [...new Set(views.flatMap((view) => view.focus))],
    };
  }

  #welcomeTab({ from, position, view }) {
    const before = JSON.stringify(this.#union());
    this.#tabs.set(from, { position, view });
    if (!this.#link) return; // Still gathering.
    const union = this.#union();
    if (JSON.stringify(union) !== before) this.#link.setView(union);
    if (this.#state.name !== "live" && this.#state.name !== "stale") {
      const order = comparePositions(position, this.#link.position);
      if (order !== null && order < 0) this.#link.rewind(position);
    }
    this.#post({
      kind: "joined",
      to: from,
      position: this.#link.position,
      state: this.#state,
      welcome: this.#lastWelcome,
    });
  }

  #serve({ from, id, type, fields }) {
    const answer = (more) => this.#post({ kind: "answer", to: from, id, ...more });
    this.#link.request(type, fields).then(
      (ack) => answer({ ack }),
      ({ reason, message, detail }) => answer({ error: { reason, message, detail } }),
    );
  }

  // ---- following --------------------------------------------------------------------------------

  #follow() {
    this.#role = "follower";
    this.#waiting = new AbortController();
    const { signal } = this.#waiting;
    void this.#env.locks
      .request(this.#options.key, { signal }, () => this.#succeed())
      .catch((error) => this.#deposed(error));
    this.#hello();
    this.#expectLeader();
  }

  #hello() {
    this.#post({ kind: "hello", position: this.position, view: this.#view });
  }

  #expectLeader() {
    if (this.#leaderTimer !== null) return;
    this.#leaderTimer = this.#env.setTimeout(() => {
      this.#leaderTimer = null;
      this.#steal();
    }, TABS.leader_timeout_ms);
  }

  #leaderSpoke() {
    this.#env.clearTimeout(this.#leaderTimer);
    this.#leaderTimer = null;
  }

  /** The leader's tab hangs: a lock is not given up by a page that does not run. */
  #steal() {
    if (this.#role !== "follower") return;
    this.#waiting?.abort();
    void this.#env.locks
      .request(this.#options.key, { steal: true }, () => this.#succeed())
      .catch((error) => this.#deposed(error));
  }

  /** The lock was taken from this tab, or the wait for it was given up. */
  #deposed(error) {
    if (error?.name !== "AbortError") this.#sink.problem(error);
    if ((this.#role !== "leader" && this.#role !== "gathering") || !this.#channel) return;
    this.#abdicate();
    this.#follow();
  }

  async #joined({ position, state, welcome }) {
    if (welcome) this.#session(welcome);
    this.#setState(state);
    const order = comparePositions(this.position, position);
    if (position === null || (order !== null && order >= 0)) return;
    if (this.position === null) {
      this.#window.advance(position);
      return;
    }
    if (this.#held) return; // Under way already.
    this.#held = [];
    this.#heldOverflow = false;
    try {
      if (order === null) throw new Error("the log began a new life");
      await this.#catchUp(position);
      if (this.#heldOverflow) throw new Error("more came than a tab keeps while it catches up");
    } catch (error) {
      this.#sink.problem(error);
      const requested = this.position;
      this.#window.advance(position);
      this.#sink.gap({ type: "gap", requested, oldest_available: null, lost: null, refetch: true });
    }
    const held = this.#held;
    this.#held = null;
    for (const data of held) this.#receive(data);
  }

  async #catchUp(until) {
    let after = this.position;
    for (;;) {
      const page = await this.#options.history(after);
      if (page.lost > 0) throw new Error("some events are no longer stored");
      for (const frame of page.events) this.#deliver(frame);
      // Events that are not for this user take a place too, so the page says how far it went.
      after = page.position;
      this.#window.advance(after);
      const order = comparePositions(after, until);
      if (!page.more || order === null || order >= 0) break;
    }
    this.#window.advance(until);
  }

  // ---- both -------------------------------------------------------------------------------------

  #receive(data) {
    if (data.to !== undefined && data.to !== this.#id) return;
    if (this.#role === "follower") this.#receiveAsFollower(data);
    else if (this.#role !== "none") this.#receiveAsLeader(data);
  }

  #receiveAsLeader(data) {
    if (data.kind === "hello") this.#welcomeTab(data);
    else if (data.kind === "bye") this.#tabs.delete(data.from);
    else if (!this.#link) return;
    else if (data.kind === "request") this.#serve(data);
    else if (data.kind === "wake") {
      this.#link.wake(data.wake);
      this.#post({ kind: "state", state: this.#state });
    }
  }

  #receiveAsFollower(data) {
    if (this.#held && ["event", "session", "gap"].includes(data.kind)) {
      if (this.#held.length < TABS.held_frames) this.#held.push(data);
      else this.#heldOverflow = true;
      return;
    }
    switch (data.kind) {
      case "leader":
        this.#leaderSpoke();
        this.#failPending();
        this.#hello();
        this.#expectLeader();
        break;
      case "joined":
        this.#leaderSpoke();
        void this.#joined(data);
        break;
      case "state":
        this.#leaderSpoke();
        this.#setState(data.state);
        this.#remindLater(data.state);
        break;
      case "event":
        this.#deliver(data.frame, data.low);
        break;
      case "session":
        this.#session(data.frame);
        break;
      case "gap":
        this.#sink.gap(data.frame);
        break;
      case "resumed":
        this.#sink.resumed(data.info);
        break;
      case "answer":
        this.#answered(data);
        break;
      default: // Meant for a leader.
    }
  }

  #remindLater(state) {
    this.#env.clearTimeout(this.#remindTimer);
    if (state.name !== "reconnecting") return;
    const wait = Math.max(0, state.at - this.#env.now()) + TABS.remind_ms;
    this.#remindTimer = this.#env.setTimeout(() => this.wake("visible"), wait);
  }

  #deliver(frame, low) {
    const { proposals } = this.#view;
    const fresh = this.#window.accept(frame.id, low);
    if (!fresh) return;
    const seen =
      proposals.length === 0 ||
      frame.proposal_id === undefined ||
      proposals.includes(frame.proposal_id) ||
      !BY_VIEW.test(frame.type);
    if (seen) this.#sink.event(frame, this.position);
  }

  #session(frame) {
    if (frame.type === "position") this.#window.advance(frame.id);
    this.#sink.session(frame);
  }

  #answered({ id, ack, error }) {
    const waiting = this.#pending.get(id);
    if (!waiting) return;
    this.#pending.delete(id);
    this.#env.clearTimeout(waiting.timer);
    if (ack) waiting.resolve(ack);
    else waiting.reject(new CommandError(error.reason, error.message, error.detail));
  }

  #failPending() {
    for (const { reject, timer } of this.#pending.values()) {
      this.#env.clearTimeout(timer);
      reject(
        new CommandError(
          "connection_lost",
          "The leading tab was closed before the server answered; it may have been done or not.",
        ),
      );
    }
    this.#pending.clear();
  }

  #leave() {
    this.#clearTimers();
    this.#waiting?.abort();
    this.#waiting = null;
    this.#post({ kind: "bye" });
    this.#abdicate();
    this.#release?.();
    this.#release = null;
    this.#channel?.close();
    this.#channel = null;
    this.#tabs.clear();
    this.#failPending();
  }

  #abdicate() {
    const link = this.#link;
    this.#role = "none";
    this.#term = null;
    this.#link = null;
    link?.stop();
  }

  #clearTimers() {
    this.#leaderSpoke();
    this.#env.clearTimeout(this.#remindTimer);
  }

  #setState(state) {
    this.#state = state;
    this.#sink.state(this.state);
  }

  #post(message) {
    this.#channel?.postMessage({ ...message, from: this.#id });
  }
}
