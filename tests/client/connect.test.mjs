/** `connect()` with everything but the network: a socket the test speaks for, and answers to fetch. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CommandError,
  connect,
  fromSnapshot,
  itemsOf,
  latestVerdict,
} from "../../static/client/index.js";

const WAIT_MS = 5_000;
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const tokenFor = (sub, ttlS = 3600) =>
  `${part({ alg: "HS256" })}.${part({ sub, exp: Date.now() / 1000 + ttlS })}.c2ln`;

class FakeSocket {
  static opened = [];
  readyState = 0;
  sent = [];

  constructor(url, protocols) {
    this.url = new URL(url);
    this.protocols = protocols;
    this.constructor.opened.push(this);
  }

  accept(welcome = {}) {
    this.readyState = 1;
    this.onopen?.({});
    this.give({ type: "welcome", position: "e-0", resume: { outcome: "fresh" }, ...welcome });
  }

  give(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  lose(code = 1006) {
    this.readyState = 3;
    this.onclose({ code, reason: "" });
  }

  close() {
    this.readyState = 3;
  }
}

async function until(what, check) {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    const value = check();
    if (value) return value;
    assert.ok(Date.now() < end, `in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function bench(t, options = {}) {
  class Socket extends FakeSocket {
    static opened = [];
  }
  const seen = { events: [], states: [], problems: [], reported: [], requests: [] };
  const memory = new Map();
  const target = new EventTarget();
  const connection = connect({
    url: "http://server.test/base/",
    project: "demo",
    token: options.getToken ? undefined : tokenFor("ada"),
    onEvent: (event) => seen.events.push(event.id),
    onState: (state) => seen.states.push(state),
    onProblem: (error) => seen.problems.push(error),
    ...options,
    timing: {
      backoff_base_ms: 4,
      check_dead_ms: 40,
      check_stale_ms: 10,
      request_timeout_ms: 200,
      ...options.timing,
    },
    env: {
      WebSocket: Socket,
      SockJS: undefined,
      BroadcastChannel: undefined,
      locks: undefined,
      memory: {
        getItem: (key) => memory.get(key) ?? null,
        setItem: (key, value) => memory.set(key, value),
      },
      target,
      document: undefined,
      report: (error) => seen.reported.push(error),
      fetch: async (url, init = {}) => {
        seen.requests.push({ url, ...init });
        return options.answer?.(url, init) ?? new Response("{}", { status: 200 });
      },
      ...options.env,
    },
  });
  t.after(() => connection.close());
  const socket = (number) => until(`socket ${number}`, () => Socket.opened[number]);
  return { connection, seen, socket, target, memory };
}

test("it needs a project, and a token or a way to one", () => {
  assert.throws(() => connect({ token: "t" }), TypeError);
  assert.throws(() => connect({ project: "demo" }), TypeError);
});

test("another socket has its own path, a history before its position, and its own check", async (t) => {
  const path = (after) => `/ws/audit?${after === null ? "history=2" : `last_event_id=${after}`}`;
  const socketOptions = { project: undefined, socket: { path, check: () => "pause" } };
  const { socket, seen, target } = bench(t, socketOptions);
  const first = await socket(0);
  assert.equal(first.url.href, "ws://server.test/base/ws/audit?history=2");
  first.accept({ position: "e-9", history: 2 });
  for (const id of ["e-3", "e-7", "e-10"]) first.give({ type: "audit", id });
  assert.deepEqual(seen.events, ["e-3", "e-7", "e-10"]);
  target.dispatchEvent(new Event("online"));
  assert.deepEqual(first.sent, [{ type: "pause", request_id: "c1" }]);
  first.give({ type: "position", id: "e-12" });
  first.lose();
  assert.equal((await socket(1)).url.search, "?last_event_id=e-12");
});

test("a history that is cut off is gone on with", async (t) => {
  const path = (after) => `/ws/audit?after=${after}`;
  const { socket } = bench(t, { socket: { path, check: () => "pause" } });
  const first = await socket(0);
  first.accept({ position: "e-9", history: 2 });
  first.give({ type: "audit", id: "e-3" });
  first.lose();
  assert.equal((await socket(1)).url.search, "?after=e-3");
});

test("the token goes as a subprotocol, the position and the view in the query", async (t) => {
  const token = tokenFor("ada");
  const options = { token, position: "e-7", proposals: ["a b", "c"], focus: ["c"] };
  const { socket, connection } = bench(t, options);
  const first = await socket(0);
  const { url, protocols } = first;
  assert.equal(
    url.href,
    "ws://server.test/base/ws/projects/demo?last_event_id=e-7&proposal_id=a+b&proposal_id=c&focus=c",
  );
  assert.deepEqual(protocols, ["bearer", token]);
  first.accept();
  connection.view([], { focus: ["d"] });
  connection.view(["a"], { focus: [] });
  assert.deepEqual(
    first.sent.map(({ proposal_ids, focus }) => [proposal_ids, focus]),
    [
      [[], ["d"]],
      [["a"], undefined],
    ],
  );
});

test("events are told in order, and a lost connection resumes after the last", async (t) => {
  const { seen, socket, connection } = bench(t);
  const first = await socket(0);
  first.accept();
  first.give({ type: "output", id: "e-1" });
  first.give({ type: "output", id: "e-2" });
  first.lose();
  const second = await socket(1);
  assert.equal(second.url.searchParams.get("last_event_id"), "e-2");
  second.accept({ position: "e-3", resume: { outcome: "replayed", replayed: 1 } });
  second.give({ type: "output", id: "e-3" });
  assert.deepEqual(seen.events, ["e-1", "e-2", "e-3"]);
  assert.equal(connection.state.name, "live");
  assert.equal(connection.position, "e-3");
});

test("what the first socket still says after it was given up is not heard", async (t) => {
  const { seen, socket, target } = bench(t);
  const first = await socket(0);
  first.accept();
  target.dispatchEvent(new Event("online")); // It is checked, and does not answer.
  const second = await socket(1);
  second.accept();
  first.give({ type: "output", id: "e-1" });
  assert.deepEqual(seen.events, []);
  assert.deepEqual(
    first.sent.map(({ type }) => type),
    ["view"],
  );
});

test("a socket that is closing, and is not closed for want of a peer, is given up", async (t) => {
  const { socket, target, connection } = bench(t, { timing: { check_dead_ms: 60_000 } });
  const first = await socket(0);
  first.accept();
  first.readyState = 2;
  target.dispatchEvent(new Event("online"));
  (await socket(1)).accept();
  assert.equal(connection.state.name, "live");
});

test("a command is answered with its ack, an error, nothing, or a lost connection", async (t) => {
  const { connection, socket } = bench(t);
  const only = await socket(0);
  await assert.rejects(connection.request("view", {}), { reason: "not_connected" });
  only.accept();

  const started = connection.startValidation("p1");
  const { request_id: id, ...command } = only.sent[0];
  assert.deepEqual(command, { type: "start_validation", proposal_id: "p1" });
  only.give({ type: "ack", request_id: id, run_id: "r1" });
  assert.equal((await started).run_id, "r1");

  const refused = connection.cancelValidation("r9");
  const error = { type: "error", reason: "not_found", error: "There is no such run" };
  only.give({ ...error, request_id: only.sent[1].request_id });
  await assert.rejects(refused, (thrown) => {
    assert.ok(thrown instanceof CommandError);
    assert.equal(thrown.reason, "not_found");
    assert.equal(thrown.message, "There is no such run");
    return true;
  });

  await assert.rejects(connection.request("view", { proposal_ids: [] }), { reason: "timeout" });
  const lost = connection.startIteration("p1", "do");
  only.lose();
  await assert.rejects(lost, { reason: "connection_lost" });
});

test("without a socket commands go by HTTP, with the token in a header", async (t) => {
  const { connection, seen } = bench(t, {
    answer: (url) =>
      new Response(url.includes("/healthz") ? "{}" : '{"run_id":"r1"}', { status: 202 }),
  });
  assert.equal((await connection.startValidation("p/1")).run_id, "r1");
  await connection.cancelIteration("r1");
  const [start, cancel] = seen.requests;
  assert.equal(start.method, "POST");
  assert.equal(start.url, "http://server.test/base/api/v1/proposals/p%2F1/validations");
  assert.match(start.headers.Authorization, /^Bearer /);
  assert.equal(`${cancel.method} ${cancel.url}`, "DELETE http://server.test/base/api/v1/runs/r1");
});

test("a refusal by HTTP carries the problem", async (t) => {
  const problem = { title: "Conflict", detail: "There is one under way", run: { run_id: "r0" } };
  const { connection } = bench(t, {
    answer: () =>
      new Response(JSON.stringify(problem), { status: 409, headers: { "retry-after": "3" } }),
  });
  await assert.rejects(connection.startValidation("p"), {
    name: "ApiError",
    status: 409,
    message: "There is one under way",
    problem,
    retryAfterMs: 3000,
  });
});

test("an HTTP call with an expired token is made again with a new one", async (t) => {
  let made = 0;
  const { connection, seen } = bench(t, {
    getToken: () => `token-${(made += 1)}`,
    answer: (url, { headers }) =>
      new Response("{}", { status: headers?.Authorization === "Bearer token-1" ? 401 : 200 }),
  });
  await connection.snapshot();
  assert.deepEqual(
    seen.requests.map(({ headers }) => headers.Authorization),
    ["Bearer token-1", "Bearer token-2"],
  );
});

test("events that come while the app refetches wait, and those in the snapshot are dropped", async (t) => {
  let answer;
  const gaps = [];
  const { seen, socket } = bench(t, {
    position: "e-1",
    onGap: async (gap, { refetch }) => {
      gaps.push(gap);
      seen.events.push(`snapshot ${(await refetch()).position}`);
    },
    answer: () => new Promise((resolve) => (answer = resolve)),
  });
  const only = await socket(0);
  only.accept({ position: "e-50", resume: { outcome: "lost", lost: 49 } });
  only.give({ type: "gap", requested: "e-1", oldest_available: "e-40", lost: 38 });
  for (const seq of [51, 52, 53]) only.give({ type: "output", id: `e-${seq}` });
  await until("the request", () => answer);
  assert.deepEqual(seen.events, []);
  answer(new Response(JSON.stringify({ project_id: "demo", position: "e-52" })));
  await until("the rest", () => seen.events.length === 2);
  assert.deepEqual(seen.events, ["snapshot e-52", "e-53"]);
  assert.equal(gaps[0].lost, 38);
});

test("a failed refetch does not lose the events", async (t) => {
  const { seen, socket } = bench(t, {
    onGap: (gap, { refetch }) => refetch(),
    answer: () => new Response("{}", { status: 503 }),
  });
  const only = await socket(0);
  only.accept();
  only.give({ type: "gap", requested: "e-0", lost: 3 });
  only.give({ type: "output", id: "e-4" });
  await until("the event", () => seen.events.length === 1);
  assert.equal(seen.reported[0].status, 503, "and the app hears of its error");
});

test("a handler that throws harms nobody else", async (t) => {
  const { seen, socket, connection } = bench(t);
  connection.on("event", () => {
    throw new Error("the app's own");
  });
  const only = await socket(0);
  only.accept();
  only.give({ type: "output", id: "e-1" });
  only.give({ type: "output", id: "e-2" });
  assert.deepEqual(seen.events, ["e-1", "e-2"]);
  assert.equal(seen.reported.length, 2);
  assert.throws(() => connection.on("evnet", () => {}), TypeError);
});

test("what is no frame is reported and passed over", async (t) => {
  const { seen, socket } = bench(t);
  const only = await socket(0);
  only.accept();
  only.onmessage({ data: "{oops" });
  only.onmessage({ data: "7" });
  only.give({ type: "output", id: "e-1" });
  assert.deepEqual(seen.events, ["e-1"]);
  assert.equal(seen.problems.length, 2);
});

test("a token is renewed in-band before it expires", async (t) => {
  let made = 0;
  const { socket } = bench(t, {
    getToken: ({ reason }) => {
      made += 1;
      return `${reason}-${made}`;
    },
    env: { setTimeout: (work, ms) => setTimeout(work, ms / 10) },
  });
  const only = await socket(0);
  assert.deepEqual(only.protocols, ["bearer", "connect-1"]);
  only.accept({ ts: "2026-01-01T00:00:00Z", token_expires_at: "2026-01-01T00:00:10Z" });
  const renewal = await until("renewal", () =>
    only.sent.find(({ type }) => type === "refresh_token"),
  );
  assert.equal(renewal.token, "expiring-2");
});

test("a token set by the app revives what stopped for want of one", async (t) => {
  const { connection, socket } = bench(t);
  (await socket(0)).accept();
  (await socket(0)).lose(4001);
  assert.equal(connection.state.because, "unauthorized");
  connection.setToken("fresh");
  assert.deepEqual((await socket(1)).protocols, ["bearer", "fresh"]);
});

test("closing is final until it is started again", async (t) => {
  const { connection, seen, socket, target } = bench(t);
  (await socket(0)).accept();
  connection.close();
  assert.equal(connection.state.because, "closed");
  target.dispatchEvent(new Event("online"));
  assert.equal(seen.states.at(-1).name, "stopped");
  connection.start();
  await socket(1);
});

test("SockJS is loaded when it comes to that, and says hello first", async (t) => {
  const token = tokenFor("ada");
  class SockJs extends FakeSocket {
    static opened = [];
  }
  const { connection } = bench(t, {
    token,
    position: "e-3",
    proposals: ["p"],
    transports: ["websocket", "sse", "sockjs"],
    loadSockJS: async () => SockJs,
    env: { WebSocket: undefined, fetch: undefined },
  });
  const only = await until("SockJS", () => SockJs.opened[0]);
  assert.equal(only.url.href, "http://server.test/base/sockjs/projects");
  only.accept();
  assert.deepEqual(only.sent[0], {
    type: "hello",
    token,
    project_id: "demo",
    proposal_ids: ["p"],
    last_event_id: "e-3",
  });
  assert.equal(connection.state.transport, "sockjs");
});

test("what worked is remembered for the next visit", async (t) => {
  const { socket, memory } = bench(t);
  (await socket(0)).accept();
  assert.equal(JSON.parse([...memory.values()][0]).transport, "websocket");
});

test("after a gap all that is looked at is fetched: its discussion, its runs, their output", async (t) => {
  const ended = { kind: "validation", started_by: "ben", started_at: "t1", ended_at: "t2" };
  const r1 = { ...ended, run_id: "r1", proposal_id: "p1", state: "failed", verdict: "failed" };
  const r2 = { ...r1, run_id: "r2", proposal_id: "p2", replay_from: "e-5" };
  const answers = {
    "/projects/demo": {
      project_id: "demo",
      position: "e-60",
      proposals: [{ id: "p1" }, { id: "p2" }],
      active_runs: [],
      last_runs: [{ ...r1, replay_from: "e-45" }, r2],
      last_verdicts: [{ ...r1, replay_from: "e-45" }],
    },
    "/proposals/p1/comments": { comments: [{ id: "c2", text: "of the gap" }] },
    "/runs/r1": { ...r1, result: { status: "failed", summary: { exit_code: 1, lines: 2 } } },
    "/projects/demo/events?limit=1000&after=e-45": {
      events: [
        { id: "e-46", type: "validation_start", run_id: "r1", proposal_id: "p1", command: "check" },
        { id: "e-47", type: "output", run_id: "r1", proposal_id: "p1", n: 1, line: "a" },
        { id: "e-48", type: "output", run_id: "r1", proposal_id: "p1", n: 2, line: "b" },
        { id: "e-49", type: "output", run_id: "r2", proposal_id: "p2", n: 1, line: "other's" },
      ],
      position: "e-60",
      more: false,
      lost: 0,
    },
  };
  let refused = 1;
  let state = fromSnapshot({
    project_id: "demo",
    position: "e-1",
    proposals: [{ id: "p1", comments: [{ id: "c1", text: "removed in the gap" }] }, { id: "p2" }],
    active_runs: [{ run_id: "r1", kind: "validation", proposal_id: "p1", replay_from: "e-45" }],
  });
  let done = false;
  const { socket, seen } = bench(t, {
    focus: ["p1", "gone"],
    onGap: async (gap, { refetch }) => {
      state = fromSnapshot(await refetch(), state);
      done = true;
    },
    answer: (url) => {
      const path = url.replace("http://server.test/base/api/v1", "");
      refused -= 1;
      if (refused === 0) return new Response("{}", { status: 503 });
      return new Response(JSON.stringify(answers[path] ?? {}), { status: answers[path] ? 200 : 404 });
    },
  });
  (await socket(0)).accept();
  (await socket(0)).give({ type: "gap", requested: "e-1", lost: 38 });
  await until("the refetch", () => done);
  assert.deepEqual(seen.reported, []);
  assert.deepEqual(state.proposals.p1.comments, [{ id: "c2", text: "of the gap" }]);
  const { r1: run, r2: other } = state.runs;
  assert.deepEqual([run.status, run.summary.exit_code, run.listed], ["failed", 1, false]);
  assert.equal(run.command, "check");
  assert.deepEqual(itemsOf(run.output).map(({ line }) => line), ["a", "b"]);
  assert.deepEqual([other.status, other.listed, other.output.length], ["failed", true, 0]);
  assert.equal(latestVerdict(state, "p2").run_id, "r2");
});
