import assert from "node:assert/strict";
import { test } from "node:test";
import { Session } from "../../static/client/session.js";

/** Drives a session by hand: time moves when the test says so, timers fire when due. */
class Bench {
  constructor(options = {}) {
    this.now = 1_000_000;
    this.timers = new Map();
    this.log = [];
    this.session = new Session({
      transports: ["websocket", "sse", "sockjs"],
      random: () => 0.5,
      canRenew: true,
      ...options,
    });
  }

  do(method, ...args) {
    for (const effect of this.session[method](...args, this.now)) this.#take(effect);
    return this;
  }

  frame(frame, low) {
    for (const effect of this.session.frame(frame, this.now, low)) this.#take(effect);
    return this;
  }

  #take(effect) {
    if (effect.do === "timer") this.timers.set(effect.name, this.now + effect.in_ms);
    else if (effect.do === "clear") this.timers.delete(effect.name);
    else this.log.push(effect);
  }

  /** Let time pass, firing the timers that come due, in order. */
  pass(ms) {
    const end = this.now + ms;
    for (;;) {
      const due = [...this.timers].filter(([, at]) => at <= end).sort((a, b) => a[1] - b[1])[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.now = Math.max(this.now, due[1]);
      this.do("timer", due[0]);
    }
    this.now = end;
    return this;
  }

  live(welcome = {}) {
    return this.do("start")
      .do("tokenReady")
      .frame({ type: "welcome", position: "e-0", ...welcome });
  }

  all(kind) {
    return this.log.filter((effect) => effect.do === kind);
  }

  last(kind) {
    return this.all(kind).at(-1);
  }

  get state() {
    return this.session.state;
  }
}

test("it asks for a token, opens, and is live with the welcome", () => {
  const bench = new Bench({ position: "e-7" });
  bench.do("start");
  assert.equal(bench.state.name, "connecting");
  assert.deepEqual(bench.last("token"), { do: "token", force: false, reason: "connect" });
  bench.do("tokenReady");
  assert.deepEqual(bench.last("open"), { do: "open", transport: "websocket", lastEventId: "e-7" });
  bench.frame({ type: "welcome", position: "e-7", resume: { outcome: "nothing_missed" } });
  assert.equal(bench.state.name, "live");
  assert.equal(bench.last("resumed").info.outcome, "nothing_missed");
  assert.deepEqual(bench.last("worked"), { do: "worked", transport: "websocket" });
});

test("a fresh connection takes its position from the welcome", () => {
  assert.equal(new Bench().live({ position: "e-40" }).session.position, "e-40");
});

test("replayed events are delivered although the welcome already names the tip", () => {
  const bench = new Bench({ position: "e-10" });
  bench.live({ position: "e-13", resume: { outcome: "replayed", replayed: 2 } });
  assert.equal(bench.all("resumed").length, 0, "not yet caught up");
  bench.frame({ type: "output", id: "e-11" }).frame({ type: "output", id: "e-12" });
  assert.deepEqual(
    bench.all("event").map(({ frame }) => frame.id),
    ["e-11", "e-12"],
  );
  assert.equal(bench.last("resumed").info.replayed, 2);
  assert.equal(bench.session.position, "e-13", "the rest was not for this viewer");
});

test("a replay that brings less than was announced still ends", () => {
  const bench = new Bench({ position: "e-10" });
  bench.live({ position: "e-13", resume: { outcome: "replayed", replayed: 3 } });
  bench.frame({ type: "output", id: "e-11" }).frame({ type: "output", id: "e-14" });
  assert.equal(bench.all("resumed").length, 1);
});

test("an event that comes twice is delivered once", () => {
  const bench = new Bench().live();
  bench.frame({ type: "output", id: "e-1" }).frame({ type: "output", id: "e-1" });
  assert.equal(bench.all("event").length, 1);
});

test("position frames move the position, also while a replay is counted", () => {
  const bench = new Bench().live();
  bench.frame({ type: "position", id: "e-9" });
  assert.equal(bench.session.position, "e-9");
});

