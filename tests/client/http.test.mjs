/** The HTTP side, with answers to fetch that a test gives. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Api } from "../../static/client/http.js";

/** An `Api` whose requests are answered from a table, and what it asked for. */
function bench(answers) {
  const asked = [];
  const env = {
    fetch: async (url, { method }) => {
      const { pathname, search } = new URL(url);
      asked.push(`${method} ${pathname}${search}`);
      return new Response(JSON.stringify(answers[`${pathname}${search}`]));
    },
    setTimeout,
    clearTimeout,
  };
  const tokens = { get: async () => "t", canRenew: false };
  const clock = { atLeast: () => {} };
  return { api: new Api({ base: "http://x", tokens, clock, env }), asked };
}

test("a snapshot has the proposals of all pages, and the position of the first", async () => {
  const { api, asked } = bench({
    "/api/v1/projects/p": {
      position: "e-7", proposals: [{ id: "a" }, { id: "b" }], proposals_next: "1-b", lock: null,
    },
    "/api/v1/projects/p/proposals?after=1-b&limit=500": { proposals: [{ id: "c" }], next: "2-c" },
    "/api/v1/projects/p/proposals?after=2-c&limit=500": { proposals: [{ id: "d" }], next: null },
  });
  const snapshot = await api.snapshot("p");
  assert.deepEqual(snapshot.proposals.map(({ id }) => id), ["a", "b", "c", "d"]);
  assert.deepEqual([snapshot.position, snapshot.lock], ["e-7", null]);
  assert.equal(asked.length, 3);
});

test("a snapshot of a server that knows no pages is taken as it is", async () => {
  const { api, asked } = bench({
    "/api/v1/projects/p": { position: "e-7", proposals: [{ id: "a" }] },
  });
  assert.deepEqual((await api.snapshot("p")).proposals, [{ id: "a" }]);
  assert.equal(asked.length, 1);
});

test("a discussion has the comments of all pages, the newest too", async () => {
  const { api, asked } = bench({
    "/api/v1/proposals/c/comments": { comments: [{ id: "1" }, { id: "2" }], more: true, next: "2" },
    "/api/v1/proposals/c/comments?after=2": { comments: [{ id: "3" }], more: false, next: null },
  });
  const { comments } = await api.comments("c");
  assert.deepEqual(comments.map(({ id }) => id), ["1", "2", "3"]);
  assert.equal(asked.length, 2);
});
