import assert from "node:assert/strict";
import { test } from "node:test";
import { actionFor, backoffMs, refreshInMs, TIMING } from "../../static/client/policy.js";

const ACTIONS = {
  1001: "reconnect",
  1006: "reconnect",
  1011: "reconnect",
  4001: "new_token",
  4003: "stop",
  4008: "reconnect",
  4009: "stop",
  4010: "reconnect",
  4029: "reconnect",
  4053: "reconnect",
  4400: "stop",
};

for (const [code, action] of Object.entries(ACTIONS)) {
  test(`close code ${code}: ${action}`, () => {
    assert.equal(actionFor({ code: Number(code) }).action, action);
  });
}

test("what the server said before closing outweighs a lost close frame", () => {
  assert.equal(actionFor({ code: 1006 }, { code: 4009, reconnect: false }).because, "replaced");
  assert.equal(actionFor({ code: 1005 }, { code: 4777, reconnect: false }).action, "stop");
  assert.equal(actionFor({ code: 1005 }, { code: 4777, reconnect: true }).action, "reconnect");
});

test("a refusal by HTTP means the same as the close code", () => {
  assert.equal(actionFor({ status: 401 }).action, "new_token");
  assert.equal(actionFor({ status: 403 }).because, "forbidden");
  assert.equal(actionFor({ status: 503 }).action, "reconnect");
  assert.ok(actionFor({ status: 503 }).serverSpoke);
});

test("backoff doubles up to its cap, and is anything below it", () => {
  const most = () => 0.999999;
  const waits = [0, 1, 2, 3, 20].map((attempt) => backoffMs(attempt, most, TIMING));
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 30000]);
  assert.equal(
    backoffMs(5, () => 0, TIMING),
    0,
  );
});

test("what the server asked for is waited first", () => {
  assert.equal(
    backoffMs(0, () => 0, TIMING, 5000),
    5000,
  );
  assert.ok(backoffMs(0, () => 0.9, TIMING, 5000) > 5000);
});

test("a token is renewed before it expires, and never in the past", () => {
  const inMs = (leftS, lifeS = null, random = 0) =>
    refreshInMs({ leftMs: leftS * 1000, lifeMs: lifeS && lifeS * 1000 }, () => random);
  assert.equal(inMs(3_600, 3_600), 3_540_000);
  assert.ok(inMs(20, null, 0.99) < 15_100);
  assert.equal(inMs(100, 100), 80_000, "a fifth of its life before the end");
  assert.equal(inMs(30, 3_600), 5_000);
});

test("a token is never renewed sooner than in five seconds, whatever the clocks say", () => {
  for (const leftMs of [-7_200_000, -5, 0, 3_000, 9_000]) {
    for (const lifeMs of [null, 1_000, 3_600_000]) {
      assert.ok(refreshInMs({ leftMs, lifeMs }, Math.random) >= 5_000, `${leftMs}, ${lifeMs}`);
    }
  }
});

test("a token that is not valid yet is waited for, where the server says how long", () => {
  const early = { code: 4001, reconnect: true, retry_after_ms: 3_000 };
  assert.equal(actionFor({ code: 4001 }, early).action, "wait");
  assert.equal(actionFor({ code: 4001 }, { ...early, retry_after_ms: null }).action, "new_token");
  assert.equal(actionFor({ status: 401, retryAfterMs: 3_000 }).action, "wait");
  assert.equal(actionFor({ status: 403, retryAfterMs: 3_000 }).action, "stop");
});

test("who was let in and is ended by an administrator may come back, unlike who is forbidden", () => {
  const words = "Disconnected by an administrator";
  for (const ends of [[{ code: 4003, reason: words }], [{ code: 1006 }, { code: 4003, reason: words }]]) {
    assert.deepEqual(actionFor(...ends), { action: "stop", because: "ended" });
  }
  assert.equal(actionFor({ code: 4003, reason: "Forbidden" }).because, "forbidden");
});
