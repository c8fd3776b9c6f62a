/** Which proposals the list shows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { chosen, EVERYTHING, isWaitingFor } from "../../static/app/list-filter.js";

const PROPOSALS = [
  { id: "b-2", title: "Zoë's queue", author: "ada", status: "draft", updated_at: "2026-01-03" },
  { id: "a-10", title: "", author: "ben", status: "in_review", reviewers: ["ada"], updated_at: "2026-01-01" },
  { id: "a-9", title: "Éclair", author: "cyd", status: "in_review", reviewers: [], updated_at: "2026-01-02" },
];
const ids = (choice, more = {}) =>
  chosen(PROPOSALS, { ...EVERYTHING, ...choice }, { me: "ada", ...more }).map(({ id }) => id);

test("with nothing chosen all are shown, in the order in which they were made", () => {
  assert.deepEqual(ids({}), ["b-2", "a-10", "a-9"]);
});

test("every word that is looked for has to be there, whatever its accents and capitals", () => {
  assert.deepEqual(ids({ search: " ZOE queue" }), ["b-2"]);
  assert.deepEqual(ids({ search: "zoe eclair" }), []);
  assert.deepEqual(ids({ search: "a-1" }), ["a-10"], "in the id");
  assert.deepEqual(ids({ search: "ADA" }), ["b-2", "a-10"], "author and reviewers");
});

test("filters and orders", () => {
  assert.deepEqual(ids({ status: "in_review" }), ["a-10", "a-9"]);
  assert.deepEqual(ids({ whose: "mine" }), ["b-2"]);
  assert.deepEqual(ids({ whose: "waiting" }), ["a-10"]);
  assert.deepEqual(ids({ whose: "unread" }, { isUnread: (id) => id === "a-9" }), ["a-9"]);
  assert.deepEqual(ids({ sort: "newest" }), ["a-9", "a-10", "b-2"]);
  assert.deepEqual(ids({ sort: "changed" }), ["b-2", "a-9", "a-10"]);
  assert.deepEqual(ids({ sort: "title" }), ["a-10", "a-9", "b-2"]);
});

test("what waits for somebody is a verdict on the text of now, or another text", () => {
  const proposal = { status: "in_review", author: "ada", reviewers: ["ben"] };
  const judged = (verdict, stale = false) => ({
    ...proposal,
    reviews: [{ reviewer: "ben", verdict, stale }],
    approvals: { blocked_by: verdict === "request_changes" && !stale ? ["ben"] : [] },
  });
  assert.equal(isWaitingFor(proposal, "ben"), true);
  assert.equal(isWaitingFor(proposal, "ada"), false);
  assert.equal(isWaitingFor(judged("approve"), "ben"), false);
  assert.equal(isWaitingFor(judged("approve", true), "ben"), true);
  assert.equal(isWaitingFor(judged("request_changes"), "ada"), true);
  assert.equal(isWaitingFor(judged("request_changes"), "ben"), false);
  assert.equal(isWaitingFor({ ...judged("request_changes"), status: "rejected" }, "ada"), false);
});