test("a lost connection resumes from the last event, after a random wait", () => {
  const bench = new Bench().live();
  bench.frame({ type: "output", id: "e-3" }).do("closed", { code: 1006 });
  assert.equal(bench.state.name, "reconnecting");
  assert.equal(bench.state.in_ms, 250);
  assert.equal(bench.state.since, 1_000_000);
  bench.pass(250).do("tokenReady");
  assert.deepEqual(bench.last("open"), { do: "open", transport: "websocket", lastEventId: "e-3" });
});

test("the server's closing frame says when to come back", () => {
  const bench = new Bench().live();
  bench.frame({
    type: "closing",
    code: 1001,
    reason: "restarting",
    reconnect: true,
    retry_after_ms: 900,
  });
  bench.do("closed", { code: 1006 });
  assert.equal(bench.state.in_ms, 900 + 250);
  assert.equal(bench.state.code, 1001);
  assert.equal(bench.state.reason, "restarting");
});

test("a server that announces its close and does not close is left", () => {
  const bench = new Bench().live();
  bench.frame({ type: "closing", code: 1001, reconnect: true, retry_after_ms: 0 }).pass(2_000);
  assert.equal(bench.all("close").length, 1);
  assert.equal(bench.state.name, "reconnecting");
});

for (const [code, because] of [
  [4003, "forbidden"],
  [4009, "replaced"],
  [4400, "protocol_error"],
]) {
  test(`${code} stops it: ${because}`, () => {
    const bench = new Bench().live().do("closed", { code });
    assert.equal(bench.state.name, "stopped");
    assert.equal(bench.state.because, because);
    bench.pass(3_600_000);
    assert.equal(bench.all("open").length, 1, "it does not come back by itself");
    bench.do("wake", "online");
    assert.equal(bench.state.name, "stopped");
    bench.do("wake", "manual");
    assert.equal(bench.state.name, "connecting", "but it does when a person asks");
  });
}

test("4001 gets a new token once, then stops", () => {
  const bench = new Bench().do("start").do("tokenReady").do("closed", { code: 4001 });
  assert.equal(bench.state.name, "reconnecting");
  bench.pass(1_000);
  assert.deepEqual(bench.last("token"), { do: "token", force: true, reason: "rejected" });
  bench.do("tokenReady").do("closed", { code: 4001, reason: "Unauthorized" });
  assert.equal(bench.state.name, "stopped");
  assert.equal(bench.state.because, "unauthorized");
});

test("4001 without a way to a new token stops at once, and a new token revives it", () => {
  const bench = new Bench({ canRenew: false }).live().do("closed", { code: 4001 });
  assert.equal(bench.state.because, "unauthorized");
  bench.do("tokenChanged");
  assert.equal(bench.state.name, "connecting");
});

test("waits grow while it fails, and are short again after a stable connection", () => {
  const bench = new Bench({ transports: ["websocket"] });
  bench.do("start");
  const waits = [];
  for (let round = 0; round < 4; round += 1) {
    bench.do("tokenReady").do("closed", { code: 1006 }).do("reached", false);
    waits.push(bench.state.in_ms);
    bench.pass(bench.state.in_ms);
  }
  assert.deepEqual(waits, [250, 500, 1000, 2000]);
  bench.do("tokenReady").frame({ type: "welcome" }).pass(11_000).do("closed", { code: 1006 });
  assert.equal(bench.state.in_ms, 250);
});

test("while the server is away, no other transport is tried", () => {
  const bench = new Bench().do("start");
  for (let round = 0; round < 6; round += 1) {
    bench.do("tokenReady").do("closed", { code: 1006 }).do("reached", false).pass(30_000);
  }
  assert.deepEqual(
    [...new Set(bench.all("open").map(({ transport }) => transport))],
    ["websocket"],
  );
});

test("a transport that fails while HTTP works is passed over after the second time", () => {
  const bench = new Bench().do("start");
  const fail = () => bench.do("tokenReady").do("closed", { code: 1006 }).do("reached", true);
  fail();
  assert.equal(bench.state.name, "reconnecting", "the first time may be a coincidence");
  bench.pass(1_000);
  fail();
  bench.do("tokenReady");
  assert.equal(bench.last("open").transport, "sse");
  bench.frame({ type: "welcome" });
  assert.equal(bench.last("worked").transport, "sse");
  bench.do("closed", { code: 1005 }).pass(30_000).do("tokenReady");
  assert.equal(bench.last("open").transport, "sse", "what worked is used again");
});

