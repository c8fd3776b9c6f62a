import assert from "node:assert/strict";
import { test } from "node:test";
import { diffWordsWithSpace } from "diff";
import { byProposal, clashOf, newCollisions } from "../../static/app/review/collisions.js";
import { matching, mentionAt } from "../../static/app/review/mentions.js";
import { refusalOf } from "../../static/app/review/refusals.js";
import { byCapability, tallyOf } from "../../static/app/review/requirements.js";
import { movesOf, verdictsOf } from "../../static/app/review/rights.js";
import { Seen } from "../../static/app/review/seen.js";
import { pairsOf, rowsOf } from "../../static/app/review/unified.js";
import { isApprovable, standingOf, summaryOf } from "../../static/app/review/verdicts.js";
import { causeOf } from "../../static/app/review/revision-words.js";

const review = (reviewer, verdict, more = {}) => ({
  reviewer, reviewer_name: reviewer.toUpperCase(), verdict, revision: 1, stale: false, text: "", ...more,
});
const proposal = (more = {}) => ({
  id: "p", author: "ada", created_by: "ada", reviewers: ["ben", "cleo"], status: "in_review",
  revision: { number: 2 }, reviews: [],
  approvals: { required: 2, given: 0, missing: 2, blocked_by: [] }, ...more,
});

const nameOf = (id) => id.toUpperCase();

test("what collides is said by proposal, and told once of one's own", () => {
  const clash = (proposal_id, here, there) => ({ proposal_id, requirement: "R", capability: "c", here, there });
  assert.equal(clashOf(clash("b", "modified", "modified")), "both change it");
  assert.equal(clashOf(clash("b", "modified", "removed")), "this one changes it, the other removes it");
  const collisions = [clash("b", "added", "added"), clash("c", "added", "renamed"), clash("b", "removed", "removed")];
  assert.deepEqual(byProposal(collisions).map(([id, found]) => [id, found.length]), [["b", 2], ["c", 1]]);
  assert.deepEqual(byProposal(undefined), []);

  const known = new Map();
  const isOwn = ({ id }) => id === "a";
  const look = (...found) => newCollisions(known, { a: { id: "a", collisions: found }, z: { id: "z", collisions: found } }, isOwn);
  assert.deepEqual(look(collisions[0]), []);
  assert.deepEqual(look(...collisions), [{ proposal: "a", other: "c", requirement: "R" }]);
  assert.deepEqual(look(...collisions), []);

  const both = { a: { id: "a", collisions: [clash("z", "added", "added")] }, z: { id: "z", collisions: [] } };
  assert.equal(newCollisions(known, both, () => true).length, 1);
  both.z.collisions = [clash("a", "added", "added")];
  assert.deepEqual(newCollisions(known, both, () => true), []);
});

test("where a decision stands is one sentence", () => {
  assert.equal(summaryOf(proposal(), nameOf).words, "0 of 2 approvals of revision 2 given.");
  const blocked = proposal({
    reviews: [review("ben", "request_changes")],
    approvals: { required: 1, given: 1, missing: 0, blocked_by: ["ben"] },
  });
  assert.equal(summaryOf(blocked, nameOf).tone, "bad");
  assert.match(summaryOf(blocked, nameOf).words, /^BEN asked for changes/);
  assert.equal(isApprovable(blocked), false);
  const ready = proposal({ approvals: { required: 1, given: 1, missing: 0, blocked_by: [] } });
  assert.equal(isApprovable(ready), true);
  assert.equal(isApprovable({ ...ready, revision: null }), false);
  assert.match(summaryOf({ ...ready, revision: null }, nameOf).words, /no text yet/);
  for (const status of ["draft", "approved", "rejected", "archived"]) {
    assert.ok(summaryOf(proposal({ status }), nameOf).words.endsWith("."), status);
  }
});

test("what stands of whom: those who decided, then those who did not", () => {
  const standing = standingOf(
    proposal({ reviews: [review("ben", "approve", { stale: true })] }),
    (id) => (id === "cleo" ? "Cleo" : id),
  );
  assert.deepEqual(
    standing.map(({ name, words, tone, stale }) => [name, words, tone, stale]),
    [
      ["BEN", "approved revision 1", "quiet", true],
      ["Cleo", "has not decided yet", "waits", false],
    ],
  );
});

