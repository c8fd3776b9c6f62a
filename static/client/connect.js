/** `connect()`: what an app uses. See docs/client.md. */
import { ServerClock } from "./clock.js";
import { comparePositions } from "./positions.js";
import { Api } from "./http.js";
import { Link } from "./link.js";
import { TIMING } from "./policy.js";
import { fetchMissed, persistently } from "./refetch.js";
import { canShare, SharedLink } from "./tabs.js";
import { claimsOf, TokenSource } from "./tokens.js";

/** Events kept while the app fetches a snapshot after a gap. Past it, the snapshot is repeated. */
const HELD_EVENTS = 20_000;
/** A timer this late means that the machine slept. */
const SLEPT_MS = 10_000;
const TICK_MS = 5_000;

const HANDLERS = {
  event: "onEvent",
  state: "onState",
  gap: "onGap",
  resumed: "onResumed",
  welcome: "onWelcome",
  presence: "onPresence",
  session: "onSession",
  problem: "onProblem",
};

/**
 * Connect to a project, and stay connected.
 *
 * @param {import("./index.d.ts").ConnectOptions} options
 * @returns {Connection}
 * @throws {TypeError} where there is no project, or neither token nor getToken
 */
export function connect(options) {
  const connection = new Connection(options);
  connection.start();
  return connection;
}

export class Connection {
  #link;
  #env;
  #project;
  #tokens;
  #clock;
  #handlers = new Map();
  #view;
  #ask;
  #held = null;
  #stopListening = null;
  #suspended = false;

  constructor(options) {
    if (!options?.socket && (typeof options?.project !== "string" || options.project === "")) {
      throw new TypeError("connect() needs a project");
    }
    const env = { ...browserEnv(), ...options.env };
    this.#env = env;
    if (options.loadSockJS) env.loadSockJS = options.loadSockJS;
    this.#project = options.project;
    this.#tokens = new TokenSource(options);
    this.#clock = new ServerClock(env);
    const base = String(options.url ?? env.origin).replace(/\/+$/, "");
    /** The HTTP interface, with the same token. */
    this.api = new Api({ base, tokens: this.#tokens, clock: this.#clock, env });
    this.#ask = persistently(env, {
      timing: { ...TIMING, ...options.timing },
      random: options.random ?? Math.random,
      isOver: () => this.#stopListening === null,
    });
    this.#view = { proposals: [...(options.proposals ?? [])], focus: [...(options.focus ?? [])] };
    for (const [name, option] of Object.entries(HANDLERS)) {
      if (typeof options[option] === "function") this.on(name, options[option]);
    }
    this.#link = this.#makeLink(options, base);
  }

