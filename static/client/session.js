/**
 * The life of one connection as a state machine: what to do about each thing that happens.
 *
 * It does no I/O and owns no timer. Every method takes the time, in milliseconds of a clock that only
 * runs forward, and returns effects, plain objects
 * that `link.js` carries out:
 *
 * | effect | to do |
 * | --- | --- |
 * | `token` {force, reason} | get a token; answer with `tokenReady` or `tokenFailed` |
 * | `open` {transport, lastEventId} | open it; answer with `frame`, `heard` and `closed` |
 * | `close` {code, reason} | close the open transport; nothing of it is to be passed on any more |
 * | `reach` | ask the server something over plain HTTP; answer with `reached` |
 * | `check` | send something that is answered |
 * | `renew` | get a new token and send it in `refresh_token`, or reopen a stream with it |
 * | `timer` {name, in_ms} / `clear` {name} | call `timer(name)` then; a name is one timer |
 * | `state` {state}, `event` {frame, low}, `session` {frame}, `gap` {frame}, `resumed` {info} | tell |
 * | `worked` {transport} | remember it for the next visit |
 */
import { comparePositions, DeliveryWindow } from "./positions.js";
import { actionFor, backoffMs, refreshInMs, STOPPED, TIMING } from "./policy.js";

/** Why a server that is there does not have this client now; see `ConnectionState`. */
function whyAway(code, { status, word }) {
  if (code === 4053 || word === "project_full") return "full";
  return status === 503 ? "busy" : "lost";
}

