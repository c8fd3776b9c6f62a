/** The event-stream transport against a real HTTP server. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { openSse } from "../../static/client/sse.js";

const WAIT_MS = 5_000;

/** A server that hands each request over to the test. */
async function serve(t) {
  const requests = [];
  const waiting = [];
  const server = createServer((request, response) => {
    const entry = { request, response };
    response.stream = () => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("retry: 100\n\n");
    };
    response.send = (text) => response.write(text);
    const next = waiting.shift();
    if (next) next(entry);
    else requests.push(entry);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    base: `http://127.0.0.1:${server.address().port}`,
    next: () => {
      if (requests.length > 0) return Promise.resolve(requests.shift());
      return withTimeout(new Promise((resolve) => waiting.push(resolve)), "a request");
    },
  };
}

function withTimeout(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} in time`)), WAIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Collects what the transport reports. */
function reporter() {
  const seen = [];
  const waiting = [];
  const add = (entry) => {
    seen.push(entry);
    for (const check of [...waiting]) check();
  };
  return {
    seen,
    frame: (frame, low) => add({ frame, low }),
    heard: () => {},
    malformed: (text) => add({ malformed: text }),
    closed: (end) => add({ closed: end }),
    until: (found) =>
      withTimeout(
        new Promise((resolve) => {
          const check = () => {
            const entry = seen.find(found);
            if (entry) resolve(entry);
          };
          waiting.push(check);
          check();
        }),
        "report",
      ),
  };
}

const env = { fetch: (...args) => fetch(...args), setTimeout, clearTimeout };
const context = (server, more = {}) => ({
  base: server.base,
  project: "demo",
  view: { proposals: ["p1"], focus: [] },
  token: "secret",
  lastEventId: null,
  env,
  ...more,
});

const block = (frame) =>
  `${frame.id ? `id: ${frame.id}\n` : ""}event: ${frame.type}\ndata: ${JSON.stringify(frame)}\n\n`;
const WELCOME = { type: "welcome", position: "e-5", resume: { outcome: "fresh" } };

test("one proposal: token and position in headers, frames in order, position by event", async (t) => {
  const server = await serve(t);
  const report = reporter();
  const handle = openSse(context(server, { lastEventId: "e-5" }), report);
  t.after(() => handle.close());
  const { request, response } = await server.next();
  assert.equal(request.url, "/api/v1/proposals/p1/events");
  assert.equal(request.headers.authorization, "Bearer secret");
  assert.equal(request.headers["last-event-id"], "e-5");
  response.stream();
  response.send(
    block(WELCOME) + block({ type: "output", id: "e-6", line: "é" }) + ": alive\n\nid: e-9\n\n",
  );
  await report.until(({ frame }) => frame?.id === "e-9");
  assert.deepEqual(
    report.seen.map(({ frame, low }) => [frame.type, frame.id, low]),
    [
      ["welcome", undefined, undefined],
      ["output", "e-6", "e-6"],
      ["position", "e-9", "e-9"],
    ],
  );
  assert.equal(handle.partial, false);
});

test("several proposals: the mark is where the slowest stream is", async (t) => {
  const server = await serve(t);
  const report = reporter();
  const view = { proposals: ["p1", "p2"], focus: [] };
  const handle = openSse(context(server, { view, lastEventId: "e-5" }), report);
  t.after(() => handle.close());
  const first = await server.next();
  const second = await server.next();
  for (const { response } of [first, second]) {
    response.stream();
    response.send(block(WELCOME));
  }
  await report.until(({ frame }) => frame?.type === "welcome");
  // Both tell who is there; one is enough, and one list fits to one stream's changes.
  for (const { response } of [second, first]) {
    response.send(block({ type: "presence", count: 1, present: [{ user_id: "ada" }] }));
  }
  first.response.send(block({ type: "output", id: "e-8" }));
  assert.equal((await report.until(({ frame }) => frame?.id === "e-8")).low, "e-5");
  second.response.send("id: e-7\n\n");
  assert.equal((await report.until(({ frame }) => frame?.id === "e-7")).low, "e-7");
  assert.equal(report.seen.filter(({ frame }) => frame?.type === "welcome").length, 1);
  assert.equal(report.seen.filter(({ frame }) => frame?.type === "presence").length, 1);
});

test("a whole project is narrowed to what is in focus, and its position kept back", async (t) => {
  const server = await serve(t);
  const report = reporter();
  const view = { proposals: [], focus: ["p2"] };
  const handle = openSse(context(server, { view, lastEventId: "e-5" }), report);
  t.after(() => handle.close());
  assert.equal(handle.partial, true);
  const { request, response } = await server.next();
  assert.equal(request.url, "/api/v1/proposals/p2/events");
  response.stream();
  response.send(block({ ...WELCOME, position: "e-50" }) + block({ type: "output", id: "e-51" }));
  await report.until(({ frame }) => frame?.id === "e-51");
  assert.equal(report.seen[0].frame.position, null);
  assert.equal(report.seen[1].low, null);
  const givenUp = once(response, "close");
  handle.setView({ proposals: [], focus: ["p3"] });
  assert.equal((await server.next()).request.url, "/api/v1/proposals/p3/events");
  await withTimeout(givenUp, "end of the first stream");
});

test("with nothing to read it says that it is of no use here", async (t) => {
  const report = reporter();
  openSse(context(await serve(t), { view: { proposals: [], focus: [] } }), report);
  assert.equal((await report.until(({ closed }) => closed)).closed.unsupported, true);
});

for (const [status, headers, expected] of [
  [401, {}, { status: 401, reason: "no way" }],
  [503, { "retry-after": "7" }, { status: 503, reason: "no way", retryAfterMs: 7000 }],
  [406, {}, { unsupported: true, reason: "no way" }],
]) {
  test(`refused with ${status}`, async (t) => {
    const server = await serve(t);
    const report = reporter();
    openSse(context(server), report);
    const { response } = await server.next();
    response.writeHead(status, { "content-type": "application/problem+json", ...headers });
    response.end(JSON.stringify({ detail: "no way" }));
    assert.deepEqual((await report.until(({ closed }) => closed)).closed, expected);
  });
}

test("a page of HTML is not an event stream", async (t) => {
  const server = await serve(t);
  const report = reporter();
  openSse(context(server), report);
  const { response } = await server.next();
  response.writeHead(200, { "content-type": "text/html" });
  response.end("<h1>Welcome to the hotel's network</h1>");
  assert.equal((await report.until(({ closed }) => closed)).closed.unsupported, true);
});

test("a stream that ends, or is cut, is reported once", async (t) => {
  for (const finish of [(response) => response.end(), (response) => response.destroy()]) {
    const server = await serve(t);
    const report = reporter();
    openSse(context(server), report);
    const { response } = await server.next();
    response.stream();
    response.send(block(WELCOME));
    await report.until(({ frame }) => frame);
    finish(response);
    await report.until(({ closed }) => closed);
    assert.equal(report.seen.filter(({ closed }) => closed).length, 1);
  }
});

test("a server that cannot be reached is reported", async () => {
  const report = reporter();
  openSse(context({ base: "http://127.0.0.1:9" }), report);
  assert.equal((await report.until(({ closed }) => closed)).closed.code, 1006);
});

test("a new token opens the stream anew from where it is, unnoticed", async (t) => {
  const server = await serve(t);
  const report = reporter();
  const handle = openSse(context(server), report);
  t.after(() => handle.close());
  const { response } = await server.next();
  response.stream();
  response.send(block(WELCOME) + block({ type: "output", id: "e-6" }));
  await report.until(({ frame }) => frame?.id === "e-6");
  handle.setToken("newer");
  const again = await server.next();
  assert.equal(again.request.headers.authorization, "Bearer newer");
  assert.equal(again.request.headers["last-event-id"], "e-6");
  again.response.stream();
  again.response.send(block(WELCOME) + block({ type: "output", id: "e-7" }));
  await report.until(({ frame }) => frame?.id === "e-7");
  assert.deepEqual(
    report.seen.map(({ frame }) => frame?.type),
    ["welcome", "output", "output"],
  );
});

test("what is no JSON is reported and passed over", async (t) => {
  const server = await serve(t);
  const report = reporter();
  const handle = openSse(context(server), report);
  t.after(() => handle.close());
  const { response } = await server.next();
  response.stream();
  response.send(block(WELCOME) + "data: {oops\n\n" + block({ type: "output", id: "e-6" }));
  await report.until(({ frame }) => frame?.id === "e-6");
  assert.equal(report.seen[1].malformed, "{oops");
});
