/**
 * One connection to the server: carries out what `Session` decides, with real transports, timers
 * and tokens. `tabs.js` puts several tabs on one link; `connect.js` is what apps see.
 */
import { CommandError } from "./errors.js";
import { Session } from "./session.js";
import { TRANSPORTS } from "./transports.js";
import { expiresAtMs, lifeMs, momentMs } from "./tokens.js";
import { TIMING } from "./policy.js";

/** Where the transport that worked is remembered, and for how long. */
const MEMORY_KEY = "rtserver.transport";
const MEMORY_MS = 600_000;

export class Link {
  #options;
  #env;
  #sink;
  #session;
  #handle = null;
  #timers = new Map();
  #pending = new Map();
  #nextRequest = 1;
  #view;
  #queue = [];
  #running = false;

  /**
   * @param {object} options {base, project, socket, view, transports, position, timing, random};
   *   socket: see `ConnectOptions`
   * @param {import("./tokens.js").TokenSource} options.tokens
   * @param {import("./clock.js").ServerClock} options.clock
   * @param {object} env {WebSocket, SockJS, loadSockJS, fetch, setTimeout, clearTimeout, now, monotonic,
   *   memory}
   * @param {object} sink called with what happens: state(state), event(frame, low),
   *   session(frame), gap(frame), resumed(info), problem(error)
   */
  constructor(options, env, sink) {
    this.#options = options;
    this.#env = env;
    this.#sink = sink;
    this.#view = options.view;
    const known = options.transports.filter((name) => TRANSPORTS[name]?.available(env));
    this.#session = new Session({
      transports: known,
      position: options.position,
      remembered: this.#recall(),
      canRenew: options.tokens.canRenew,
      random: options.random,
      timing: options.timing,
    });
  }

  get state() {
    return this.#describe(this.#session.state);
  }

  get position() {
    return this.#session.position;
  }

  /** See `Session.quiet`. */
  get quiet() {
    return this.#session.quiet(this.#env.monotonic());
  }

  start() {
    this.#run(this.#session.start());
  }

  stop(because, detail) {
    this.#run(this.#session.stop(because, detail));
  }

  wake(kind) {
    this.#run(this.#session.wake(kind, this.#env.monotonic()));
  }

  offline() {
    this.#run(this.#session.offline(this.#env.monotonic()));
  }

  rebase(position) {
    this.#run(this.#session.rebase(position));
  }

  rewind(position) {
    this.#run(this.#session.rewind(position));
  }

  tokenChanged() {
    this.#run(this.#session.tokenChanged());
  }

  /** Whether commands can go over the connection itself; else they go by HTTP. */
  get carriesCommands() {
    return this.#session.phase === "live" && this.#session.transport !== "sse";
  }

  setView(view) {
    this.#view = view;
    if (!this.#handle) return; // The next connection is opened with it.
    if (this.#handle.setView) this.#handle.setView(view);
    else if (this.carriesCommands) this.#sendView();
    this.#sink.state(this.state);
  }

  /**
   * @returns {Promise<object>} the `ack`
   * @throws {CommandError} `not_connected`, `connection_lost` (it may have been done, or not),
   *   `timeout`, or the reason in the server's `error`
   */
  request(type, fields = {}) {
    return new Promise((resolve, reject) => {
      const id = `c${this.#nextRequest}`;
      this.#nextRequest += 1;
      const frame = { type, ...fields, request_id: id };
      if (!this.carriesCommands || !this.#handle?.send(frame)) {
        reject(new CommandError("not_connected", "There is no connection to send this on."));
        return;
      }
      const limit = this.#options.timing?.request_timeout_ms ?? TIMING.request_timeout_ms;
      const timer = this.#env.setTimeout(() => {
        this.#pending.delete(id);
        reject(new CommandError("timeout", "The server did not answer in time."));
      }, limit);
      this.#pending.set(id, { resolve, reject, timer });
    });
  }

  // ---- effects ----------------------------------------------------------------------------------

  /** In order, also where carrying one out (an app's handler, say) brings about more. */
  #run(effects) {
    this.#queue.push(...effects);
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#queue.length > 0) this.#carryOut(this.#queue.shift());
    } finally {
      this.#running = false;
    }
  }

  #carryOut(effect) {
    switch (effect.do) {
      case "token":
        this.#fetchToken(effect);
        break;
      case "open":
        void this.#open(effect);
        break;
      case "close":
        this.#drop();
        break;
      case "reach":
        void this.#reach();
        break;
      case "check":
        this.#check();
        break;
      case "renew":
        void this.#renew();
        break;
      case "timer":
        this.#setTimer(effect.name, effect.in_ms);
        break;
      case "clear":
        this.#clearTimer(effect.name);
        break;
      case "state":
        this.#sink.state(this.#describe(effect.state));
        break;
      case "event":
        this.#options.clock.atLeast(effect.frame.ts);
        this.#sink.event(effect.frame, effect.low);
        break;
      case "session":
        this.#answer(effect.frame);
        if (effect.frame.type === "welcome") this.#welcomed(effect.frame);
        this.#sink.session(effect.frame);
        break;
      case "gap":
        this.#sink.gap(effect.frame);
        break;
      case "resumed":
        this.#sink.resumed(effect.info);
        break;
      case "worked":
        this.#remember(effect.transport);
        break;
      default:
        throw new Error(`unknown effect ${effect.do}`);
    }
  }

  #fetchToken({ force, reason }) {
    this.#options.tokens.get({ force, reason }).then(
      () => this.#run(this.#session.tokenReady(this.#env.monotonic())),
      (error) => {
        this.#sink.problem(error);
        const fatal = !this.#options.tokens.canRenew;
        const words = error instanceof Error ? error.message : "no token";
        this.#run(this.#session.tokenFailed({ fatal, reason: words }, this.#env.monotonic()));
      },
    );
  }

  async #open({ transport, lastEventId }) {
    this.#drop();
    // Reports of an attempt that was given up must not reach the next one.
    const attempt = {};
    this.#handle = attempt;
    const now = this.#env.monotonic;
    const current = () => this.#handle === attempt || this.#handle === attempt.handle;
    const closed = (end) => {
      if (!current()) return;
      this.#handle = null;
      this.#failPending();
      this.#run(this.#session.closed(end, now()));
    };
    const report = {
      frame: (frame, low) => current() && this.#run(this.#session.frame(frame, now(), low)),
      heard: () => current() && this.#run(this.#session.heard(now())),
      malformed: (text) => this.#sink.problem(new Error(`not a frame: ${text}`)),
      closed,
    };
    const { base, project, socket, tokens } = this.#options;
    const env = this.#env;
    try {
      if (transport === "sockjs" && !env.SockJS) env.SockJS = await env.loadSockJS();
      if (!current()) return;
      const view = this.#view;
      attempt.handle = TRANSPORTS[transport].open(
        { base, project, socket, view, token: tokens.current, lastEventId, env },
        report,
      );
      if (this.#handle === attempt) this.#handle = attempt.handle;
    } catch (error) {
      this.#sink.problem(error);
      closed({ unsupported: true, reason: "this transport cannot be used here" });
    }
  }

  #drop() {
    const handle = this.#handle;
    this.#handle = null;
    handle?.close?.(1000, "");
    this.#failPending();
  }

  async #reach() {
    const { fetch } = this.#env;
    if (typeof fetch !== "function") {
      this.#run(this.#session.reached(true, this.#env.monotonic()));
      return;
    }
    let ok = false;
    const abort = new AbortController();
    const timer = this.#env.setTimeout(() => abort.abort(), 5_000);
    try {
      const address = `${this.#options.base}/healthz`;
      const response = await fetch(address, { cache: "no-store", signal: abort.signal });
      ok = response.status < 500;
    } catch {
      ok = false; // That it cannot be reached is the answer.
    } finally {
      this.#env.clearTimeout(timer);
    }
    this.#run(this.#session.reached(ok, this.#env.monotonic()));
  }

  /** A command that changes nothing and is always answered; a stream is opened anew instead. */
  #check() {
    if (this.#handle?.setToken) {
      this.#handle.setToken(this.#options.tokens.current);
      return;
    }
    const { socket } = this.#options;
    const handle = this.#handle;
    const [type, fields] = socket ? [socket.check(), {}] : ["view", this.#viewFields()];
    this.request(type, fields).catch((error) => {
      // A socket that is closing already, and waits for a peer that may be gone, is no use.
      if (error.reason !== "not_connected" || this.#handle !== handle) return;
      this.#drop();
      this.#run(this.#session.closed({ code: 1006, reason: "cannot be sent on" }, this.#env.monotonic()));
    });
  }

  #viewFields() {
    const { proposals, focus } = this.#view;
    // Without a focus, what is viewed is what the user looks at.
    return { proposal_ids: proposals, ...(focus.length > 0 && { focus }) };
  }

  #sendView() {
    this.request("view", this.#viewFields()).catch((error) => {
      // Lost with the connection: the next one is opened with the view.
      if (error.reason !== "connection_lost" && error.reason !== "not_connected") {
        this.#sink.problem(error);
      }
    });
  }

  async #renew() {
    const { tokens } = this.#options;
    try {
      const token = await tokens.get({ force: tokens.canRenew, reason: "expiring" });
      if (this.#handle?.setToken) this.#handle.setToken(token);
      else await this.request("refresh_token", { token });
      this.#tokenTaken(expiresAtMs(token));
    } catch (error) {
      this.#sink.problem(error);
      this.#run(this.#session.renewalFailed());
    }
  }

  #welcomed(frame) {
    this.#options.clock.set(frame.ts);
    this.#tokenTaken(momentMs(frame.token_expires_at));
  }

  #tokenTaken(expiresAt) {
    if (expiresAt === null) return; // It is renewed when the server says so.
    const { clock, tokens } = this.#options;
    const token = { leftMs: expiresAt - clock.now(), lifeMs: lifeMs(tokens.current) };
    this.#run(this.#session.tokenTaken(token));
  }

  // ---- answers ----------------------------------------------------------------------------------

  #answer(frame) {
    if (frame.request_id === undefined) return;
    const waiting = this.#pending.get(frame.request_id);
    if (!waiting || (frame.type !== "ack" && frame.type !== "error")) return;
    this.#pending.delete(frame.request_id);
    this.#env.clearTimeout(waiting.timer);
    if (frame.type === "ack") waiting.resolve(frame);
    else waiting.reject(new CommandError(frame.reason ?? "refused", frame.error ?? "", frame));
  }

  #failPending() {
    for (const { reject, timer } of this.#pending.values()) {
      this.#env.clearTimeout(timer);
      reject(
        new CommandError(
          "connection_lost",
          "The connection was lost before the server answered; it may have been done or not.",
        ),
      );
    }
    this.#pending.clear();
  }

  // ---- small things -----------------------------------------------------------------------------

  /** As apps are told: moments by this computer's clock, as it is now. */
  #describe(state) {
    const ahead = this.#env.now() - this.#env.monotonic();
    const moments = {};
    for (const name of ["since", "at"]) {
      if (typeof state[name] === "number") moments[name] = state[name] + ahead;
    }
    return { ...state, ...moments, partial: state.name === "live" && this.#handle?.partial === true };
  }

  #setTimer(name, ms) {
    this.#clearTimer(name);
    const timer = this.#env.setTimeout(() => {
      this.#timers.delete(name);
      this.#run(this.#session.timer(name, this.#env.monotonic()));
    }, ms);
    this.#timers.set(name, timer);
  }

  #clearTimer(name) {
    this.#env.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #recall() {
    try {
      const { transport, at } = JSON.parse(this.#env.memory?.getItem(MEMORY_KEY) ?? "{}");
      return Math.abs(this.#env.now() - at) < MEMORY_MS ? transport : null;
    } catch {
      return null; // Storage may be forbidden, or hold something else: the default order then.
    }
  }

  #remember(transport) {
    if (this.#options.transports.length < 2) return; // Nothing was chosen.
    try {
      const value = JSON.stringify({ transport, at: this.#env.now() });
      this.#env.memory?.setItem(MEMORY_KEY, value);
    } catch {
      // Only a convenience for the next visit: private modes and full storages forbid it.
    }
  }
}
