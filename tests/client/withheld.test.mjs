/** What a user is not told shows as a hole between the ids of what came. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Withheld } from "../../static/app/withheld.js";

test("a hole before an event, or a position past what came, counts once", () => {
  const withheld = new Withheld();
  withheld.position("e-3"); // where one begins
  withheld.event("e-4");
  withheld.event("e-5");
  withheld.position("e-5");
  assert.equal(withheld.count, 0);
  withheld.event("e-8");
  assert.equal(withheld.count, 1);
  withheld.position("e-9");
  assert.equal(withheld.count, 2);
});

test("what comes again, is no position, or is of another log is no hole", () => {
  const withheld = new Withheld();
  withheld.position("e-3");
  withheld.event("e-4");
  withheld.event("e-2");
  withheld.position(undefined);
  withheld.event("f-900");
  withheld.event("f-901");
  assert.equal(withheld.count, 0);
  withheld.event("f-903");
  assert.equal(withheld.count, 1);
});