test("after long on a lesser transport the best is tried again", () => {
  const bench = new Bench({ remembered: "sse" });
  bench.live();
  assert.equal(bench.last("open").transport, "sse");
  bench.now += 700_000;
  bench.frame({ type: "position", id: "e-5" }).do("closed", { code: 1005 });
  bench.pass(30_000).do("tokenReady");
  assert.equal(bench.last("open").transport, "websocket");
});

test("a transport that this place does not have is passed over at once", () => {
  const bench = new Bench().do("start").do("tokenReady").do("closed", { unsupported: true });
  assert.equal(bench.state.name, "connecting");
  assert.equal(bench.state.transport, "sse");
});

test("a transport that is cut again and again right after opening is passed over", () => {
  const bench = new Bench().do("start");
  for (let round = 0; round < 4; round += 1) {
    bench.do("tokenReady").frame({ type: "welcome" });
    bench.now += 1_000;
    bench.do("closed", { code: 1006 });
    if (round < 3) bench.pass(30_000);
  }
  assert.equal(bench.state.transport, "sse");
});

test("a full project is not the transport's fault", () => {
  const bench = new Bench().do("start").do("tokenReady");
  bench.do("closed", { status: 503, retryAfterMs: 4_000 });
  assert.equal(bench.state.name, "reconnecting");
  assert.equal(bench.state.transport, "websocket");
  assert.ok(bench.state.in_ms >= 4_000);
});

test("no welcome in time counts as a failure", () => {
  const bench = new Bench().do("start").do("tokenReady").pass(10_000);
  assert.equal(bench.all("close").length, 1);
  assert.equal(bench.all("reach").length, 1);
});

test("silence is checked; an answer ends the doubt, none ends the connection", () => {
  const bench = new Bench().live({ heartbeat: { ping_interval_s: 30, pong_timeout_s: 10 } });
  bench.pass(39_999);
  assert.equal(bench.all("check").length, 0);
  bench.pass(1);
  assert.equal(bench.all("check").length, 1);
  bench.pass(1_500);
  assert.equal(bench.state.name, "stale");
  assert.equal(bench.state.since, 1_000_000);
  bench.frame({ type: "ack" });
  assert.equal(bench.state.name, "live");
  bench.pass(40_000 + 6_000);
  assert.equal(bench.state.name, "reconnecting");
  assert.equal(bench.all("close").length, 1);
});

test("frames put the check off", () => {
  const bench = new Bench().live();
  for (let round = 1; round <= 10; round += 1)
    bench.pass(30_000).frame({ type: "output", id: `e-${round}` });
  assert.equal(bench.all("check").length, 0);
});

test("a network that is back is tried at once", () => {
  const bench = new Bench({ random: () => 0.999 }).live();
  bench.do("closed", { code: 1006 }).do("wake", "online");
  assert.equal(bench.state.name, "connecting");
  bench.do("tokenReady").frame({ type: "welcome" }).do("wake", "online");
  assert.equal(bench.all("check").length, 1, "a live one is checked");
});

test("a tab that is looked at again is checked only after some silence", () => {
  const bench = new Bench().live().do("wake", "visible");
  assert.equal(bench.all("check").length, 0);
  bench.now += 5_000;
  bench.do("wake", "visible");
  assert.equal(bench.all("check").length, 1);
});

test("offline is said, not believed: the next frame makes it live again", () => {
  const bench = new Bench().live().do("offline");
  assert.equal(bench.state.name, "stale");
  assert.equal(bench.state.reason, "offline");
  bench.frame({ type: "output", id: "e-1" });
  assert.equal(bench.state.name, "live");
});