  #makeLink(options, base) {
    const env = this.#env;
    const { socket } = options;
    const all = socket ? ["websocket"] : ["websocket", "sse", "sockjs"];
    const transports = options.transports ?? all;
    const position = options.position ?? null;
    const direct = (sink, from, view) => {
      const { timing, random } = options;
      const [tokens, clock] = [this.#tokens, this.#clock];
      const way = { base, project: this.#project, socket, view, transports };
      const settings = { ...way, tokens, clock, timing, random };
      return new Link({ ...settings, position: from }, env, sink);
    };
    const sink = this.#sink();
    const user = claimsOf(this.#tokens.current ?? "").sub ?? options.user;
    if (socket || options.shareTabs === false || user === undefined || !canShare(env)) {
      return direct(sink, position, this.#view);
    }
    return new SharedLink(
      {
        key: ["rtserver", base, this.#project, user, transports.join("+")].join(" "),
        makeLink: direct,
        history: (after) => this.api.history(this.#project, { after }),
        position,
        view: this.#view,
      },
      env,
      sink,
    );
  }

  /** What the connection is doing; see `ConnectionState`. */
  get state() {
    return this.#link.state;
  }

  /** Everything up to this id was delivered. */
  get position() {
    return this.#link.position;
  }

  /** What time it is at the server, in milliseconds since 1970. */
  serverNow() {
    return this.#clock.now();
  }

  start() {
    this.#stopListening ??= this.#listen();
    this.#link.start();
  }

  /** Stop for good; `start` begins again from where it stopped. */
  close() {
    this.#stopListening?.();
    this.#stopListening = null;
    this.#link.stop();
  }

  /** Try now: while waiting, or after a stop. */
  reconnect() {
    this.#stopListening ??= this.#listen();
    this.#link.wake("manual");
  }

  /**
   * @param {"event"|"state"|"gap"|"resumed"|"welcome"|"presence"|"session"|"problem"} name
   * @param {(value: any, help?: any) => unknown} handler
   * @returns {() => void} stops listening
   */
  on(name, handler) {
    if (!Object.hasOwn(HANDLERS, name)) throw new TypeError(`no such event: ${name}`);
    if (!this.#handlers.has(name)) this.#handlers.set(name, new Set());
    this.#handlers.get(name).add(handler);
    return () => this.#handlers.get(name).delete(handler);
  }

  /**
   * Narrow or widen what comes.
   *
   * @param {string[]} proposals none for the whole project
   * @param {{focus?: string[]}} [options] focus: what to read where only some can be
   */
  view(proposals, { focus = this.#view.focus } = {}) {
    this.#view = { proposals: [...proposals], focus: [...focus] };
    this.#link.setView(this.#view);
  }

  /** State as of `position` is held (a snapshot was fetched): no need to resume from before it. */
  rebase(position) {
    this.#link.rebase(position);
  }

  /** A newer token, renewed in-band; a connection that stopped for want of one starts again. */
  setToken(token) {
    this.#tokens.set(token);
    this.#link.tokenChanged();
  }

  /** A snapshot of the project, and resume from it. */
  async snapshot() {
    const snapshot = await this.api.snapshot(this.#project);
    if (snapshot?.position) this.#link.rebase(snapshot.position);
    return snapshot;
  }

  /** A page of the stored events after a position; see `Api.history`. */
  history(after, limit) {
    return this.api.history(this.#project, { after, limit });
  }

  /**
   * Send a command over the socket.
   *
   * @returns {Promise<object>} the `ack`
   * @throws {import("./errors.js").CommandError}
   */
  request(type, fields) {
    return this.#link.request(type, fields);
  }

  // Commands that have an HTTP form go that way where the transport carries none.

  startValidation(proposal) {
    return this.#command("start_validation", { proposal_id: proposal }, () =>
      this.api.startValidation(proposal),
    );
  }

  cancelValidation(run) {
    return this.#command("cancel_validation", { run_id: run }, () => this.api.cancelRun(run));
  }

  startIteration(proposal, instruction) {
    return this.#command("start_iteration", { proposal_id: proposal, instruction }, () =>
      this.api.startIteration(proposal, instruction),
    );
  }

  cancelIteration(run) {
    return this.#command("cancel_iteration", { run_id: run }, () => this.api.cancelRun(run));
  }

  async #command(type, fields, byHttp) {
    try {
      if (this.#link.carriesCommands) return await this.#link.request(type, fields);
    } catch (error) {
      if (error.reason !== "not_connected") throw error;
      // It was never sent.
    }
    return byHttp();
  }

  // ---- what the link tells ----------------------------------------------------------------------

  #sink() {
    return {
      state: (state) => this.#tell("state", state),
      event: (frame) => this.#event(frame),
      session: (frame) => {
        if (frame.type === "welcome") this.#tell("welcome", frame);
        else if (frame.type === "presence") this.#tell("presence", frame);
        this.#tell("session", frame);
      },
      gap: (frame) => void this.#gap(frame),
      resumed: (info) => this.#tell("resumed", info),
      problem: (error) => this.#tell("problem", error),
    };
  }

  #event(frame) {
    if (!this.#held) {
      this.#tell("event", frame);
      return;
    }
    if (this.#held.events.length < HELD_EVENTS) this.#held.events.push(frame);
    else this.#held.overflow = true;
  }

  /** What the app looks at: all that it has open can be out of date after a gap. */
  get #shown() {
    const { focus, proposals } = this.#view;
    return focus.length > 0 ? focus : proposals;
  }

  /** Events wait until the app has refetched; those the snapshot contains are not told again. */
  async #gap(frame) {
    if (this.#held) {
      this.#held.again = true;
      return;
    }
    const held = { events: [], overflow: false, again: false, since: null };
    this.#held = held;
    const refetch = async () => {
      held.events = [];
      held.overflow = false;
      const [api, project, focus, ask] = [this.api, this.#project, this.#shown, this.#ask];
      const missed = await fetchMissed({ api, project, focus, ask });
      if (missed.position) this.#link.rebase(missed.position);
      held.since = missed.position ?? null;
      return missed;
    };
    do {
      held.again = false;
      held.overflow = false;
      await this.#tellAll("gap", frame, { refetch });
    } while (held.again || held.overflow);
    this.#held = null;
    for (const event of held.events) {
      const order = held.since === null ? null : comparePositions(event.id, held.since);
      if (order === null || order > 0) this.#tell("event", event);
    }
  }

  #tell(name, value) {
    for (const handler of this.#handlers.get(name) ?? []) {
      try {
        handler(value);
      } catch (error) {
        this.#env.report(error);
      }
    }
  }

  async #tellAll(name, ...values) {
    for (const handler of this.#handlers.get(name) ?? []) {
      try {
        await handler(...values);
      } catch (error) {
        this.#env.report(error);
      }
    }
  }

  // ---- the world outside ------------------------------------------------------------------------

  #suspend() {
    const { name, because, reason } = this.#link.state;
    if (name === "stopped") {
      this.#link.stop(because, { reason });
      return;
    }
    this.#suspended = true;
    this.#link.stop();
  }

  /** What had stopped before, stays so. */
  #resume() {
    if (this.#suspended) this.#link.start();
    this.#suspended = false;
  }

  #listen() {
    const { target, document, setInterval, clearInterval, now, monotonic } = this.#env;
    const visible = () => !document || document.visibilityState === "visible";
    const listeners = [
      [target, "online", () => this.#link.wake("online")],
      [target, "offline", () => this.#link.offline()],
      // A page put aside for the back button, or suspended (Page Lifecycle), must let go of the lock
      // that other tabs wait for.
      [target, "pagehide", () => this.#suspend()],
      [document, "freeze", () => this.#suspend()],
      [target, "pageshow", (event) => event.persisted && this.#resume()],
      [document, "resume", () => this.#resume()],
      [document, "visibilitychange", () => visible() && this.#link.wake("visible")],
    ];
    for (const [on, name, handler] of listeners) on?.addEventListener(name, handler);
    // Either clock may stand still while the machine sleeps, and the first may be set.
    let last = [now(), monotonic()];
    const tick = setInterval(() => {
      const times = [now(), monotonic()];
      const late = Math.max(...times.map((time, at) => time - last[at])) - TICK_MS;
      last = times;
      if (late > SLEPT_MS && visible()) this.#link.wake("slept");
    }, TICK_MS);
    return () => {
      clearInterval(tick);
      for (const [on, name, handler] of listeners) on?.removeEventListener(name, handler);
    };
  }
}

/** What a browser offers. Each can be replaced by `connect({env})`, in tests and elsewhere. */
function browserEnv() {
  const g = globalThis;
  let memory;
  try {
    memory = g.localStorage;
  } catch {
    memory = undefined; // Reading the property alone throws where storage is blocked.
  }
  return {
    origin: g.location?.origin ?? "",
    WebSocket: g.WebSocket,
    SockJS: g.SockJS,
    BroadcastChannel: g.BroadcastChannel,
    locks: g.navigator?.locks,
    memory,
    target: typeof g.addEventListener === "function" ? g : undefined,
    document: g.document,
    fetch: (...args) => g.fetch(...args),
    setTimeout: (...args) => g.setTimeout(...args),
    clearTimeout: (id) => g.clearTimeout(id),
    setInterval: (...args) => g.setInterval(...args),
    clearInterval: (id) => g.clearInterval(id),
    now: () => Date.now(),
    monotonic: () => g.performance.now(),
    uuid: () => g.crypto.randomUUID?.() ?? String(g.crypto.getRandomValues(new Uint32Array(2))),
    report: (error) => {
      if (typeof g.reportError === "function") g.reportError(error);
      else g.console.error(error);
    },
  };
}
