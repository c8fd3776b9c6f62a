/** Several tabs in one process: real BroadcastChannels, locks as the Web Locks API has them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withPresence } from "../../static/client/presence.js";
import { SharedLink } from "../../static/client/tabs.js";

const WAIT_MS = 5_000;

/** One exclusive lock a name: first come, first served, and it can be stolen. */
class Locks {
  #held = new Map();
  #queue = [];

  request(name, options, work) {
    return new Promise((resolve, reject) => {
      const entry = { name, work, resolve, reject };
      if (options.steal) {
        this.#held.get(name)?.reject(Object.assign(new Error("stolen"), { name: "AbortError" }));
        this.#held.delete(name);
        this.#grant(entry);
      } else if (!this.#held.has(name)) {
        this.#grant(entry);
      } else if (options.ifAvailable) {
        resolve(work(null));
      } else {
        this.#queue.push(entry);
        options.signal?.addEventListener("abort", () => {
          this.#queue = this.#queue.filter((other) => other !== entry);
          reject(options.signal.reason);
        });
      }
    });
  }

  #grant(entry) {
    this.#held.set(entry.name, entry);
    Promise.resolve(entry.work({ name: entry.name })).then((value) => {
      if (this.#held.get(entry.name) !== entry) return;
      this.#held.delete(entry.name);
      entry.resolve(value);
      const next = this.#queue.findIndex((other) => other.name === entry.name);
      if (next >= 0) this.#grant(this.#queue.splice(next, 1)[0]);
    }, entry.reject);
  }
}

/** A browser's hold on one tab: while it is frozen no script of it runs, and then all at once. */
class Freezer {
  frozen = false;
  #late = [];

  run(work) {
    if (this.frozen) this.#late.push(work);
    else work();
  }

  thaw() {
    this.frozen = false;
    for (const work of this.#late.splice(0)) work();
  }

  channelClass() {
    const freezer = this;
    return class extends BroadcastChannel {
      set onmessage(handler) {
        super.onmessage = (event) => freezer.run(() => handler(event));
      }
    };
  }

  locks(locks) {
    const later = (value, settle) => this.run(() => settle(value));
    return {
      request: (name, options, work) =>
        new Promise((resolve, reject) => {
          locks.request(name, options, work).then(
            (value) => later(value, resolve),
            (error) => later(error, reject),
          );
        }),
    };
  }
}

/** Stands in for a Link: the test says what comes. */
class FakeLink {
  constructor(sink, position, view) {
    Object.assign(this, { sink, position, view, started: false, stopped: false, woken: [] });
    this.carriesCommands = false;
    this.quiet = null;
    this.requests = [];
  }

  start() {
    this.started = true;
    this.sink.state({ name: "connecting", transport: "websocket", attempt: 0 });
  }

  goLive() {
    this.carriesCommands = true;
    this.sink.session({ type: "welcome", position: this.position });
    this.sink.state({ name: "live", transport: "websocket" });
  }

  event(seq, fields = {}) {
    this.position = `e-${seq}`;
    this.sink.event({ type: "output", id: `e-${seq}`, ...fields }, this.position);
  }

  stop() {
    this.stopped = true;
  }

  wake(kind) {
    this.woken.push(kind);
  }

  setView(view) {
    this.view = view;
  }

  rewind(position) {
    this.position = position;
  }

  rebase() {}

  request(type, fields) {
    this.requests.push({ type, fields });
    if (type === "bad") {
      return Promise.reject(
        Object.assign(new Error("no"), { reason: "refused", detail: { a: 1 } }),
      );
    }
    return Promise.resolve({ type: "ack", run_id: "r1" });
  }
}

let nextKey = 0;

/** A browser with tabs that share. */
class Browser {
  constructor(t) {
    this.key = `test ${process.pid} ${(nextKey += 1)}`;
    this.locks = new Locks();
    this.links = [];
    this.tabs = [];
    this.history = [];
    this.timers = new Set();
    t.after(() => {
      for (const { shared } of this.tabs) shared.stop();
      for (const timer of this.timers) clearTimeout(timer);
    });
  }

