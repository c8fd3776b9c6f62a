/** Clocks that are wrong, and clocks that are set: the whole client in a time that the test makes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, ServerClock } from "../../static/client/index.js";

const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2026, 0, 1, 12);
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

class Time {
  /** What the server's clock shows; the computer's is off by `offMs`. */
  trueMs = START_MS;
  #timers = new Map();
  #next = 1;

  constructor(offMs = 0) {
    this.offMs = offMs;
  }

  env() {
    const set = (repeats) => (work, ms) => {
      const id = (this.#next += 1);
      this.#timers.set(id, { at: this.trueMs + ms, work, every: repeats ? ms : null });
      return id;
    };
    const clear = (id) => this.#timers.delete(id);
    return {
      now: () => this.trueMs + this.offMs,
      monotonic: () => this.trueMs - START_MS + 5_000,
      setTimeout: set(false),
      clearTimeout: clear,
      setInterval: set(true),
      clearInterval: clear,
    };
  }

  async pass(ms) {
    const end = this.trueMs + ms;
    for (;;) {
      await new Promise(setImmediate);
      const due = [...this.#timers].filter(([, { at }]) => at <= end);
      if (due.length === 0) break;
      const [id, timer] = due.sort((a, b) => a[1].at - b[1].at)[0];
      this.trueMs = Math.max(this.trueMs, timer.at);
      if (timer.every === null) this.#timers.delete(id);
      else timer.at += timer.every;
      timer.work();
    }
    this.trueMs = end;
  }
}

/** A server that takes every token that is valid by its own clock, and answers checks. */
function world(t, { offMs = 0, ttlS = 3_600, earlyS = 0, answers = () => true } = {}) {
  const time = new Time(offMs);
  const seen = { asked: 0, tokens: [], states: [], sockets: 0 };
  const nowS = () => time.trueMs / 1000;
  const makeToken = () => {
    seen.asked += 1;
    const claims = { sub: "ada", iat: nowS() + earlyS, nbf: nowS() + earlyS, exp: nowS() + ttlS };
    return `h.${part(claims)}.s`;
  };
  const claimsOf = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
  const moment = (seconds) => new Date(seconds * 1000).toISOString();
  class Socket {
    constructor(_url, [, token]) {
      seen.sockets += 1;
      seen.tokens.push(token);
      queueMicrotask(() => this.#open(claimsOf(token)));
    }
    #open({ nbf, exp }) {
      this.readyState = 1;
      this.onopen?.({});
      if (nbf > nowS()) {
        const retry_after_ms = Math.ceil(nbf - nowS()) * 1000;
        this.#give({ type: "closing", code: 4001, reason: "early", reconnect: true, retry_after_ms });
        this.onclose({ code: 4001, reason: "early" });
        return;
      }
      this.#give({
        type: "welcome",
        position: "e-1",
        ts: moment(nowS()),
        token_expires_at: moment(exp),
        heartbeat: { ping_interval_s: 30, pong_timeout_s: 10 },
      });
    }
    #give(frame) {
      this.onmessage({ data: JSON.stringify(frame) });
    }
    send(text) {
      const { type, request_id, token } = JSON.parse(text);
      if (token) seen.tokens.push(token);
      if (answers(type)) queueMicrotask(() => this.#give({ type: "ack", request_id }));
    }
    close() {
      this.readyState = 3;
    }
  }
  const connection = connect({
    url: "http://server.test",
    project: "demo",
    user: "ada",
    getToken: makeToken,
    transports: ["websocket"],
    random: () => 0.5,
    onState: (state) => seen.states.push(state.name),
    env: {
      ...time.env(),
      WebSocket: Socket,
      BroadcastChannel: undefined,
      locks: undefined,
      memory: undefined,
      target: undefined,
      document: undefined,
      fetch: async () => new Response("{}"),
    },
  });
  t.after(() => connection.close());
  return { time, seen, connection };
}

for (const offMs of [-26 * HOUR_MS, -90_000, 0, 90_000, 26 * HOUR_MS]) {
  test(`a clock that is off by ${offMs / 1000} s changes nothing about renewals`, async (t) => {
    const { time, seen, connection } = world(t, { offMs });
    await time.pass(30_000);
    assert.equal(seen.asked, 1);
    await time.pass(10 * HOUR_MS);
    assert.ok(seen.asked >= 10 && seen.asked <= 12, `asked ${seen.asked} times in ten hours`);
    assert.equal(seen.sockets, 1);
    assert.equal(connection.state.name, "live");
    assert.ok(Math.abs(connection.serverNow() - time.trueMs) < 1_000);
    const { at } = connection.state;
    assert.ok(Math.abs(at - (START_MS + offMs)) < 60_000, "moments are this computer's");
  });
}

test("however short its tokens live, nobody is asked more often than every five seconds", async (t) => {
  const { time, seen } = world(t, { ttlS: 1, offMs: HOUR_MS });
  await time.pass(30_000);
  assert.ok(seen.asked <= 7, `asked ${seen.asked} times in 30 s`);
});

test("a clock that is set back leaves no dead connection live", async (t) => {
  let alive = true;
  const { time, seen, connection } = world(t, { answers: () => alive });
  await time.pass(120_000);
  assert.equal(connection.state.name, "live");
  assert.equal(seen.sockets, 1, "it asked, and was answered");
  alive = false;
  time.offMs = -HOUR_MS;
  await time.pass(60_000);
  assert.ok(seen.states.includes("stale"));
  assert.ok(seen.sockets > 1, "it was given up, and opened anew");
});

test("a token that is not valid yet is waited for, and then used", async (t) => {
  const { time, seen, connection } = world(t, { earlyS: 20 });
  await time.pass(19_000);
  assert.equal(connection.state.why, "not_yet_valid");
  assert.equal(seen.sockets, 1);
  await time.pass(3_000);
  assert.equal(connection.state.name, "live");
  assert.deepEqual([seen.asked, new Set(seen.tokens).size], [1, 1]);
});

test("the server's time is the latest that it spoke of", () => {
  let monotonic = 100;
  const clock = new ServerClock({ now: () => 7, monotonic: () => monotonic });
  assert.equal(clock.now(), 7);
  clock.atLeast("Thu, 01 Jan 2026 12:00:00 GMT");
  assert.equal(clock.now(), START_MS);
  monotonic += 500;
  clock.atLeast("2026-01-01T11:00:00Z");
  clock.atLeast(null);
  clock.set("no time");
  assert.equal(clock.now(), START_MS + 500);
  clock.set("2026-01-01T12:00:03Z");
  assert.equal(clock.now(), START_MS + 3_000);
  clock.set("2026-01-01T11:59:00Z");
  assert.equal(clock.now(), START_MS - 60_000, "another worker, or a clock that was put right");
});
