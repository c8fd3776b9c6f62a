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
  const now = 1_000_000;
  const inHour = refreshInMs(now + 3_600_000, now, () => 0);
  assert.equal(inHour, 3_540_000);
  assert.ok(refreshInMs(now + 20_000, now, () => 0.99) < 15_100);
  assert.equal(
    refreshInMs(now - 5, now, () => 0),
    0,
  );
});