  tab({ position = null, proposals = [], focus = [], timeScale = 1, document } = {}) {
    const seen = { events: [], states: [], gaps: [], resumed: [], problems: [], people: null };
    let id = 0;
    const freezer = new Freezer();
    const env = {
      document,
      BroadcastChannel: freezer.channelClass(),
      locks: freezer.locks(this.locks),
      setTimeout: (work, ms) => {
        const timer = setTimeout(() => freezer.run(work), ms / timeScale);
        this.timers.add(timer);
        return timer;
      },
      clearTimeout,
      now: () => Date.now() * timeScale,
      monotonic: () => performance.now() * timeScale,
      uuid: () => `${this.tabs.length}-${(id += 1)}-${Math.random()}`,
    };
    const options = {
      key: this.key,
      makeLink: (sink, from, view) => {
        const link = new FakeLink(sink, from, view);
        this.links.push(link);
        return link;
      },
      history: async (after) => {
        const from = Number(after.split("-")[1]);
        const events = this.history.filter(({ id: at }) => Number(at.split("-")[1]) > from);
        return { events, position: events.at(-1)?.id ?? after, more: false, lost: this.lost ?? 0 };
      },
      position,
      view: { proposals, focus },
    };
    const shared = new SharedLink(options, env, {
      state: (state) => seen.states.push(state),
      event: (frame) => seen.events.push(frame.id),
      session: (frame) => {
        if (frame.type !== "presence") return;
        seen.people = withPresence(seen.people ?? { present: [], count: 0 }, frame);
      },
      gap: (frame) => seen.gaps.push(frame),
      resumed: (info) => seen.resumed.push(info),
      problem: (error) => seen.problems.push(error),
    });
    const tab = { shared, seen, freezer };
    this.tabs.push(tab);
    shared.start();
    return tab;
  }