test("a frame that was on its way when the network went makes it live for a moment only", () => {
  const bench = new Bench().live().do("offline");
  bench.frame({ type: "output", id: "e-1" });
  bench.pass(1_000);
  bench.frame({ type: "output", id: "e-2" });
  bench.pass(1_499);
  assert.equal(bench.state.name, "live", "frames go on coming");
  bench.pass(1);
  assert.deepEqual([bench.state.name, bench.state.reason], ["stale", "offline"]);
  assert.equal(bench.all("check").length, 0, "nothing gets through now");
  bench.do("wake", "online");
  assert.equal(bench.all("check").length, 1);
  bench.frame({ type: "ack" });
  bench.pass(2_000);
  assert.equal(bench.state.name, "live");
});

test("a token is renewed before it expires, and again before the next one does", () => {
  const bench = new Bench();
  bench.live().do("tokenTaken", { leftMs: 3_600_000, lifeMs: 3_600_000 });
  bench.session.frame({ type: "output", id: "e-1" }, bench.now);
  bench.timers.delete("silence");
  bench.pass(3_600_000 - 1);
  assert.equal(bench.all("renew").length, 1);
  bench.do("tokenTaken", { leftMs: 600_000, lifeMs: 600_000 });
  bench.timers.delete("silence");
  bench.pass(599_999);
  assert.equal(bench.all("renew").length, 2);
});

test("a renewal that fails is tried again", () => {
  const bench = new Bench();
  bench.live().do("tokenTaken", { leftMs: 60_000, lifeMs: 60_000 });
  bench.timers.delete("silence");
  bench.pass(55_000);
  bench.do("renewalFailed");
  bench.pass(20_000);
  assert.equal(bench.all("renew").length, 2);
});

test("a token that is not valid yet is waited for, and where that is long another is asked for", () => {
  const bench = new Bench();
  const refuse = (retryAfterMs) => {
    const closing = { type: "closing", code: 4001, reconnect: true, retry_after_ms: retryAfterMs };
    bench.do("tokenReady").frame(closing).do("closed", { code: 4001 });
  };
  bench.do("start");
  refuse(3_000);
  assert.deepEqual([bench.state.name, bench.state.why], ["reconnecting", "not_yet_valid"]);
  bench.pass(2_999);
  assert.equal(bench.all("token").length, 1);
  bench.pass(501);
  assert.deepEqual(bench.last("token"), { do: "token", force: false, reason: "connect" });
  refuse(600_000);
  bench.pass(62_000);
  assert.deepEqual(bench.last("token"), { do: "token", force: true, reason: "rejected" });
  refuse(1_000);
  bench.pass(4_000);
  assert.equal(bench.all("token").length, 4, "and so on");
});

test("a gap is handed on with all that it says", () => {
  const gap = { type: "gap", requested: "e-1", oldest_available: "e-50", lost: 48, refetch: "/x" };
  const bench = new Bench({ position: "e-1" });
  bench.live({ position: "e-60", resume: { outcome: "lost", lost: 59 } }).frame(gap);
  assert.deepEqual(bench.last("gap").frame, gap);
  assert.equal(bench.session.position, "e-60");
});

test("stopping clears every timer and closes what is open", () => {
  const bench = new Bench().live();
  for (const effect of bench.session.stop()) {
    if (effect.do === "clear") bench.timers.delete(effect.name);
    else bench.log.push(effect);
  }
  assert.equal(bench.timers.size, 0);
  assert.equal(bench.all("close").length, 1);
  bench.frame({ type: "output", id: "e-9" });
  assert.equal(bench.all("event").length, 0, "late frames are not delivered");
});

test("a server that has no room or cannot serve now says so, and is waited for", () => {
  const whys = [
    [{ code: 4053, reason: "full up" }, "full"],
    [{ status: 503, word: "project_full", reason: "full up" }, "full"],
    [{ status: 503, word: "unavailable", reason: "no database" }, "busy"],
    [{ status: 429, reason: "too many" }, "lost"],
  ];
  for (const [end, why] of whys) {
    const bench = new Bench();
    bench.do("start").do("tokenReady").do("closed", end);
    const { state } = bench;
    assert.deepEqual([state.name, state.why, state.reason], ["reconnecting", why, end.reason]);
  }
});