/** The longest time `setTimeout` can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const TIMERS = ["open", "retry", "silence", "stale", "dead", "stable", "renew", "closing"];

export class Session {
  #timing;
  #random;
  #effects = [];
  #window;
  #transports;
  #at = 0;
  #phase = "idle";
  #attempt = 0;
  #failures = 0;
  #shortLives = 0;
  #proven = new Set();
  #closing = null;
  #forceToken = false;
  #forcedOnce = false;
  #everLive = false;
  #heardAt = 0;
  #liveSince = 0;
  #downSince = null;
  #silenceMs;
  /** Whether the browser says that it has no network. */
  #saidOffline = false;
  #checking = false;
  #replay = null;
  #retryAt = 0;
  #lost = { code: undefined, reason: "" };

  /**
   * @param {object} options
   * @param {string[]} options.transports in order of preference
   * @param {string | null} [options.position] to resume from; null to begin with what comes
   * @param {string | null} [options.remembered] the transport that worked last time
   * @param {boolean} [options.canRenew] whether a new token can be had
   * @param {() => number} [options.random]
   * @param {object} [options.timing] overrides of TIMING
   */
  constructor({
    transports,
    position = null,
    remembered = null,
    canRenew = false,
    random = Math.random,
    timing = {},
  }) {
    this.#timing = { ...TIMING, ...timing };
    this.#random = random;
    this.#transports = [...transports];
    this.canRenew = canRenew;
    this.#window = new DeliveryWindow(position);
    this.#silenceMs = this.#timing.silence_ms;
    const index = this.#transports.indexOf(remembered);
    if (index > 0) this.#at = index;
    this.state = { name: "connecting", transport: this.transport, attempt: 0, since: null };
  }

  get position() {
    return this.#window.position;
  }

  get transport() {
    return this.#transports[this.#at] ?? null;
  }

  get phase() {
    return this.#phase;
  }

  /**
   * For how long the server was not heard, and how long that may be before the connection is dead,
   * however late this page's timers are; null where there is no connection.
   *
   * @returns {{quiet_ms: number, silence_ms: number, dead_ms: number} | null}
   */
  quiet(now) {
    if (this.#phase !== "live") return null;
    const dead_ms = this.#silenceMs + 2 * this.#timing.check_dead_ms;
    return { quiet_ms: now - this.#heardAt, silence_ms: this.#silenceMs, dead_ms };
  }

  // ---- what the app asks for ------------------------------------------------------------------

  start() {
    if (this.#phase !== "idle" && this.#phase !== "stopped") return this.#done();
    this.#attempt = 0;
    this.#failures = 0;
    this.#connect();
    return this.#done();
  }

  stop(because = STOPPED.closed, detail = {}) {
    if (this.#phase !== "stopped") this.#stop(because, detail, 1000);
    return this.#done();
  }

  /** The app has state as of `id` (it fetched a snapshot): what came before is not needed. */
  rebase(id) {
    this.#window.advance(id);
    return this.#done();
  }

  /** Resume from `id` the next time, although later events were delivered. */
  rewind(id) {
    this.#window.rewind(id);
    return this.#done();
  }

  /** The app has a new token: a connection stopped for want of one goes on. */
  tokenChanged() {
    this.#forceToken = false;
    this.#forcedOnce = false;
    const refused = this.#phase === "stopped" && this.state.because === STOPPED.unauthorized;
    if (refused) return this.start();
    if (this.#phase === "live") this.#effect({ do: "renew" });
    return this.#done();
  }

  /**
   * Something suggests that the network is back, or that time has passed unseen.
   *
   * @param {"online" | "visible" | "slept" | "manual"} kind
   */
  wake(kind, now) {
    if (kind === "online") this.#saidOffline = false;
    if (this.#phase === "waiting") {
      this.#clear("retry");
      this.#connect();
    } else if (this.#phase === "live") {
      // Looking at a tab again is no reason to doubt a connection that was just heard.
      const doubt = kind !== "visible" || now - this.#heardAt > this.#timing.check_stale_ms;
      if (doubt) this.#check();
    } else if (this.#phase === "stopped" && kind === "manual") {
      return this.start();
    }
    return this.#done();
  }

  /** The browser says that it has no network. It may be wrong, so nothing is closed. */
  offline(now) {
    this.#saidOffline = true;
    if (this.#phase === "live") this.#say({ ...this.#liveState("stale", now), reason: "offline" });
    return this.#done();
  }

  // ---- what the transport and the helpers report ----------------------------------------------

  tokenReady(now) {
    if (this.#phase !== "token") return this.#done();
    this.#phase = "opening";
    this.#heardAt = now;
    this.#replay = { delivered: 0, total: null, info: null, end: null };
    this.#timer("open", this.#timing.open_timeout_ms);
    this.#effect({ do: "open", transport: this.transport, lastEventId: this.position });
    return this.#done();
  }

  /** @param {{fatal: boolean, reason: string}} failure fatal: there is no token to be had */
  tokenFailed({ fatal, reason }, now) {
    if (this.#phase !== "token") return this.#done();
    if (fatal) this.#stop(STOPPED.unauthorized, { reason });
    else this.#wait(now, { reason: "token", retryAfterMs: 0 });
    return this.#done();
  }

  /** A sign of life that is no frame: a comment on an event stream. */
  heard(now) {
    this.#alive(now);
    return this.#done();
  }

  /**
   * @param {object} frame
   * @param {string | null} [low] the low-water mark, where the transport reads several streams
   */
  frame(frame, now, low) {
    if (this.#phase !== "opening" && this.#phase !== "live") return this.#done();
    this.#alive(now);
    if (frame.type === "welcome") this.#welcome(frame, now);
    else if (frame.type === "closing") this.#noteClosing(frame);
    else if (frame.type === "position") this.#position(frame, low);
    else if (frame.type === "gap") this.#effect({ do: "gap", frame });
    else if (typeof frame.id === "string") this.#event(frame, low);
    else this.#effect({ do: "session", frame });
    return this.#done();
  }

  /**
   * The transport ended or could not be opened.
   *
   * @param {{code?: number, status?: number, reason?: string, word?: string, retryAfterMs?: number,
   *   unsupported?: boolean}} end word: the reason for programs; unsupported: this browser or server does not have the transport
   */
  closed(end, now) {
    if (this.#phase !== "opening" && this.#phase !== "live") return this.#done();
    const wasLive = this.#phase === "live";
    this.#clearAll();
    const closing = this.#closing;
    this.#closing = null;
    const verdict = actionFor(end, closing);
    const reason = closing?.reason || end.reason || "";
    const retryAfterMs = closing?.retry_after_ms ?? end.retryAfterMs ?? 0;
    this.#lost = { code: closing?.code ?? end.code ?? end.status, reason };
    if (wasLive) this.#downSince = this.#heardAt;
    if (verdict.action === "stop") {
      this.#stop(verdict.because, { code: this.#lost.code, reason });
    } else if (verdict.action === "wait") {
      this.#waitForToken(now, retryAfterMs);
    } else if (verdict.action === "new_token") {
      this.#newToken(now, wasLive, reason);
    } else if (wasLive && !verdict.serverSpoke && this.#cutShort(now)) {
      this.#passOver(now);
    } else if (wasLive || verdict.serverSpoke) {
      this.#preferBest(now);
      this.#wait(now, { reason: whyAway(closing?.code ?? end.code, end), retryAfterMs });
    } else if (end.unsupported) {
      this.#passOver(now);
    } else {
      // Is it this transport that does not get through, or is the server away? Ask over HTTP.
      this.#failures += 1;
      this.#phase = "reaching";
      this.#effect({ do: "reach" });
    }
    return this.#done();
  }

  /** @param {boolean} ok whether the server answered a plain request */
  reached(ok, now) {
    if (this.#phase !== "reaching") return this.#done();
    if (!ok) {
      this.#failures = 0;
      this.#wait(now, { reason: "unreachable", retryAfterMs: 0 });
    } else if (this.#failures >= this.#timing.failures_before_fallback) {
      this.#passOver(now);
    } else {
      this.#wait(now, { reason: "transport", retryAfterMs: 0 });
    }
    return this.#done();
  }

  timer(name, now) {
    if (name === "retry" && this.#phase === "waiting") {
      this.#connect();
    } else if (name === "open" && this.#phase === "opening") {
      this.#effect({ do: "close", code: 1000, reason: "no welcome in time" });
      return this.closed({ code: 1006, reason: "no answer in time" }, now);
    } else if (name === "closing" && (this.#phase === "live" || this.#phase === "opening")) {
      this.#effect({ do: "close", code: 1000, reason: "told to close" });
      return this.closed({ code: 1006 }, now);
    } else if (this.#phase === "live") {
      this.#liveTimer(name, now);
    }
    return this.#done();
  }

  #liveTimer(name, now) {
    if (name === "silence") {
      const quiet = now - this.#heardAt;
      if (quiet >= this.#silenceMs) this.#check();
      else this.#timer("silence", this.#untilSilent(quiet));
      if (this.#saidOffline && quiet >= this.#timing.check_stale_ms && this.state.name === "live") {
        this.#say({ ...this.#liveState("stale", now), reason: "offline" });
      }
    } else if (name === "stale") {
      this.#say({ ...this.#liveState("stale", now), reason: "silent" });
    } else if (name === "dead") {
      this.#clearAll();
      this.#effect({ do: "close", code: 1000, reason: "no answer in time" });
      this.#downSince = this.#heardAt;
      this.#lost = { code: 1006, reason: "no answer in time" };
      this.#wait(now, { reason: "lost", retryAfterMs: 0 });
    } else if (name === "stable") {
      this.#attempt = 0;
      this.#shortLives = 0;
      this.#forcedOnce = false;
    } else if (name === "renew") {
      this.#effect({ do: "renew" });
    }
  }

  /**
   * The server goes by this token now, which it took in-band or with the opening.
   *
   * @param {{leftMs: number, lifeMs: number | null}} token see `refreshInMs`
   */
  tokenTaken(token) {
    if (this.#phase === "live" && this.canRenew) {
      this.#timer("renew", refreshInMs(token, this.#random));
    }
    return this.#done();
  }

  /** No new token could be had now; the old one may still be good for a while. */
  renewalFailed() {
    if (this.#phase === "live") {
      this.#timer("renew", backoffMs(4, this.#random, this.#timing, 2_000));
    }
    return this.#done();
  }

  // ---- frames -----------------------------------------------------------------------------------

  #welcome(frame, now) {
    const firstTime = !this.#everLive;
    this.#phase = "live";
    this.#everLive = true;
    this.#failures = 0;
    this.#forceToken = false;
    this.#liveSince = now;
    this.#clear("open");
    this.#timer("stable", this.#timing.stable_after_ms);
    const beat = frame.heartbeat ?? {};
    if (beat.ping_interval_s > 0) {
      // The server's own pings are invisible here, so silence is no sign of death, only a
      // reason to ask.
      this.#silenceMs = (beat.ping_interval_s + (beat.pong_timeout_s ?? 0)) * 1000;
    }
    this.#timer("silence", this.#silenceMs);
    if (!this.#proven.has(this.transport)) {
      this.#proven.add(this.transport);
      this.#effect({ do: "worked", transport: this.transport });
    }
    const since = this.#downSince;
    this.#downSince = null;
    this.#effect({ do: "session", frame });
    this.#say(this.#liveState("live", now));
    const resume = frame.resume ?? { outcome: "fresh" };
    const info = {
      outcome: resume.outcome ?? "fresh",
      replayed: resume.replayed ?? 0,
      lost: resume.lost ?? 0,
      down_ms: since === null ? 0 : now - since,
      first: firstTime,
      transport: this.transport,
    };
    const delivered = this.#replay?.delivered ?? 0;
    // Of an audit session the newest records that were asked for follow, up to `position`.
    const total = info.replayed + (frame.history ?? 0);
    this.#replay = { delivered, total, info, end: frame.position ?? null };
    if (delivered >= total) this.#replayDone();
  }

  #event(frame, low) {
    const fresh = this.#window.accept(frame.id, low);
    if (fresh) this.#effect({ do: "event", frame, low: this.position });
    if (!this.#replay) return;
    this.#replay.delivered += 1;
    const { delivered, total, end } = this.#replay;
    if (total === null) return; // The welcome is yet to come.
    if (delivered >= total || (comparePositions(frame.id, end) ?? -1) >= 0) this.#replayDone();
  }

  #position(frame, low) {
    // The log stands past all that is replayed, so a position frame ends the replay as well.
    if (this.#replay?.info) this.#replayDone();
    const mark = low ?? (low === null ? null : frame.id);
    if (!mark) return;
    this.#window.advance(mark);
    this.#effect({ do: "session", frame: { type: "position", id: this.position } });
  }

  #replayDone() {
    const { info, end } = this.#replay;
    this.#replay = null;
    if (end) this.#window.advance(end);
    this.#effect({ do: "resumed", info });
  }

  #noteClosing(frame) {
    this.#closing = frame;
    this.#timer("closing", this.#timing.closing_grace_ms);
    this.#effect({ do: "session", frame });
  }

  // ---- phases -----------------------------------------------------------------------------------

  #connect() {
    this.#phase = "token";
    this.#closing = null;
    if (this.#transports.length === 0) {
      this.#stop(STOPPED.refused, { reason: "no transport is left" });
      return;
    }
    this.#say({
      name: "connecting",
      transport: this.transport,
      attempt: this.#attempt,
      since: this.#downSince,
    });
    this.#effect({
      do: "token",
      force: this.#forceToken,
      reason: this.#forceToken ? "rejected" : "connect",
    });
  }

  #newToken(now, wasLive, reason) {
    // One new token for one refusal: a second refusal in a row is about the user, not the token.
    if (!this.canRenew || (this.#forcedOnce && !wasLive)) {
      this.#stop(STOPPED.unauthorized, { code: 4001, reason });
      return;
    }
    this.#forceToken = true;
    this.#forcedOnce = true;
    this.#wait(now, { reason: "token", retryAfterMs: 0 });
  }

  /** The token is not valid yet. Where that takes long, another one may be had meanwhile. */
  #waitForToken(now, retryAfterMs) {
    const most = this.#timing.token_wait_ms;
    this.#forceToken = this.canRenew && retryAfterMs > most;
    this.#wait(now, { reason: "not_yet_valid", retryAfterMs: Math.min(retryAfterMs, most) });
  }

  #passOver(now) {
    this.#failures = 0;
    const last = this.#at === this.#transports.length - 1;
    this.#at = (this.#at + 1) % this.#transports.length;
    if (last) this.#wait(now, { reason: "transport", retryAfterMs: 0 });
    else this.#connect();
  }

  /** Whether something in between lets this transport open, and then keeps cutting it. */
  #cutShort(now) {
    if (now - this.#liveSince >= this.#timing.stable_after_ms) return false;
    this.#shortLives += 1;
    if (this.#shortLives < this.#timing.cuts_before_fallback) return false;
    this.#shortLives = 0;
    return this.#transports.length > 1;
  }

  /** After a while on a lesser transport, the next connection tries the best one again. */
  #preferBest(now) {
    if (this.#at === 0) return;
    if (now - this.#liveSince >= this.#timing.prefer_best_after_ms) this.#at = 0;
  }

  #wait(now, { reason, retryAfterMs }) {
    this.#phase = "waiting";
    const delay = backoffMs(this.#attempt, this.#random, this.#timing, retryAfterMs);
    this.#attempt += 1;
    this.#retryAt = now + delay;
    this.#timer("retry", delay);
    this.#say({
      name: "reconnecting",
      transport: this.transport,
      attempt: this.#attempt,
      at: this.#retryAt,
      in_ms: delay,
      since: this.#downSince,
      why: reason,
      code: this.#lost.code,
      reason: this.#lost.reason,
    });
  }

  #stop(because, { code, reason = "" } = {}, closeCode = 1000) {
    const open = this.#phase === "opening" || this.#phase === "live";
    this.#phase = "stopped";
    this.#clearAll();
    if (open) this.#effect({ do: "close", code: closeCode, reason: "client closed" });
    this.#say({ name: "stopped", because, code, reason, since: this.#downSince });
  }

  #alive(now) {
    this.#heardAt = now;
    if (!this.#checking && this.state.name !== "stale") return;
    this.#checking = false;
    this.#clear("stale");
    this.#clear("dead");
    this.#timer("silence", this.#untilSilent(0));
    if (this.state.name === "stale") this.#say(this.#liveState("live", now));
  }

  /**
   * When to look again after `quiet` milliseconds. A frame that comes after the browser said that it has
   * no network may be the last one that was on its way: what follows is waited for a moment only.
   */
  #untilSilent(quiet) {
    const soon = this.#timing.check_stale_ms - quiet;
    return this.#saidOffline && soon > 0 ? Math.min(soon, this.#silenceMs) : this.#silenceMs - quiet;
  }

  #check() {
    if (this.#checking || this.#closing) return;
    this.#checking = true;
    this.#clear("silence");
    this.#timer("stale", this.#timing.check_stale_ms);
    this.#timer("dead", this.#timing.check_dead_ms);
    this.#effect({ do: "check" });
  }

  #liveState(name, now) {
    return {
      name,
      transport: this.transport,
      since: name === "stale" ? this.#heardAt : this.#liveSince,
      at: now,
    };
  }

  // ---- effects ----------------------------------------------------------------------------------

  #say(state) {
    this.state = Object.freeze(state);
    this.#effect({ do: "state", state: this.state });
  }

  #timer(name, ms) {
    this.#effect({ do: "timer", name, in_ms: Math.min(ms, MAX_TIMER_MS) });
  }

  #clear(name) {
    this.#effect({ do: "clear", name });
  }

  #clearAll() {
    this.#checking = false;
    for (const name of TIMERS) this.#clear(name);
  }

  #effect(effect) {
    this.#effects.push(effect);
  }

  #done() {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }
}