test("buttons are those that the server would not refuse", () => {
  const as = (id, more = {}) => ({ id, admin: false, service: false, ...more });
  assert.deepEqual(verdictsOf(as("ben"), proposal()), ["approve", "request_changes", "comment"]);
  assert.deepEqual(verdictsOf(as("ada"), proposal()), ["comment"]);
  assert.deepEqual(verdictsOf(as("eve"), proposal()), []);
  assert.deepEqual(verdictsOf(as("ben"), proposal({ status: "archived" })), []);
  assert.deepEqual(verdictsOf(as("ben"), proposal({ revision: null })), []);
  assert.deepEqual(movesOf(as("eve"), proposal()), []);
  assert.deepEqual(movesOf(as("eve", { admin: true }), proposal({ status: "approved" })), ["archived", "in_review"]);
});

test("a refusal says what happened and what to do", () => {
  const refused = (status, problem) => refusalOf({ status, message: "m", problem });
  assert.match(refused(409, { reason: "stale_revision", detail: "d" }).title, /Look at what changed/);
  assert.equal(refused(409, { reason: "archive_refused", detail: "x failed" }).detail, "x failed");
  assert.equal(refused(409, { reason: "new_one", detail: "No such luck" }).title, "No such luck.");
  assert.match(refused(0, {}).title, /did not answer/);
  assert.equal(refused(403, { detail: "Only reviewers" }).title, "Only reviewers.");
});

test("a unified diff is taken apart into numbered rows and pairs", () => {
  const { rows, added, removed } = rowsOf(
    "--- a/x\n+++ b/x\n@@ -3,4 +3,4 @@\n same\n-old 1\n-old 2\n+new 1\n --dash\n\\ No newline at end of file\n",
  );
  assert.deepEqual([added, removed], [1, 2]);
  assert.deepEqual(
    rows.map(({ kind, old, now }) => [kind, old, now]),
    [["hunk", null, null], ["same", 3, 3], ["removed", 4, null], ["removed", 5, null], ["added", null, 4], ["same", 6, 5]],
  );
  assert.equal(rows.at(-1).text, "--dash");
  assert.deepEqual(
    pairsOf(rows).map(({ left, right }) => [left?.text, right?.text]).slice(2),
    [["old 1", "new 1"], ["old 2", undefined], ["--dash", "--dash"]],
  );
});

test("the library that marks words is the one that the page is served", () => {
  const parts = diffWordsWithSpace("kept for six days", "kept for seven days");
  assert.deepEqual(parts.filter(({ added }) => added).map(({ value }) => value), ["seven"]);
});

test("requirements stand by capability, counted by kind", () => {
  const changes = [
    { capability: "a", operation: "added" },
    { capability: "b", operation: "removed" },
    { capability: "a", operation: "added" },
  ];
  assert.deepEqual(byCapability(changes).map(([name, { length }]) => [name, length]), [["a", 2], ["b", 1]]);
  assert.equal(tallyOf(changes), "2 added, 1 removed");
});

test("a mention is what stands at the caret after an @", () => {
  assert.deepEqual(mentionAt("ask @be", 7), { start: 4, query: "be" });
  assert.deepEqual(mentionAt("@", 1), { start: 0, query: "" });
  assert.equal(mentionAt("a@b.c", 5), null);
  assert.equal(mentionAt("ask @ben now", 12), null);
  const people = [{ id: "ben", name: "Ben" }, { id: "cleo", name: "Cleo Bennett" }, { id: "ada", name: "Ada" }];
  assert.deepEqual(matching(people, "be").map(({ id }) => id), ["ben", "cleo"]);
});

test("what was looked at before a visit stays so until one leaves", () => {
  const kept = new Map();
  const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
  const seen = new Seen({ user: "ada", project: "demo" }, storage);
  assert.equal(seen.before("p", 3), 3);
  seen.set("p", 3);
  assert.equal(seen.before("p", 4), 3);
  seen.set("p", 4);
  assert.equal(seen.before("p", 5), 3);
  seen.left();
  assert.equal(seen.before("p", 5), 4);
  kept.set("rtserver.looked " + JSON.stringify(["ada", "demo"]), "[nonsense");
  seen.left();
  assert.equal(seen.before("p", 5), 5);
});

test("how a revision came about is said in words", () => {
  const names = { of: (id) => id.toUpperCase() };
  const said = (revision) => causeOf(revision, names);
  assert.equal(said({ cause: "iteration", actor: "ada" }), "revised by the language model for ADA");
  assert.equal(said({ cause: "restore", actor: "ada", restored_from: 2 }), "revision 2 put back by ADA");
  assert.equal(said({ cause: "disk", actor: null }), "changed in the workspace");
});
