import assert from "node:assert/strict";
import { test } from "node:test";
import {
  before,
  comparePositions,
  DeliveryWindow,
  earlier,
  parsePosition,
} from "../../static/client/positions.js";

test("a position is an epoch and a number, and the epoch may contain dashes", () => {
  assert.deepEqual(parsePosition("a-b-12"), { epoch: "a-b", seq: 12 });
  for (const bad of ["", "12", "-12", "e-", "e-1x", "e-1.5", null, 7, "e-1234567890123456"]) {
    assert.equal(parsePosition(bad), null, String(bad));
  }
});

test("positions of different lives of the log cannot be compared", () => {
  assert.ok(comparePositions("e-9", "e-10") < 0);
  assert.equal(comparePositions("e-9", "f-9"), null);
  assert.equal(comparePositions(null, "e-1"), null);
  assert.equal(earlier("e-9", "e-10"), "e-9");
  assert.equal(earlier("e-9", "f-1"), "e-9");
  assert.equal(earlier(null, "e-1"), "e-1");
});

test("going back stops at the beginning of the log", () => {
  assert.equal(before("e-100", 30), "e-70");
  assert.equal(before("e-10", 30), "e-0");
});

test("an event is let through once, in order or not", () => {
  const window = new DeliveryWindow("e-5");
  assert.equal(window.accept("e-5"), false);
  assert.equal(window.accept("e-6"), true);
  assert.equal(window.accept("e-6"), false);
  assert.equal(window.position, "e-6");
});

test("with several streams the mark stays low, and what is above it still comes once", () => {
  const window = new DeliveryWindow("e-5");
  assert.equal(window.accept("e-9", "e-5"), true);
  assert.equal(window.accept("e-7", "e-6"), true);
  assert.equal(window.position, "e-6");
  // A socket that resumes from the mark sends 7 and 9 again, and 8 for the first time.
  assert.deepEqual(
    ["e-7", "e-8", "e-9", "e-10"].map((id) => window.accept(id)),
    [false, true, false, true],
  );
});

test("a mark of null stays where it is", () => {
  const window = new DeliveryWindow("e-5");
  assert.equal(window.accept("e-8", null), true);
  assert.equal(window.accept("e-8", null), false);
  assert.equal(window.position, "e-5");
});

test("a new life of the log begins anew", () => {
  const window = new DeliveryWindow("e-500");
  assert.equal(window.accept("f-3"), true);
  assert.equal(window.position, "f-3");
  assert.equal(window.accept("f-3"), false);
});

test("what is remembered above the mark is bounded", () => {
  const window = new DeliveryWindow("e-0", 3);
  for (const seq of [10, 11, 12, 13]) window.accept(`e-${seq}`, "e-0");
  assert.equal(window.accept("e-10", "e-0"), true, "the oldest was forgotten");
  assert.equal(window.accept("e-13", "e-0"), false);
});

test("rewinding lets events through again", () => {
  const window = new DeliveryWindow("e-5");
  window.accept("e-6");
  window.rewind("e-4");
  assert.equal(window.accept("e-6"), true);
});