  get link() {
    return this.links.at(-1);
  }
}

async function until(what, check) {
  const end = Date.now() + WAIT_MS;
  while (!check()) {
    assert.ok(Date.now() < end, `in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function twoTabs(t, first = {}, second = first) {
  const browser = new Browser(t);
  const leader = browser.tab({ position: "e-0", ...first });
  await until("a leader", () => browser.link?.started);
  browser.link.goLive();
  const follower = browser.tab({ position: "e-0", ...second });
  await until("a follower that is live", () => follower.seen.states.at(-1)?.name === "live");
  return { browser, leader, follower };
}

test("two tabs, one connection, and both get every event", async (t) => {
  const { browser, leader, follower } = await twoTabs(t);
  for (const seq of [1, 2, 3]) browser.link.event(seq);
  await until("three events", () => follower.seen.events.length === 3);
  assert.deepEqual(leader.seen.events, ["e-1", "e-2", "e-3"]);
  assert.deepEqual(follower.seen.events, ["e-1", "e-2", "e-3"]);
  assert.equal(browser.links.length, 1);
  assert.equal(leader.shared.state.shared, "leader");
  assert.equal(follower.shared.state.shared, "follower");
});

test("a tab that comes later reads what it missed, and holds what comes meanwhile", async (t) => {
  const { browser } = await twoTabs(t);
  for (const seq of [1, 2, 3]) browser.link.event(seq);
  browser.history = [1, 2].map((seq) => ({ type: "output", id: `e-${seq}` }));
  const late = browser.tab({ position: "e-1" });
  await until("the first of them", () => late.seen.events.length === 1);
  browser.link.event(4);
  browser.history.push({ type: "output", id: "e-3" }, { type: "output", id: "e-4" });
  await until("all events", () => late.seen.events.length === 3);
  assert.deepEqual(late.seen.events, ["e-2", "e-3", "e-4"]);
});

test("what can no longer be read is a gap", async (t) => {
  const { browser } = await twoTabs(t);
  for (const seq of [1, 2, 3]) browser.link.event(seq);
  browser.lost = 2;
  const late = browser.tab({ position: "e-0" });
  await until("a gap", () => late.seen.gaps.length === 1);
  browser.link.event(4);
  await until("the next event", () => late.seen.events.includes("e-4"));
});

test("a follower notices what did not come to it", async (t) => {
  const { browser, follower } = await twoTabs(t);
  browser.link.event(1);
  await until("the first", () => follower.seen.events.length === 1);
  browser.history = [2, 3].map((seq) => ({ type: "output", id: `e-${seq}` }));
  // The browser drops a message: the follower's window stays behind what the leader told.
  follower.shared.rewind("e-1");
  const channel = new BroadcastChannel(browser.key);
  t.after(() => channel.close());
  browser.link.position = "e-3";
  channel.postMessage({
    kind: "event",
    frame: { type: "output", id: "e-3" },
    low: "e-3",
    after: "e-2",
    from: "x",
  });
  await until("both", () => follower.seen.events.length === 3);
  assert.deepEqual(follower.seen.events, ["e-1", "e-2", "e-3"]);
});

test("when the leader goes, another leads from the earliest position of any tab", async (t) => {
  const { browser, leader, follower } = await twoTabs(t);
  const third = browser.tab({ position: "e-0" });
  await until("the third", () => third.seen.states.at(-1)?.name === "live");
  for (const seq of [1, 2]) browser.link.event(seq);
  await until("events", () => follower.seen.events.length === 2 && third.seen.events.length === 2);
  third.shared.rewind("e-1");
  const first = browser.link;
  leader.shared.stop();
  await until("another leader", () => browser.links.length === 2 && browser.link.started);
  assert.ok(first.stopped);
  assert.equal(browser.link.position, "e-1");
  browser.link.goLive();
  for (const seq of [2, 3]) browser.link.event(seq);
  await until("the third catches up", () => third.seen.events.at(-1) === "e-3");
  await until("the follower too", () => follower.seen.events.at(-1) === "e-3");
  assert.deepEqual(follower.seen.events, ["e-1", "e-2", "e-3"], "each once");
  assert.equal(leader.seen.states.at(-1).because, "closed");
});

test("a tab that comes later knows who is there, and hears what changes", async (t) => {
  const { browser, leader, follower } = await twoTabs(t);
  const tell = (frame) => browser.link.sink.session({ type: "presence", ...frame });
  tell({ count: 2, present: [{ user_id: "ada" }, { user_id: "ben" }] });
  tell({ count: 2, left: ["ben"], joined: [{ user_id: "cleo" }] });
  const third = browser.tab({ position: "e-0" });
  const ids = ({ seen }) => seen.people?.present.map(({ user_id: id }) => id).join() ?? "";
  await until("the list", () => ids(third) === "ada,cleo");
  tell({ count: 3, joined: [{ user_id: "dora" }] });
  for (const tab of [leader, follower, third]) {
    await until("the change", () => ids(tab) === "ada,cleo,dora" && tab.seen.people.count === 3);
  }
});

test("commands of a follower go through the leader, and so do their answers", async (t) => {
  const { browser, follower } = await twoTabs(t);
  assert.equal(follower.shared.carriesCommands, true);
  assert.equal(
    (await follower.shared.request("start_validation", { proposal_id: "p" })).run_id,
    "r1",
  );
  assert.deepEqual(browser.link.requests[0], {
    type: "start_validation",
    fields: { proposal_id: "p" },
  });
  await assert.rejects(follower.shared.request("bad"), { reason: "refused", detail: { a: 1 } });
});

test("a command is given up when the leader goes before its answer", async (t) => {
  const { browser, leader, follower } = await twoTabs(t);
  let isTaken = false;
  browser.link.request = () => {
    isTaken = true;
    return new Promise(() => {});
  };
  const asked = follower.shared.request("start_validation");
  await until("it is taken", () => isTaken);
  leader.shared.stop();
  await assert.rejects(asked, { reason: "connection_lost" });
});

test("the connection views what any tab views; each tab gets its own", async (t) => {
  const { browser, leader, follower } = await twoTabs(
    t,
    { proposals: ["a"], focus: ["a"] },
    { proposals: ["b"] },
  );
  assert.deepEqual(browser.link.view, { proposals: ["a", "b"], focus: ["a"] });
  browser.link.event(1, { proposal_id: "a" });
  browser.link.event(2, { proposal_id: "b" });
  browser.link.event(3, { type: "lock_changed" });
  await until("events", () => follower.seen.events.includes("e-3"));
  assert.deepEqual(leader.seen.events, ["e-1", "e-3"]);
  assert.deepEqual(follower.seen.events, ["e-2", "e-3"]);
  follower.shared.setView({ proposals: [], focus: [] });
  await until("the whole project", () => browser.link.view.proposals.length === 0);
});

test("a connection that was replaced stops every tab, and a change of leader does not revive it", async (t) => {
  const { browser, leader, follower } = await twoTabs(t);
  browser.link.sink.state({ name: "stopped", because: "replaced" });
  await until("stopped", () => follower.seen.states.at(-1).because === "replaced");
  leader.shared.stop();
  await until("another leader", () => browser.links.length === 2);
  assert.equal(browser.link.started, false);
  assert.equal(follower.shared.state.name, "stopped");
  follower.shared.wake("manual");
  assert.deepEqual(browser.link.woken, ["manual"]);
});

test("without a valid token the leader makes way for a tab that may have one", async (t) => {
  const { browser, leader, follower } = await twoTabs(t);
  browser.link.sink.state({ name: "stopped", because: "unauthorized" });
  await until("another leader", () => browser.links.length === 2 && browser.link.started);
  assert.equal(leader.shared.state.because, "unauthorized");
  assert.equal(follower.shared.state.shared, "leader");
});

test("a follower wakes the leader", async (t) => {
  const { browser, follower } = await twoTabs(t);
  follower.shared.wake("visible");
  await until("woken", () => browser.link.woken.includes("visible"));
});

test("a leader that does not answer is replaced", async (t) => {
  const browser = new Browser(t);
  // Its lock is held by a page that runs no script any more.
  void browser.locks.request(browser.key, {}, () => new Promise(() => {})).catch(() => {});
  const tab = browser.tab({ position: "e-5", timeScale: 20 });
  await until("the lock is taken over", () => browser.link?.started);
  assert.equal(browser.link.position, "e-5");
  assert.equal(tab.shared.state.shared, "leader");
});

test("a leader whose lock is taken follows", async (t) => {
  const { browser, leader } = await twoTabs(t);
  const first = browser.link;
  void browser.locks
    .request(browser.key, { steal: true }, () => new Promise(() => {}))
    .catch(() => {});
  await until("it follows", () => leader.shared.state.shared === "follower");
  assert.ok(first.stopped);
});

const FAST = { timeScale: 20 };

test("a leader that is suspended is replaced by a tab that is seen, and follows when it is back", async (t) => {
  const { browser, leader, follower } = await twoTabs(t, FAST);
  leader.freezer.frozen = true;
  await until("another leader", () => browser.links.length === 2 && browser.link.started);
  assert.equal(follower.shared.state.shared, "leader");
  browser.link.goLive();
  browser.link.event(1);
  leader.freezer.thaw();
  await until("it follows", () => leader.shared.state.shared === "follower");
  browser.history = [{ type: "output", id: "e-1" }];
  await until("it has what it missed", () => leader.seen.events.includes("e-1"));
  browser.link.event(2);
  await until("and what comes", () => leader.seen.events.includes("e-2"));
  assert.ok(browser.links[0].stopped);
  assert.equal(browser.links.length, 2);
});

test("what nobody sees asks for nothing", async (t) => {
  const document = { visibilityState: "hidden" };
  const { browser, leader, follower } = await twoTabs(t, FAST, { ...FAST, document });
  leader.freezer.frozen = true;
  await new Promise((resolve) => setTimeout(resolve, 600));
  assert.equal(browser.links.length, 1);
  document.visibilityState = "visible";
  follower.shared.wake("visible");
  await until("another leader", () => browser.links.length === 2);
});

test("a command that the leader did not take is carried out once, by the next", async (t) => {
  const { browser, leader, follower } = await twoTabs(t, FAST);
  const third = browser.tab({ ...FAST, position: "e-0", document: { visibilityState: "hidden" } });
  await until("the third", () => third.seen.states.at(-1)?.name === "live");
  leader.freezer.frozen = true;
  const asked = [
    follower.shared.request("start_validation", { proposal_id: "p" }),
    third.shared.request("cancel_validation", { run_id: "r" }),
  ];
  await until("another leader", () => browser.links.length === 2 && browser.link.started);
  browser.link.goLive();
  assert.deepEqual((await Promise.all(asked)).map(({ type }) => type), ["ack", "ack"]);
  assert.deepEqual(browser.link.requests.map(({ type }) => type).sort(), [
    "cancel_validation",
    "start_validation",
  ]);
  leader.freezer.thaw();
  await until("it follows", () => leader.shared.state.shared === "follower");
  assert.deepEqual(browser.links[0].requests, [], "it does not do later what was done already");
});

test("a leader that does not hear the server is woken, and then replaced", async (t) => {
  const { browser, follower } = await twoTabs(t, FAST);
  const quiet = { silence_ms: 40_000, dead_ms: 52_000 };
  browser.link.quiet = { ...quiet, quiet_ms: 39_000 };
  await new Promise((resolve) => setTimeout(resolve, 600));
  assert.deepEqual([browser.links.length, browser.link.woken], [1, []]);
  browser.link.quiet = { ...quiet, quiet_ms: 41_000 };
  await until("it is woken", () => browser.link.woken.includes("slept"));
  assert.equal(browser.links.length, 1);
  browser.link.quiet = { ...quiet, quiet_ms: 53_000 };
  await until("another leader", () => browser.links.length === 2);
  assert.equal(follower.shared.state.shared, "leader");
});

test("a leader that is there is not replaced, whatever the tab that asks lived through", async (t) => {
  const { browser, leader, follower } = await twoTabs(t, FAST);
  for (let round = 0; round < 3; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 150));
    follower.freezer.frozen = true;
    await new Promise((resolve) => setTimeout(resolve, 500));
    follower.freezer.thaw();
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(browser.links.length, 1);
  assert.equal(leader.shared.state.shared, "leader");
});
